"""What many workers share: limits in bytes a second, when they start, and one end."""

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from barmand.storage.pages import PAGE_BYTES

BURST_SECONDS = 0.25
TICK_SECONDS = 0.25


class Stop(Protocol):
    @property
    def reason(self) -> str: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class EitherStop:
    """Set by a stop, or by an end that has another cause; who waits hears of both."""

    stop: Stop
    other: threading.Event

    @property
    def reason(self) -> str:
        return self.stop.reason

    def is_set(self) -> bool:
        return self.stop.is_set() or self.other.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := deadline - time.monotonic()) > 0:
            self.stop.wait(min(left, TICK_SECONDS))
        return self.is_set()


@dataclass(slots=True)
class Pace:
    """`bytes_per_second` None: no limit. A worker that is ahead waits until its bytes are due."""

    bytes_per_second: int | None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _due: float = 0.0

    def piece(self, most: int) -> int:
        """What to copy in one step, whole pages: so little that the limit holds each second."""
        if self.bytes_per_second is None:
            return most
        in_a_burst = int(self.bytes_per_second * BURST_SECONDS)
        return max(PAGE_BYTES, min(most, in_a_burst - in_a_burst % PAGE_BYTES))

    def take(self, count: int, stop: Stop) -> None:
        """Account for `count` bytes just copied; returns when more may follow, or at a stop."""
        if self.bytes_per_second is None:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now - BURST_SECONDS) + count / self.bytes_per_second
            ahead = self._due - now
        if ahead > 0:
            stop.wait(ahead)


@dataclass(frozen=True, slots=True)
class Paces:
    """The limit of the whole backup, and those of tablespaces, by prefix in the data directory."""

    whole: Pace
    spaces: Mapping[str, Pace] = field(default_factory=dict)

    def piece(self, prefix: str, most: int) -> int:
        space = self.spaces.get(prefix)
        return self.whole.piece(most if space is None else space.piece(most))

    def take(self, prefix: str, count: int, stop: Stop) -> None:
        space = self.spaces.get(prefix)
        if space is not None:
            space.take(count, stop)
        self.whole.take(count, stop)


class Starts:
    """At most `size` starts in any `period` of seconds: sshd refuses who knocks too often."""

    def __init__(self, size: int, period: float, stop: Stop) -> None:
        self._last: deque[float] = deque(maxlen=max(1, size))
        self._period = period
        self._stop = stop
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Returns when the next start is due, or at a stop."""
        with self._lock:
            due = time.monotonic()
            if len(self._last) == self._last.maxlen:
                due = max(due, self._last[0] + self._period)
            self._last.append(due)
        pause = due - time.monotonic()
        if pause > 0:
            self._stop.wait(pause)
