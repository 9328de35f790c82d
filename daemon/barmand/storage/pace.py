"""What many workers share: one limit, in bytes a second of the whole backup, and one end."""

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

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
