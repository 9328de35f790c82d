"""How a WAL file is packed: told by its first bytes, for the archive keeps the plain name."""

import bz2
import hashlib
import lzma
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import lz4.frame
import zstandard
from zlib_ng import zlib_ng

from barmand.model.errors import StorageFailed
from barmand.model.packing import Format, Packing
from barmand.storage import snappy
from barmand.storage.disk import at_the_disk, open_regular

_PIECE_BYTES = 1024 * 1024
_PACKED_BYTES = 4096
"""What is unpacked at once: packed zeros grow many thousand times, and memory is bounded."""
_GZIP = 16 + 15  # zlib's word for a gzip header around the largest window
_LARGEST_LZ4_LEVEL = 12  # above it, liblz4 does the same

MAGICS = {
    Format.GZIP: b"\x1f\x8b",
    Format.BZIP2: b"BZh",
    Format.XZ: b"\xfd7zXZ\x00",
    Format.ZSTD: b"\x28\xb5\x2f\xfd",
    Format.LZ4: b"\x04\x22\x4d\x18",
    Format.SNAPPY: snappy.MAGIC,
}
"""No page of WAL begins so, and no history or label."""

_ZLIB_ERROR = cast("type[Exception]", zlib_ng.error)  # its stub says less
_DAMAGED = (
    EOFError,
    RuntimeError,  # lz4's
    lzma.LZMAError,
    _ZLIB_ERROR,
    zstandard.ZstdError,
    snappy.Damaged,
)


class Damaged(StorageFailed):
    """Packed, but it cannot be unpacked."""


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Lz4Packer:
    """lz4's compressor in the shape of the others."""

    def __init__(self, level: int, size: int) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor(
            compression_level=min(level, _LARGEST_LZ4_LEVEL),
            block_size=lz4.frame.BLOCKSIZE_MAX1MB,
            content_checksum=True,
        )
        self._head: bytes = self._frame.begin(size)

    def compress(self, data: bytes, /) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        return self._head + bytes(self._frame.flush())


_PACKERS: dict[Format, Callable[[int, int], _Packer]] = {
    Format.GZIP: lambda level, _: zlib_ng.compressobj(level, zlib_ng.DEFLATED, _GZIP),
    Format.BZIP2: lambda level, _: bz2.BZ2Compressor(level),
    Format.XZ: lambda level, _: lzma.LZMACompressor(preset=level),
    Format.ZSTD: lambda level, size: zstandard.ZstdCompressor(
        level=level, write_checksum=True
    ).compressobj(size),
    Format.LZ4: _Lz4Packer,
    Format.SNAPPY: lambda _, __: snappy.Packer(),
}
_UNPACKERS: dict[Format, Callable[[], _Unpacker]] = {
    Format.GZIP: lambda: zlib_ng.decompressobj(_GZIP),
    Format.BZIP2: bz2.BZ2Decompressor,
    Format.XZ: lzma.LZMADecompressor,
    Format.ZSTD: lambda: zstandard.ZstdDecompressor().decompressobj(),
    Format.LZ4: lz4.frame.LZ4FrameDecompressor,
}


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, once unpacked."""

    head: bytes
    size: int
    digest: bytes


def format_of(path: Path) -> Format | None:
    """None for a file that is not packed."""
    with at_the_disk("read", path), path.open("rb") as file:
        head = file.read(max(map(len, MAGICS.values())))
    return next((form for form, magic in MAGICS.items() if head.startswith(magic)), None)


def is_packed(path: Path) -> bool:
    return format_of(path) is not None


def pack(source: int, target: int, packing: Packing) -> int:
    """Pack an open file into another, empty one, piece by piece; returns the bytes read. OSError.

    The interpreter's lock is not held meanwhile: files are packed side by side.
    """
    packer = _PACKERS[packing.format](packing.level, os.fstat(source).st_size)
    done = 0
    with open(target, "wb", closefd=False) as file:
        while piece := os.read(source, _PIECE_BYTES):
            file.write(packer.compress(piece))
            done += len(piece)
        file.write(packer.flush())
    return done


def unpacked(path: Path) -> Iterator[bytes]:
    """What it holds, in pieces, packed or not. Raises Damaged for what cannot be unpacked."""
    form = format_of(path)
    with at_the_disk("unpack" if form else "read", path), open_regular(path) as number:
        pieces = _pieces(number, _PACKED_BYTES if form else _PIECE_BYTES)
        try:
            match form:
                case None:
                    yield from pieces
                case Format.SNAPPY:
                    yield from snappy.unpacked(pieces)
                case _:
                    yield from _unpacked(pieces, _UNPACKERS[form])
        except _DAMAGED as error:
            raise Damaged(f"{path} is damaged: {error or 'it ends too early'}") from error
        except OSError as error:
            if error.errno is not None:  # without a number it is bz2's word for damage
                raise
            raise Damaged(f"{path} is damaged: {error}") from error


def unpack(archived: Path, destination: Path) -> None:
    """The file as PostgreSQL wrote it, in the new file `destination`. Not synced."""
    with at_the_disk("unpack", archived), destination.open("xb") as plain:
        for piece in unpacked(archived):
            plain.write(piece)


def content_of(path: Path, head_bytes: int = 0) -> Content:
    """Read to the end. Raises Damaged."""
    head, size, digest = b"", 0, hashlib.sha256()
    for piece in unpacked(path):
        head = head or piece[:head_bytes]
        size += len(piece)
        digest.update(piece)
    return Content(head, size, digest.digest())


def holds_same(archived: Path, arrived: Path) -> bool:
    """Do both hold the same bytes, each packed in its way or not? Raises Damaged."""
    if format_of(archived) is format_of(arrived) is None:
        return _are_equal(archived, arrived)
    return content_of(archived).digest == content_of(arrived).digest


def _are_equal(one: Path, other: Path) -> bool:
    with at_the_disk("compare with", one), one.open("rb") as first, other.open("rb") as second:
        while True:
            piece = first.read(_PIECE_BYTES)
            if piece != second.read(_PIECE_BYTES):
                return False
            if not piece:
                return True


def _pieces(file: int, size: int) -> Iterator[bytes]:
    while piece := os.read(file, size):
        yield piece


def _unpacked(pieces: Iterator[bytes], make: Callable[[], _Unpacker]) -> Iterator[bytes]:
    """One frame or several, one after the other."""
    unpacker: _Unpacker | None = None
    for piece in pieces:
        rest = piece
        while rest:
            unpacker = unpacker or make()
            out = unpacker.decompress(rest)
            if out:
                yield out
            rest = b""
            if unpacker.eof:
                rest, unpacker = unpacker.unused_data or b"", None
    if unpacker is not None:
        raise EOFError("it ends too early")
