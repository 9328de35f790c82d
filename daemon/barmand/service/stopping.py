"""A stop that says why."""

import threading


class StopFlag(threading.Event):
    """Set once, with the reason that the stopped work will give."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = "stopped"

    def stop(self, reason: str) -> None:
        """The first reason counts."""
        if not self.is_set():
            self.reason = reason
            self.set()
