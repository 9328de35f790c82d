"""What of the archived WAL a recovery replays.

Source: PostgreSQL documentation, "Timelines".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from barmand.model.lineage import Lineage, lineage_of
from barmand.model.wal import Run, missing


@dataclass(frozen=True, slots=True)
class Replay:
    """From `begin` on, up to `end` (None: all there is), along `line`. LSN in bytes."""

    begin: int
    end: int | None
    line: Lineage

    def covers(self, timeline: int, lsn: int) -> bool:
        """Is the record that begins there replayed?"""
        if lsn < self.begin or (self.end is not None and lsn >= self.end):
            return False
        left = self.line.end(timeline)
        return timeline in self.line.timelines and (left is None or lsn < left)


def line_behind(timeline: int, end_lsn: int, histories: Mapping[int, str]) -> Lineage:
    """The line on which a backup of `timeline` that ends at `end_lsn` is recovered furthest.

    It leads to the newest timeline that left the backup's behind its end. Another one, that of a
    recovery to an earlier moment say, is not this backup's: PostgreSQL's `latest` would take it,
    and fail.
    """
    for newest in sorted(histories, reverse=True):
        try:
            line = lineage_of(newest, histories[newest])
        except ValueError:
            continue
        if timeline in line.timelines and (line.end(timeline) or 0) >= end_lsn:
            return line
    return Lineage(timeline)


def first_hole(line: Lineage, needed: Run, held: Sequence[Run], size: int) -> Run | None:
    """The first WAL that a replay along `line` would come to and that is not held; what is behind
    the last that is held of the newest timeline is no hole, but the end.
    """
    begin = needed.first
    timelines = line.timelines[line.timelines.index(needed.timeline) :]
    for timeline in timelines:
        runs = [run for run in held if run.timeline == timeline]
        left = line.end(timeline)
        if left is None:
            last = max((run.last for run in runs), default=begin - 1)
        else:
            last = left // size - 1  # the next timeline has the segment in which it left
        gaps = missing(Run(timeline, begin, last), runs) if begin <= last else []
        if gaps:
            return gaps[0]
        begin = max(begin, last + 1)
    return None


def before_hole(line: Lineage, hole: Run, wanted: Sequence[Run]) -> list[Run]:
    """Of these segments, what a replay reads before it comes to the hole."""
    place = line.timelines.index(hole.timeline)
    earlier = [run for run in wanted if run.timeline in line.timelines[:place]]
    own = [run for run in wanted if run.timeline == hole.timeline and run.first < hole.first]
    return [
        *earlier,
        *(Run(run.timeline, run.first, min(run.last, hole.first - 1)) for run in own),
    ]
