"""streaming/ as pg_receivewal reads it: where it would go on, and how it is told another place.

Source: PostgreSQL documentation, pg_receivewal: it goes on behind the last whole segment, or at the
beginning of the `.partial` one; the highest number counts, then the highest timeline. Of a
`.partial` it takes none but an empty one and one of a whole segment's size.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.model.wal import Segment, WalKind, kind_of
from barmand.storage.disk import at_the_disk, open_regular
from barmand.storage.durable import sync_file, write_whole
from barmand.storage.packing import Damaged, unpacked

log = structlog.get_logger()

PARTIAL = ".partial"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Streamed:
    """One segment that lies there, whole or half."""

    path: Path
    segment: Segment
    is_half: bool

    @property
    def following(self) -> Segment:
        """Where pg_receivewal would go on behind it."""
        number = self.segment.number + (not self.is_half)
        return Segment(self.segment.timeline, number)

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Of several, pg_receivewal goes on behind the one of the highest."""
        return self.segment.number, self.segment.timeline, not self.is_half


def streamed(directory: Path, size: int) -> list[Streamed]:
    """The segments of a cluster whose segments have `size` bytes; no other file counts."""
    with at_the_disk("list", directory):
        paths = sorted(directory.iterdir())
    found: list[Streamed] = []
    for path in paths:
        kind = kind_of(path.name)
        if kind not in (WalKind.SEGMENT, WalKind.PARTIAL):
            continue
        try:
            segment = Segment.parse(path.name[:24], size)
        except ValueError:
            continue  # the archive sets it aside, with its reason
        found.append(Streamed(path, segment, kind is WalKind.PARTIAL))
    return found


def mend_halves(found: list[Streamed], size: int) -> list[Path]:
    """Give each half segment the size of a whole one, where pg_receivewal would refuse it.

    It fills a new segment with zeros first; killed in that, or out of space, it would refuse its
    own half for ever. What is in it stays. Those too long are returned: they are no WAL of ours.
    """
    foreign: list[Path] = []
    for half in (each for each in found if each.is_half):
        with at_the_disk("mend", half.path):
            has = half.path.stat().st_size
            if 0 < has < size:
                os.truncate(half.path, size)
                log.info("half segment filled up", file=half.path.name, bytes=has)
        if 0 < has < size:
            sync_file(half.path)
        elif has > size:
            foreign.append(half.path)
    return foreign


def mark(directory: Path, segment: Segment, size: int) -> None:
    """Let pg_receivewal go on at the beginning of this segment: an empty half of it."""
    write_whole(directory / f"{segment.name(size)}{PARTIAL}", b"")


def written(half: Path) -> int:
    """Bytes up to the last that is not zero: what is behind it was not received, or is padding."""
    with open_regular(half) as file, at_the_disk("read", half):
        begin = os.fstat(file).st_size
        while begin > 0:
            begin, end = max(0, begin - _PIECE_BYTES), begin
            length = len(os.pread(file, end - begin, begin).rstrip(b"\0"))
            if length:
                return begin + length
    return 0


def begins_as(archived: Path, half: Path, count: int) -> bool:
    """Does the archived one, packed or not, begin with the first `count` bytes of the half?"""
    done = 0
    with open_regular(half) as file, at_the_disk("read", half):
        try:
            for piece in unpacked(archived):
                wanted = min(len(piece), count - done)
                if os.pread(file, wanted, done) != piece[:wanted]:
                    return False
                done += wanted
        except Damaged:
            return False
    return done == count
