"""The line to a server, cut beneath whoever waits at it for too long."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Connection(Protocol):
    def fileno(self) -> int: ...


@contextmanager
def cut_after(seconds: float | None, connection: Connection) -> Iterator[None]:
    """Whoever still waits for an answer then, hears that the server went away. None: never."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def cut(connection: Connection) -> None:
    """Shut the socket down beneath whoever waits on it: they hear that the server went away."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
