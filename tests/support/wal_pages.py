"""WAL as PostgreSQL lays it out: records, cut by the headers of pages."""

import struct

import google_crc32c

from barmand.model.door import MAGICS
from fakes import MB, SYSTEM

BLOCK = 8192
FIRST_BYTES, PAGE_BYTES = BLOCK - 40, BLOCK - 24


def tablespace_record(oid: int, location: bytes, *, info: int = 0) -> bytes:
    """Of CREATE TABLESPACE, as long as a record is, filled up to eight bytes."""
    own = struct.pack("=I", oid) + location + b"\0"
    length = (
        b"\xff" + bytes([len(own)]) if len(own) < 256 else b"\xfe" + struct.pack("=I", len(own))
    )
    total = 24 + len(length) + len(own)
    head = struct.pack("=IIQBBxx", total, 0, 0x28, info, 5)
    crc = google_crc32c.extend(google_crc32c.value(length + own), head)
    record = head + struct.pack("=I", crc) + length + own
    return record + bytes(-len(record) % 8)


def payload_bytes(size: int = MB) -> int:
    """How much of records one segment holds."""
    return FIRST_BYTES + (size // BLOCK - 1) * PAGE_BYTES


def paged(number: int, payload: bytes, *, timeline: int = 1, size: int = MB) -> bytes:
    """A whole segment that holds `payload`, and zeros behind it."""
    payload = payload.ljust(payload_bytes(size), b"\0")
    pages, at = [], 0
    for page in range(size // BLOCK):
        count = PAGE_BYTES if page else FIRST_BYTES
        address = number * size + page * BLOCK
        flags = 0 if page else 0x0002
        header = struct.pack("=HHIQI4x", MAGICS[15], flags, timeline, address, 0)
        if not page:
            header += struct.pack("=QII", int(SYSTEM), size, BLOCK)
        pages.append(header + payload[at : at + count])
        at += count
    return b"".join(pages)
