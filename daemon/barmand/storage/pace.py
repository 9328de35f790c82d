"""One limit for many workers: bytes a second of the whole backup, however many copy."""

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

BURST_SECONDS = 0.25


class Waiting(Protocol):
    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass(slots=True)
class Pace:
    """`bytes_per_second` None: no limit. A worker that is ahead waits until its bytes are due."""

    bytes_per_second: int | None
    stop: Waiting
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _due: float = 0.0

    def take(self, count: int) -> None:
        """Account for `count` bytes just copied; returns when more may follow, or at a stop."""
        if self.bytes_per_second is None:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now - BURST_SECONDS) + count / self.bytes_per_second
            ahead = self._due - now
        if ahead > 0:
            self.stop.wait(ahead)
