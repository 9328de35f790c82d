"""Which tablespaces a WAL segment makes: PostgreSQL makes them where its source had them.

Source: PostgreSQL's access/xlogrecord.h (a record's header, and the CRC32C of its data followed by
the header before that sum), access/rmgrlist.h (5 is Tablespace), commands/tablespace.h
(`xl_tblspc_create_rec`) and access/xlog_internal.h (the headers of pages, which cut into records).
"""

import os
import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import google_crc32c

from barmand.model.door import HEADER_BYTES, parse_header
from barmand.storage.disk import at_the_disk

_PAGE = struct.Struct("=HHIQ")
_IS_LONG = 0x0002
_SHORT_BYTES, _LONG_BYTES = 24, 40
_BLOCK_SIZES = frozenset(2**power for power in range(10, 17))
_PIECE_BYTES = 1024 * 1024
_LONGEST = 2048
"""A place has at most 1023 bytes (MAXPGPATH), and nothing else in such a record is long."""

_HEADER_BYTES, _CRC_AT, _RMID_AT = 24, 20, 17
_CREATES = re.compile(
    # rmid and padding; the sum; perhaps origin and top transaction; the length of what is the
    # record's own; oid and place. A hit that is none must not hide the next: only looked at.
    rb"\x05\0\0(?=.{4}(?:\xfd..)?(?:\xfc.{4})?(?:\xff.|\xfe.{4})(.{4})(/[^\0]{0,1023})\0)",
    re.DOTALL,
)
_INFO = 0xF0


@dataclass(frozen=True, slots=True)
class TablespaceMade:
    oid: int
    location: bytes
    lsn: int
    """Where its record begins."""

    @property
    def path(self) -> Path:
        return Path(os.fsdecode(self.location))

    @property
    def shown(self) -> str:
        return self.location.decode(errors="backslashreplace")


def tablespaces_made(segment: Path, before: Path | None) -> list[TablespaceMade]:
    """By records that end in `segment`, in order; `before` is the segment that it follows.

    Both as PostgreSQL wrote them. What does not begin as WAL does makes nothing.
    """
    found: dict[int, TablespaceMade] = {}
    with at_the_disk("read", segment), segment.open("rb") as file:
        header = parse_header(file.read(HEADER_BYTES))
        if header is None or not header.is_wal or header.block_size not in _BLOCK_SIZES:
            return []
        block, address = header.block_size, header.page_address
        overlap = -(-_LONGEST // block) * block
        end = _end_of(before, overlap)
        file.seek(0)
        for begin, pages in _pieces(file, end, overlap):
            for made in _in_pages(pages, block, address + begin, address):
                found[made.lsn] = made
    return list(found.values())


def _end_of(segment: Path | None, count: int) -> bytes:
    if segment is None:
        return b""
    with at_the_disk("read", segment), segment.open("rb") as file:
        file.seek(-count, os.SEEK_END)
        return file.read()


def _pieces(file: BufferedReader, end: bytes, overlap: int) -> Iterator[tuple[int, bytes]]:
    """Whole pages, each piece with the end of that before it; where it begins in the file."""
    at = 0
    while read := file.read(_PIECE_BYTES):
        yield at - len(end), end + read
        at += len(read)
        end = read[-overlap:]


def _in_pages(pages: bytes, block: int, address: int, least: int) -> Iterator[TablespaceMade]:
    """By records that end on a page from `least` on."""
    text, begins, addresses = _joined(pages, block, address)
    for hit in _CREATES.finditer(text):
        begin = hit.start() - _RMID_AT
        end = hit.end(2) + 1
        if begin < 0 or addresses[bisect_right(begins, end - 1) - 1] < least:
            continue
        if _is_record(text[begin:end]):
            page = bisect_right(begins, begin) - 1
            lsn = addresses[page] + begin - begins[page]
            (oid,) = struct.unpack("=I", hit[1])
            yield TablespaceMade(oid, hit[2], lsn)


def _joined(pages: bytes, block: int, address: int) -> tuple[bytes, list[int], list[int]]:
    """What the pages hold, without their headers; where in it each begins, and at which LSN.

    A page with another address was written earlier, for another place: recovery does not read it.
    """
    parts: list[memoryview] = []
    begins, addresses, length = [], [], 0
    view = memoryview(pages)
    for at in range(0, len(pages) - block + 1, block):
        _, flags, _, own = _PAGE.unpack_from(view, at)
        if own != address + at:
            continue
        header = _LONG_BYTES if flags & _IS_LONG else _SHORT_BYTES
        parts.append(view[at + header : at + block])
        begins.append(length)
        addresses.append(own + header)
        length += block - header
    return b"".join(parts), begins, addresses


def _is_record(text: bytes) -> bool:
    """Is it one, to its last byte? Its sum is that of its data first, then of its header."""
    total, crc = struct.unpack_from("=I16xI", text)
    if total != len(text) or text[_RMID_AT - 1] & _INFO:
        return False
    data = google_crc32c.value(text[_HEADER_BYTES:])
    return bool(google_crc32c.extend(data, text[:_CRC_AT]) == crc)
