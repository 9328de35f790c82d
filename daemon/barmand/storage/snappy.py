"""Snappy's framing format, of which cramjam packs and unpacks the chunks.

Source: framing_format.txt of Snappy. A chunk is a type, a length of three bytes, and that much.
"""

from collections.abc import Iterator

import cramjam

MAGIC = b"\xff\x06\x00\x00sNaPpY"
_HEAD = 4
_GROUP_BYTES = 1024 * 1024


class Damaged(Exception):  # noqa: N818 - it says what is wrong
    """Not what a packer of snappy frames writes."""


class Packer:
    def __init__(self) -> None:
        self._is_begun = False

    def compress(self, data: bytes, /) -> bytes:
        packed = bytes(cramjam.snappy.compress(data))
        if self._is_begun:
            return packed[len(MAGIC) :]
        self._is_begun = True
        return packed

    def flush(self) -> bytes:
        return b"" if self._is_begun else MAGIC


def unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Raises Damaged, also for a checksum that is not its chunk's."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        end = _whole_chunks(waiting)
        if end >= _GROUP_BYTES // 16:
            yield _unpack(waiting[:end])
            del waiting[:end]
    end = _whole_chunks(waiting)
    if end != len(waiting):
        raise Damaged("it ends in the middle of a chunk")
    if waiting:
        yield _unpack(waiting)


def _whole_chunks(data: bytearray) -> int:
    """Where the last whole chunk ends."""
    end = 0
    while end + _HEAD <= len(data):
        following = end + _HEAD + int.from_bytes(data[end + 1 : end + _HEAD], "little")
        if following > len(data):
            break
        end = following
    return end


def _unpack(chunks: bytearray) -> bytes:
    framed = bytes(chunks)
    if not framed.startswith(MAGIC):
        framed = MAGIC + framed
    try:
        return bytes(cramjam.snappy.decompress(framed))
    except cramjam.DecompressionError as error:
        raise Damaged(str(error)) from error
