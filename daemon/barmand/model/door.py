"""Judged at the door: does a file that arrived belong to a server's WAL?

From values only. Sources: `XLogLongPageHeaderData` and `XLOG_PAGE_MAGIC` in PostgreSQL's
xlog_internal.h, one magic for each major version; PostgreSQL documentation, "Continuous Archiving",
for labels and histories.
"""

import re
import struct
from dataclasses import dataclass

from barmand.model.history import parse_history
from barmand.model.wal import SEGMENT_SIZES, Segment, WalKind, format_lsn, kind_of, parse_lsn

_LONG_HEADER = struct.Struct("=HHIQI4xQII")
"""In the machine's own byte order, as PostgreSQL writes it."""
HEADER_BYTES = _LONG_HEADER.size
_IS_LONG = 0x0002

MAGICS = {
    10: 0xD097,
    11: 0xD098,
    12: 0xD101,
    13: 0xD106,
    14: 0xD10D,
    15: 0xD110,
    16: 0xD113,
    17: 0xD116,
    18: 0xD118,
}
_MAGIC_FAMILY = 0xD000
"""Every magic so far has this upper digit, and each is greater than those before it."""

TEXT_BYTES = 1024 * 1024
"""No history and no label is longer."""

_LABEL_START = re.compile(r"START WAL LOCATION: ([0-9A-F/]+) \(file ([0-9A-F]{24})\)")
_LABEL_END = "\nSTOP TIME: "
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself on its first page."""

    magic: int
    flags: int
    timeline: int
    page_address: int
    system_id: str
    segment_size: int
    block_size: int

    @property
    def is_wal(self) -> bool:
        """Does it look like one at all, of whatever cluster and version?"""
        return bool(
            self.magic & 0xF000 == _MAGIC_FAMILY
            and self.flags & _IS_LONG
            and self.segment_size in SEGMENT_SIZES
        )


def parse_header(head: bytes) -> SegmentHeader | None:
    """None while nothing has been written there: too short, or zeros."""
    if len(head) < HEADER_BYTES or not any(head[:HEADER_BYTES]):
        return None
    magic, flags, timeline, address, _, system_id, size, block = _LONG_HEADER.unpack_from(head)
    return SegmentHeader(magic, flags, timeline, address, str(system_id), size, block)


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of the cluster; None is not known yet, and then nothing is demanded."""

    system_id: str | None = None
    segment_size: int | None = None
    version: int | None = None
    """As PostgreSQL numbers it: 150018 is 15.18."""


@dataclass(frozen=True, slots=True)
class Belongs:
    """`segment` is None for a history."""

    segment: Segment | None = None
    segment_size: int | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Somebody still writes it, or stopped in the middle."""

    why: str


@dataclass(frozen=True, slots=True)
class Misfit:
    """`reason` is the word that ends its name in errors/, `why` a sentence for people."""

    reason: str
    why: str


Verdict = Belongs | Unfinished | Misfit


def judge(name: str, header: SegmentHeader | None, size: int, expected: Expected) -> Verdict:
    """A segment, or a `.partial` one, with its bytes once unpacked."""
    if kind_of(name) not in (WalKind.SEGMENT, WalKind.PARTIAL):
        return Misfit("unknown", "its name is no WAL file's")
    if header is None:
        return Unfinished("it has no first page yet")
    if not header.is_wal:
        return Misfit("unknown", "it does not begin as WAL does")
    if size < header.segment_size:
        return Unfinished(f"it has {size} bytes of {header.segment_size}")
    return (
        _judge_size(header, size, expected)
        or _judge_origin(header, expected)
        or _judge_place(name, header)
    )


def judge_history(name: str, content: bytes) -> Verdict:
    """PostgreSQL ends each line of it, so an open last line is half a file."""
    if len(content) > TEXT_BYTES:
        return Misfit("invalid", "it is too long for a history")
    if not content.endswith(b"\n"):
        return Unfinished("its last line is not finished")
    try:
        parse_history(int(name[:8], 16), content.decode())
    except ValueError as error:
        return Misfit("invalid", f"it is no history of that timeline: {error}")
    return Belongs()


def judge_label(name: str, content: bytes, expected: Expected) -> Verdict:
    """A backup's label is named after the segment and the offset in it where the backup began."""
    if len(content) > TEXT_BYTES:
        return Misfit("invalid", "it is too long for a label")
    text = content.decode(errors="replace")
    found = _LABEL_START.match(text)
    if _LABEL_END not in text or not text.endswith("\n"):
        is_begun = found is not None or not content
        return Unfinished("it has no end yet") if is_begun else _no_label()
    if found is None:
        return _no_label()
    try:
        lsn = parse_lsn(found[1])
        segment = Segment.parse(name[:24], expected.segment_size or _MB)
    except ValueError as error:
        return Misfit("invalid", str(error))
    # Without a known size of segments, what is the same for all: the offset in a megabyte.
    if found[2] != name[:24] or (lsn - int(name[25:33], 16)) % (expected.segment_size or _MB):
        return Misfit("misnamed", f"it is the label of a backup that began at {found[1]}")
    return Belongs(segment if expected.segment_size else None, expected.segment_size)


def _no_label() -> Misfit:
    return Misfit("invalid", "it is no backup's label")


def _judge_size(header: SegmentHeader, size: int, expected: Expected) -> Misfit | None:
    if expected.segment_size not in (None, header.segment_size):
        why = f"its segments have {header.segment_size} bytes, not {expected.segment_size}"
        return Misfit("foreign", why)
    if size > header.segment_size:
        return Misfit("damaged", f"it has {size} bytes, its segments {header.segment_size}")
    return None


def _judge_origin(header: SegmentHeader, expected: Expected) -> Misfit | None:
    if expected.system_id not in (None, header.system_id):
        why = f"it is WAL of system {header.system_id}, not {expected.system_id}"
        return Misfit("foreign", why)
    if expected.version is not None and not _is_of(header.magic, expected.version // 10_000):
        why = (
            f"its pages have magic {header.magic:04X}: not PostgreSQL {expected.version // 10_000}"
        )
        return Misfit("foreign", why)
    return None


def _is_of(magic: int, major: int) -> bool:
    """Of a major version that came after this table, only what is older is known."""
    known = MAGICS.get(major)
    if known is not None:
        return magic == known
    return magic > max(MAGICS.values()) if major > max(MAGICS) else magic not in MAGICS.values()


def _judge_place(name: str, header: SegmentHeader) -> Verdict:
    size = header.segment_size
    try:
        segment = Segment.parse(name[:24], size)
    except ValueError as error:
        return Misfit("unknown", str(error))
    if header.page_address != segment.number * size:
        why = f"its first page says {format_lsn(header.page_address)}, which is another segment"
        return Misfit("misnamed", why)
    # Where a timeline begins inside a segment, the pages before that are its ancestor's.
    if not 0 < header.timeline <= segment.timeline:
        return Misfit("misnamed", f"its first page is of timeline {header.timeline}, a later one")
    return Belongs(segment, size)
