"""wal-push: PostgreSQL's file is opened here and goes along open, so that barmand needs no right
to read PGDATA.

`socket` and `json` take longer to load than all the rest, and PostgreSQL waits at each segment. So
the first attempt speaks through the module below `socket` and knows success only; whatever else it
meets is pushed again by the client that has the words for it. Twice is as good as once.
"""

from __future__ import annotations

import os
import sys

from barmand.model.errors import StorageFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.connection import Connection, Message

_LINE = (
    '{"jsonrpc": "2.0", "id": 1, "method": "wal-push", "params": {"server": "%s", "name": "%s"}}\n'
)
_SUCCESS = b'{"jsonrpc":"2.0","id":1,"result":{'
_SECONDS = 300
_READ_BYTES = 65536


def push(socket_path: str, server: str, path: str) -> Message:
    """The reply: the file is durable there. Raises Failure."""
    file = _opened(path)
    try:
        with _connection(socket_path) as connection:
            return push_open(connection, server, _name(path), file)
    finally:
        os.close(file)


def push_quickly(socket_path: str, server: str, path: str) -> int:
    """As `push`, for who needs no reply: 0."""
    file = _opened(path)
    try:
        is_pushed = _is_pushed(socket_path, server, _name(path), file)
    finally:
        os.close(file)
    if not is_pushed:
        push(socket_path, server, path)
    return 0


def push_open(connection: Connection, server: str, name: str, file: int) -> Message:
    return connection.ask("wal-push", {"server": server, "name": name}, _heed_nothing, file)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # no pipe shall hold us
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}") from error


def _name(path: str) -> str:
    return os.path.basename(path)  # noqa: PTH119 - pathlib is too slow to load


def _connection(socket_path: str) -> Connection:
    from barmand.ctl.connection import Connection  # noqa: PLC0415 - see above

    return Connection(socket_path)


def _is_pushed(socket_path: str, server: str, name: str, file: int) -> bool:
    """True for a success that was told; False says nothing."""
    import _socket  # noqa: PLC0415 - see above

    if not (server + name).replace(".", "").replace("-", "").replace("_", "").isalnum():
        return False  # JSON might have to say it in other letters
    line = (_LINE % (server, name)).encode()
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, file.to_bytes(4, sys.byteorder))
    daemon = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    try:
        daemon.settimeout(_SECONDS)
        daemon.connect(socket_path)
        if daemon.sendmsg([line], [rights]) != len(line):
            return False
        reply = daemon.recv(_READ_BYTES)
    except OSError:
        return False
    finally:
        daemon.close()
    return reply.startswith(_SUCCESS) and reply.endswith(b"}\n")


def _heed_nothing(_note: Message) -> None:
    """A push has no progress to tell."""
