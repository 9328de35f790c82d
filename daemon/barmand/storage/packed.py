"""A base backup as pg_basebackup packs it: base.tar and, for each tablespace, <oid>.tar.

They lie in the data folder, compressed or not, where Barman has them too. They are read as streams
and not believed: a member goes nowhere but below the folder that is filled, and each file must be
what the manifest promises; neither tar nor lz4 nor zstd would tell a flipped bit.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import lz4.frame
import zstandard

from barmand.model.errors import StorageFailed
from barmand.storage.disk import Stop, at_the_disk, heed
from barmand.storage.promises import Promise, Promises
from barmand.storage.trees import Owner

BASE = "base"
LABEL = "backup_label"
_PIECE_BYTES = 1024 * 1024
_RIGHTS = 0o777
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_DAMAGES = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class Archive:
    path: Path
    suffix: str

    def read_label(self) -> str:
        """PostgreSQL sends it first, so this does not read far."""
        with self._opened() as opened:
            for member, content in opened.members():
                if member.name == LABEL and content is not None:
                    return content.read(_PIECE_BYTES).decode(errors="replace")
        raise StorageFailed(f"{self.path} holds no {LABEL}")

    def unpack(
        self,
        into: Path,
        promises: Promises,
        stop: Stop,
        progress: Callable[[int], None],
        *,
        prefix: str = "",
        owner: Owner | None = None,
    ) -> int:
        """Fill `into`, an empty folder; returns the bytes of its files. Not synced.

        `prefix` is what the manifest puts before its paths. `progress` counts the packed bytes.
        """
        total = 0
        folders: list[tuple[Path, tarfile.TarInfo]] = []
        with self._opened() as opened:
            for member, content in opened.members():
                target = into / self._place(member)
                if content is None:
                    with at_the_disk("make directory", target):
                        target.mkdir(0o700, exist_ok=target == into)
                    folders.append((target, member))
                    continue
                promise = promises.take(prefix + member.name)
                for count in self._write(target, content, promise):
                    heed(stop, "unpacking", self.path)
                    total += count
                    progress(opened.packed_since())
                _dress(target, member, owner)
            opened.read_to_the_end()
            progress(opened.packed_since())
        # Innermost first, after their content, which changes their times.
        for target, member in reversed(folders):
            _dress(target, member, owner)
        return total

    def look_through(
        self,
        see: Callable[[str, Iterator[bytes]], None],
        stop: Stop,
        progress: Callable[[int], None],
        *,
        see_folder: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """Show `see` each file and its bytes, in order, to the archive's end; nothing is written.

        `progress` counts the packed bytes. Raises StorageFailed for an archive that is damaged.
        """
        with self._opened() as opened:
            for member, content in opened.members():
                self._place(member)
                heed(stop, "reading", self.path)
                if content is None:
                    see_folder(member.name)
                else:
                    see(member.name, self._pieces(content, opened, stop, progress))
            opened.read_to_the_end()
            progress(opened.packed_since())

    def _pieces(
        self,
        content: IO[bytes],
        opened: "_Opened",
        stop: Stop,
        progress: Callable[[int], None],
    ) -> Iterator[bytes]:
        while piece := content.read(_PIECE_BYTES):
            heed(stop, "reading", self.path)
            yield piece
            progress(opened.packed_since())

    def _place(self, member: tarfile.TarInfo) -> PurePosixPath:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts:
            raise StorageFailed(f"{self.path} is not to be trusted: it holds {member.name!r}")
        if not member.isdir() and member.type not in _FILES:
            raise StorageFailed(
                f"{self.path} is not to be trusted: {member.name!r} is neither a file nor a folder"
            )
        return place

    def _write(self, target: Path, content: IO[bytes], promise: Promise | None) -> Iterator[int]:
        size, digest = 0, promise.digest() if promise else None
        with at_the_disk("create", target):
            file = target.open("xb")
        with file:
            while piece := content.read(_PIECE_BYTES):
                with at_the_disk("write", target):
                    file.write(piece)
                if digest is not None:
                    digest.update(piece)
                size += len(piece)
                yield len(piece)
        if promise and digest and (size, digest.hex()) != (promise.size, promise.checksum):
            raise StorageFailed(
                f"{self.path} is damaged: {target.name} in it is not as the manifest says"
            )

    @contextmanager
    def _opened(self) -> Iterator["_Opened"]:
        with at_the_disk("read", self.path), self.path.open("rb") as packed:
            try:
                stream = _READERS[self.suffix](packed)
                with tarfile.open(
                    fileobj=stream,
                    mode="r|",
                    tarinfo=_Header,
                    bufsize=_PIECE_BYTES,
                    encoding="utf-8",
                ) as tar:
                    yield _Opened(tar, packed)
            except _DAMAGES as error:
                raise StorageFailed(f"{self.path} is damaged: {error}") from error


def archive_in(data: Path, name: str) -> Archive:
    """The archive `name`, whatever it is packed with. Raises StorageFailed when there is none."""
    for suffix in _READERS:
        path = data / f"{name}{suffix}"
        if path.is_file():
            return Archive(path, suffix)
    raise StorageFailed(f"the backup is not whole: there is no {name}.tar in {data}")


# ------------------------------------------------------------------------------------- one archive


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Opened:
    """An archive while it is read."""

    def __init__(self, tar: tarfile.TarFile, packed: IO[bytes]) -> None:
        self._tar = tar
        self._packed = packed
        self._position = 0

    def members(self) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        """Each with its content, which is None for all but files."""
        while (member := self._tar.next()) is not None:
            self._tar.members.clear()  # type: ignore[attr-defined] # else it remembers a million
            yield member, self._tar.extractfile(member) if member.type in _FILES else None

    def packed_since(self) -> int:
        """The packed bytes that were read since this was asked last."""
        before, self._position = self._position, self._packed.tell()
        return self._position - before

    def read_to_the_end(self) -> None:
        """There gzip keeps its checksum. Only zeros may follow the block that ended the tar."""
        rest: _Stream = self._tar.fileobj
        while piece := rest.read(_PIECE_BYTES):
            if piece.strip(b"\0"):
                raise tarfile.ReadError("it goes on after its end")


class _Header(tarfile.TarInfo):
    """A damaged header is told of; tarfile takes it for the archive's end, as a whole block of
    zeros is.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):
                raise
            raise tarfile.ReadError(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Lz4:
    frames: _Stream

    def read(self, size: int) -> bytes:
        try:
            return self.frames.read(size)
        except RuntimeError as error:  # its only word for damage
            raise tarfile.ReadError(str(error)) from error


def _zstd(packed: IO[bytes]) -> Any:
    return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)


_READERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".tar": lambda packed: packed,
    ".tar.gz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".tar.lz4": lambda packed: _Lz4(lz4.frame.open(packed)),
    ".tar.zst": _zstd,
}


def _dress(target: Path, member: tarfile.TarInfo, owner: Owner | None) -> None:
    with at_the_disk("write", target):
        if owner is not None:
            os.chown(target, *owner, follow_symlinks=False)
        target.chmod(member.mode & _RIGHTS)
        os.utime(target, (member.mtime, member.mtime))
