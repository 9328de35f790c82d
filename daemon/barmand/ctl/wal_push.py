"""wal-push: PostgreSQL's file is opened here and goes along open, so that barmand needs no right
to read PGDATA.
"""

from __future__ import annotations

import os

from barmand.ctl.connection import Connection
from barmand.model.errors import StorageFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.connection import Message


def push(socket_path: str, server: str, path: str) -> Message:
    """The reply: the file is durable there. Raises Failure."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # no pipe shall hold us
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}") from error
    try:
        with Connection(socket_path) as connection:
            return push_open(connection, server, os.path.basename(path), file)  # noqa: PTH119 - pathlib is too slow to load
    finally:
        os.close(file)


def push_open(connection: Connection, server: str, name: str, file: int) -> Message:
    return connection.ask("wal-push", {"server": server, "name": name}, _heed_nothing, file)


def _heed_nothing(_note: Message) -> None:
    """A push has no progress to tell."""
