"""A stop that says why."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopFlag(threading.Event):
    """Set once, with the reason that the stopped work will give."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = "stopped"
        self._bells: set[int] = set()
        self._bells_lock = threading.Lock()

    def stop(self, reason: str) -> None:
        """The first reason counts."""
        if not self.is_set():
            self.reason = reason
            self.set()

    def set(self) -> None:
        super().set()
        with self._bells_lock:
            for bell in self._bells:
                os.eventfd_write(bell, 1)

    @contextmanager
    def bell(self) -> Iterator[int]:
        """A descriptor that is readable once it is set: who waits for one need not look again and
        again.
        """
        bell = os.eventfd(0)
        try:
            with self._bells_lock:
                self._bells.add(bell)
                if self.is_set():
                    os.eventfd_write(bell, 1)
            yield bell
        finally:
            with self._bells_lock:
                self._bells.discard(bell)
            os.close(bell)
