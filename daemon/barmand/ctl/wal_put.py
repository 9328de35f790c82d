"""put-wal: the tar stream of `barman-wal-archive`, its sums verified, pushed file by file."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tarfile
import tempfile

from barmand.ctl.connection import Connection
from barmand.ctl.wal_push import push_open
from barmand.model.errors import Refused, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, TextIO

    from barmand.ctl.connection import Message

_SUMS = {"SHA256SUMS": "sha256", "MD5SUMS": "md5"}
_LINE = re.compile(r"([0-9a-f]+) [ *](.+)")
_MOST_MEMBERS = 64
_MOST_BYTES = 1 << 30
_SUMS_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20


def put(socket_path: str, server: str, stdin: TextIO | None) -> Message:
    """The names, each durable there. Nothing is pushed before the whole stream is proved."""
    if stdin is None or stdin.isatty():
        raise UsageError(
            "put-wal reads a tar stream on stdin", hint="`barman-wal-archive` sends one over ssh."
        )
    with contextlib.ExitStack() as spool:
        members = _read(stdin.buffer, spool)
        with Connection(socket_path) as connection:
            for name, file in members.items():
                push_open(connection, server, name, file.fileno())
    return {"format": 1, "server": server, "names": list(members)}


def prove_ready(socket_path: str, server: str) -> Message:
    """Would that server's WAL be taken now? Raises Failure."""
    with Connection(socket_path) as connection:
        return connection.ask("push-ready", {"server": server}, lambda _note: None)


def _read(stream: IO[bytes], spool: contextlib.ExitStack) -> dict[str, IO[bytes]]:
    members: dict[str, IO[bytes]] = {}
    sums: tuple[str, bytes] | None = None
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                content = _content(tar, member)
                if sums is not None:
                    raise Refused(f"{member.name!r} comes after {sums[0]}")
                if member.name in _SUMS:
                    sums = member.name, content.read(_SUMS_BYTES)
                else:
                    members[_new_name(member, members)] = _spooled(content, member.size, spool)
    except (tarfile.TarError, EOFError) as error:
        raise Refused(f"the tar stream is broken: {error}") from error
    _read_out(stream)
    if sums is None:
        raise Refused("the tar stream has no SHA256SUMS and no MD5SUMS at its end: is it whole?")
    _verify(members, *sums)
    return members


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if content is None:
        raise Refused(f"{member.name!r} in the tar stream is not a regular file")
    if member.size > _MOST_BYTES:
        raise Refused(f"{member.name!r} has {member.size} bytes: no WAL file has so many")
    return content


def _new_name(member: tarfile.TarInfo, members: dict[str, Any]) -> str:
    if "/" in member.name or member.name.startswith("."):
        raise UsageError(f"{member.name!r} is no WAL file's name")
    if member.name in members:
        raise Refused(f"{member.name!r} comes twice")
    if len(members) == _MOST_MEMBERS:
        raise Refused(f"a tar stream brings at most {_MOST_MEMBERS} files")
    return member.name


def _spooled(content: IO[bytes], size: int, spool: contextlib.ExitStack) -> IO[bytes]:
    """A file without a name: whatever becomes of us, nothing is left behind."""
    file = spool.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    done = 0
    while piece := content.read(_PIECE_BYTES):
        done += file.write(piece)
    if done != size:
        raise Refused(f"the tar stream ends after {done} of {size} bytes")
    file.flush()
    return file


def _read_out(stream: IO[bytes]) -> None:
    """The sender's padding too, so that it is not told of a broken pipe."""
    while stream.read(_PIECE_BYTES):
        pass


def _verify(members: dict[str, IO[bytes]], name: str, content: bytes) -> None:
    told = dict(_sum(name, line) for line in content.decode("utf-8", "replace").splitlines())
    if not members or set(told) != set(members):
        raise Refused(f"{name} does not name the files of the tar stream, each once")
    for each, file in members.items():
        file.seek(0)
        found = hashlib.file_digest(file, _new_hash(_SUMS[name])).hexdigest()  # type: ignore[arg-type]  # IO[bytes] is readable, and it asks for no more
        if found != told[each]:
            raise Refused(f"{each} has another sum than {name} tells", hint="It is sent again.")


def _new_hash(kind: str) -> Any:
    return lambda: hashlib.new(kind, usedforsecurity=False)


def _sum(name: str, line: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise Refused(f"{name} has a line that is no sum: {line[:100]!r}")
    return found[2], found[1]
