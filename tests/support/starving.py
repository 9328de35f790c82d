"""A failure that is real and heals: the process has no file descriptor left, until a pause."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Starved(threading.Event):
    """A stop. While it is `starving`, every open fails with EMFILE; its nth pause ends that."""

    reason = "the test stopped it"

    def __init__(self, *, heals_at: int = 1) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self._heals_at = heals_at
        self._before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def starve(self) -> None:
        first_free = os.open("/", os.O_RDONLY)
        os.close(first_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, self._before[1]))

    def heal(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._before)

    @contextmanager
    def starving(self) -> Iterator[None]:
        self.starve()
        try:
            yield
        finally:
            self.heal()

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) >= self._heals_at:
            self.heal()
        return self.is_set()
