"""WAL in names and numbers: LSN, timelines, segments.

Source: PostgreSQL documentation, "WAL Internals"; `XLogFileName` and `XLByteToPrevSeg` in
PostgreSQL's xlog_internal.h. A segment's number is its LSN divided by the segment size, so the
same number means another file name in a cluster made with another `--wal-segsize`.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from operator import attrgetter

DEFAULT_SEGMENT_SIZE = 16 * 1024 * 1024
SEGMENT_SIZES = frozenset(2**power for power in range(20, 31))  # 1 MB to 1 GB
_LOG_BYTES = 1 << 32

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_PARTIAL = re.compile(r"[0-9A-F]{24}\.partial")
_LABEL = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class WalKind(Enum):
    """What a file in a WAL directory is, by its name alone."""

    SEGMENT = auto()
    PARTIAL = auto()
    LABEL = auto()
    HISTORY = auto()
    UNKNOWN = auto()


def kind_of(name: str) -> WalKind:
    for pattern, kind in (
        (_SEGMENT, WalKind.SEGMENT),
        (_LABEL, WalKind.LABEL),
        (_HISTORY, WalKind.HISTORY),
        (_PARTIAL, WalKind.PARTIAL),
    ):
        if pattern.fullmatch(name):
            return kind
    return WalKind.UNKNOWN


def parse_lsn(text: str) -> int:
    """Bytes since the beginning of WAL. Raises ValueError for anything but `X/X`."""
    found = _LSN.fullmatch(text)
    if found is None:
        raise ValueError(f"not an LSN: {text!r}")
    return (int(found[1], 16) << 32) | int(found[2], 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One WAL segment of a cluster whose segment size is known; `number` counts from LSN 0."""

    timeline: int
    number: int

    def name(self, size: int) -> str:
        """Its 24-digit file name, for segments of `size` bytes."""
        per_log = _LOG_BYTES // size
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"

    @staticmethod
    def parse(name: str, size: int) -> "Segment":
        """Raises ValueError when no cluster with segments of `size` bytes writes such a name."""
        if not _SEGMENT.fullmatch(name):
            raise ValueError(f"not a WAL segment's name: {name!r}")
        per_log = _LOG_BYTES // size
        log, rest = int(name[8:16], 16), int(name[16:24], 16)
        if rest >= per_log:
            raise ValueError(f"{name} is no segment of {size} bytes")
        return Segment(int(name[:8], 16), log * per_log + rest)


@dataclass(frozen=True, slots=True)
class Run:
    """An unbroken run of archived segments of one timeline, both ends included."""

    timeline: int
    first: int
    last: int

    def __contains__(self, segment: Segment) -> bool:
        return segment.timeline == self.timeline and self.first <= segment.number <= self.last

    def segments(self) -> Iterator[Segment]:
        return (Segment(self.timeline, number) for number in range(self.first, self.last + 1))


def needed_between(timeline: int, begin_lsn: int, end_lsn: int, size: int) -> Run:
    """The segments a backup needs to be consistent.

    `end_lsn` points behind the last byte needed, so an end on a boundary belongs to the segment
    before it (Barman #1041).
    """
    return Run(timeline, begin_lsn // size, max(begin_lsn // size, (end_lsn - 1) // size))


def runs_of(segments: Iterable[tuple[Segment, int]]) -> list[tuple[Run, int]]:
    """Segments in order, each with its bytes, as unbroken runs with their bytes."""
    runs: list[tuple[Run, int]] = []
    for segment, size in segments:
        last, total = runs[-1] if runs else (None, 0)
        if last and (last.timeline, last.last + 1) == (segment.timeline, segment.number):
            runs[-1] = (Run(last.timeline, last.first, segment.number), total + size)
        else:
            runs.append((Run(segment.timeline, segment.number, segment.number), size))
    return runs


class Held:
    """Runs that somebody has, asked again and again what they lack."""

    def __init__(self, runs: Iterable[Run]) -> None:
        by_timeline: defaultdict[int, list[Run]] = defaultdict(list)
        for run in sorted(runs, key=attrgetter("timeline", "first")):
            known = by_timeline[run.timeline]
            if known and run.first <= known[-1].last + 1:
                last = max(known[-1].last, run.last)
                known[-1] = Run(run.timeline, known[-1].first, last)
            else:
                known.append(run)
        self._runs = dict(by_timeline)

    def missing(self, needed: Run) -> list[Run]:
        """The parts of `needed` that no run covers, in order."""
        gaps: list[Run] = []
        following = needed.first
        runs = self._runs.get(needed.timeline, [])
        for run in islice(runs, bisect_left(runs, following, key=attrgetter("last")), None):
            if run.first > needed.last:
                break
            if run.first > following:
                gaps.append(Run(needed.timeline, following, run.first - 1))
            following = run.last + 1
        if following <= needed.last:
            gaps.append(Run(needed.timeline, following, needed.last))
        return gaps


def missing(needed: Run, held: Iterable[Run]) -> list[Run]:
    """As `Held.missing`, for who asks once."""
    return Held(held).missing(needed)
