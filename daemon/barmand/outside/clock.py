"""Now."""

import time
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
