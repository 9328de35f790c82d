"""How a segment is packed: told by its first bytes, for the archive keeps the plain name."""

import bz2
import gzip
import lzma
import shutil
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.storage.disk import at_the_disk

_PIECE_BYTES = 1024 * 1024


def _open_plain(path: Path) -> BufferedIOBase:
    return path.open("rb")


def _open_gzip(path: Path) -> BufferedIOBase:
    return gzip.GzipFile(path)


def _open_bzip2(path: Path) -> BufferedIOBase:
    return bz2.BZ2File(path)


def _open_xz(path: Path) -> BufferedIOBase:
    return lzma.LZMAFile(path)


_OPENERS: tuple[tuple[bytes, Callable[[Path], BufferedIOBase] | None], ...] = (
    (b"\x1f\x8b", _open_gzip),
    (b"BZh", _open_bzip2),
    (b"\xfd7zXZ\x00", _open_xz),
    (b"\x28\xb5\x2f\xfd", None),  # zstd
    (b"\x04\x22\x4d\x18", None),  # lz4
    (b"", _open_plain),
)
"""By the first bytes; no page of WAL and no label begins so. None: Python cannot unpack it."""


def holds_same(archived: Path, arrived: Path) -> bool:
    """Do both hold the same bytes, packed or once unpacked? What cannot be unpacked differs."""
    with at_the_disk("compare with", archived):
        with _open_plain(archived) as one, _open_plain(arrived) as other:
            if _are_equal(one, other):
                return True
        openers = _opener(archived), _opener(arrived)
        if openers == (_open_plain, _open_plain) or openers[0] is None or openers[1] is None:
            return False
        with openers[0](archived) as one, openers[1](arrived) as other:
            return _are_equal_unpacked(one, other)


def is_packed(path: Path) -> bool:
    with at_the_disk("read", path):
        return _opener(path) is not _open_plain


def _opener(path: Path) -> Callable[[Path], BufferedIOBase] | None:
    with _open_plain(path) as file:
        head = file.read(8)
    return next(opener for magic, opener in _OPENERS if head.startswith(magic))


def _are_equal_unpacked(one: BufferedIOBase, other: BufferedIOBase) -> bool:
    try:
        return _are_equal(one, other)
    except (EOFError, zlib.error, lzma.LZMAError):
        return False
    except OSError as error:
        if error.errno is not None:  # without a number it is gzip's or bz2's word for damage
            raise
        return False


def _are_equal(one: BufferedIOBase, other: BufferedIOBase) -> bool:
    while True:
        piece = one.read(_PIECE_BYTES)
        if piece != other.read(_PIECE_BYTES):
            return False
        if not piece:
            return True


def unpack(archived: Path, destination: Path) -> None:
    """The segment as PostgreSQL wrote it, in the new file `destination`. Not synced."""
    with at_the_disk("unpack", archived):
        opener = _opener(archived)
        if opener is None:
            raise StorageFailed(
                f"cannot unpack {archived}: this version of barmand reads gzip, bzip2 and xz"
            )
        try:
            with opener(archived) as packed, destination.open("xb") as plain:
                shutil.copyfileobj(packed, plain, _PIECE_BYTES)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise StorageFailed(f"{archived} is damaged: {error}") from error
