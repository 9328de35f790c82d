"""Asking barmand for one WAL file, and bringing it where it shall be."""

from __future__ import annotations

import errno
import os
import secrets
import sys

from barmand.model.errors import StorageFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.connection import Connection, Message

STDOUT = 1
_STEP_BYTES = 64 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_CANNOT_SEND = frozenset({errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EOPNOTSUPP})


def ask_for(
    connection: Connection,
    server: str,
    name: str,
    *,
    partial: bool = False,
    stamp: str | None = None,
) -> Message:
    params = {"server": server, "name": name, "partial": partial, "held": stamp}
    return connection.ask("get-wal", params, _heed_nothing)


def received(connection: Connection, result: Message) -> int:
    """The open file that came, which has the bytes that it is told to have."""
    file = connection.file
    if file is None:
        raise StorageFailed(f"{result['name']} came without its file")
    size = os.fstat(file).st_size
    if size != result["size_bytes"]:
        raise StorageFailed(f"{result['name']} has {size} bytes, not {result['size_bytes']}")
    return file


def hand_out(file: int, size: int, target: str | None) -> None:
    """Copy an open file to `target`, where it is seen whole or not at all, or to stdout."""
    where = target or "stdout"
    if target is None and sys.__stdout__ is None:
        raise StorageFailed("stdout is closed: there is nowhere to write the file to")
    try:
        if target is None:
            _copy(file, STDOUT, size)
        else:
            write_whole(file, size, target)
    except OSError as error:
        raise StorageFailed(f"cannot write {where}: {error.strerror or error}") from error


def write_whole(file: int, size: int, target: str) -> None:
    """Written beside, synced, renamed. Raises OSError."""
    folder = os.path.dirname(target) or "."  # noqa: PTH120 - pathlib is too slow to load
    beside = f"{folder}/.barmanctl-{secrets.token_hex(8)}.tmp"
    written = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            _copy(file, written, size)
            os.fsync(written)
        finally:
            os.close(written)
        os.replace(beside, target)  # noqa: PTH105 - pathlib is too slow to load
    except BaseException:
        os.unlink(beside)  # noqa: PTH108 - pathlib is too slow to load
        raise


def _copy(source: int, target: int, size: int) -> None:
    done = 0
    while done < size:
        step = _send(source, target, done, min(_STEP_BYTES, size - done))
        if not step:
            raise OSError(errno.EIO, "the file ended too early")
        done += step


def _send(source: int, target: int, offset: int, count: int) -> int:
    try:
        return os.sendfile(target, source, offset, count)
    except OSError as error:
        if error.errno not in _CANNOT_SEND:
            raise
    piece = memoryview(os.pread(source, min(count, _READ_BYTES), offset))
    written = 0
    while written < len(piece):
        written += os.write(target, piece[written:])
    return written


def _heed_nothing(_note: Message) -> None:
    """A file has no progress to tell."""
