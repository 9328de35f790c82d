"""Hands that pack WAL: so many at work at a time, whichever server they are at work for.

What hangs, on a dead mount say, is not at work: it takes no hand from the others. One that is at
work uses the processor, and its clock tells.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LOOK_SECONDS = 0.05
IDLE_SECONDS = 0.2


@dataclass(slots=True)
class _Held:
    """`clock` counts the processor time of the thread that holds a hand."""

    clock: int = field(default_factory=lambda: time.pthread_getcpuclockid(threading.get_ident()))
    used: float = -1.0
    moved: float = field(default_factory=time.monotonic)

    def is_at_work(self) -> bool:
        """Has it used the processor a moment ago, as far as anybody has looked?"""
        used, now = time.clock_gettime(self.clock), time.monotonic()
        if used > self.used:
            self.used, self.moved = used, now
        return now - self.moved < IDLE_SECONDS


class Hands:
    def __init__(self, count: int) -> None:
        self._count = count
        self._changed = threading.Condition()
        self._held: list[_Held] = []

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a hand, and hold it within."""
        with self._changed:
            while sum(each.is_at_work() for each in self._held) >= self._count:
                self._changed.wait(LOOK_SECONDS)
            held = _Held()
            self._held.append(held)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(held)
                self._changed.notify()
