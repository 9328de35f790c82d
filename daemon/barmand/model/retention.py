"""Which WAL is still needed, and by whom.

A backup can be replayed forward only: from its first segment on its own timeline, and on to
timelines that branched off later (a later timeline has a greater number). That is its reach. WAL
that no remaining backup reaches may go, and only as far as the deleted backup could have used it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from barmand.model.wal import Run, Segment


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a backup's replay can begin (`timeline`, `first`), and its own last needed segment."""

    timeline: int
    first: int
    last: int

    @staticmethod
    def of(needed: Run) -> "Reach":
        return Reach(needed.timeline, needed.first, needed.last)

    def covers(self, segment: Segment) -> bool:
        return segment.timeline >= self.timeline and segment.number >= self.first


def removable(archived: Iterable[Run], gone: Reach, others: Sequence[Reach]) -> list[Run]:
    """The parts of `archived` that only the backup `gone` needed.

    What `gone` itself needed goes where no other backup reaches. Behind its end, only what lies
    before every other backup goes too; with no other backup nothing does, so WAL newer than the
    last backup is never removed.
    """
    ceiling = max([gone.last, min((other.first for other in others), default=0) - 1])
    removed: list[Run] = []
    for run in archived:
        floors = [other.first for other in others if other.timeline <= run.timeline]
        first = max(run.first, gone.first)
        last = min([run.last, ceiling, *(floor - 1 for floor in floors)])
        if run.timeline >= gone.timeline and first <= last:
            removed.append(Run(run.timeline, first, last))
    return removed
