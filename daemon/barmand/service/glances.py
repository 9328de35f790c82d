"""A glance at a server's disk, for who asks how things are: one that hangs is left behind.

Without it each `status` while a mount is dead would cost a caller's thread for ever, and soon
nobody could ask anything any more.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

GLANCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Glances:
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hanging: dict[str, threading.Thread] = field(default_factory=dict)

    def at(self, server: str, look: Callable[[], T]) -> T | None:
        """What `look` sees; None where it takes too long, and while an earlier one does."""
        with self._lock:
            before = self._hanging.get(server)
        if before is not None and before.is_alive():
            return None
        seen: Future[T] = Future()

        def glance() -> None:
            try:
                seen.set_result(look())
            except BaseException as error:  # noqa: BLE001 - it is raised again below, by the result
                seen.set_exception(error)

        thread = threading.Thread(target=glance, name=f"glance at {server}", daemon=True)
        thread.start()
        try:
            return seen.result(GLANCE_SECONDS)
        except TimeoutError:
            with self._lock:
                self._hanging[server] = thread
            return None
