"""Waiting for TERM, INT and HUP.

Signals are not masked, for children would inherit the mask and ignore TERM; and nothing is done in
a handler: the interpreter writes the number into a pipe, which the main thread reads.
"""

import os
import selectors
import signal
from contextlib import suppress


class Signals:
    """Only in the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _heard)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def wait(self, seconds: float) -> set[signal.Signals]:
        """The signals that came since; none after so many seconds without one."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            selector.select(seconds)
        with suppress(BlockingIOError):
            return {signal.Signals(number) for number in os.read(self._reader, 512)}
        return set()


def _heard(_number: int, _frame: object) -> None:
    """The pipe tells; a handler has to be there for that."""
