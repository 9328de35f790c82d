"""Now."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from barmand.model.clock_watch import Reading

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def local_now() -> datetime:
    """The moment, in the machine's zone: Barman's ids are local time."""
    return datetime.now().astimezone()


def monotonic() -> float:
    """Seconds that never go back: for durations."""
    return time.monotonic()


def reading() -> Reading:
    """Both clocks of the machine: the one that is set, and the one that only goes on."""
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return Reading(local_now(), boot, time.clock_gettime(time.CLOCK_BOOTTIME))


class WallClock:
    """Notices that the wall clock was set, or the machine slept, by the one that never goes back.

    A clock that is brought to the right time little by little goes on unnoticed.
    """

    LEAST_SECONDS = 2.0

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._apart = wall() - steady()

    def jump(self) -> float:
        """By how many seconds since the last time; 0 where it was not."""
        apart = self._wall() - self._steady()
        jump, self._apart = apart - self._apart, apart
        return jump if abs(jump) >= self.LEAST_SECONDS else 0.0
