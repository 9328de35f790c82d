"""Which WAL is still needed, and by whom.

A backup can be replayed forward only: from its first segment on its own timeline, and on to
timelines that branched off later (a later timeline has a greater number). That is its reach. WAL
that no remaining backup reaches may go, and only as far as the deleted backup could have used it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from barmand.model.backup import Backup
from barmand.model.wal import Run, Segment


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a backup's replay can begin (`timeline`, `first`), and its own last needed segment."""

    timeline: int
    first: int
    last: int
    is_standby: bool = False
    """Taken from a standby: a later one may begin where this one did, not only behind its end."""

    @staticmethod
    def of(backup: Backup) -> "Reach | None":
        """None before the backup's positions are known."""
        needed, cluster = backup.needed(), backup.cluster
        if needed is None or cluster is None:
            return None
        return Reach(needed.timeline, needed.first, needed.last, cluster.is_standby)

    def covers(self, segment: Segment) -> bool:
        return segment.timeline >= self.timeline and segment.number >= self.first


def removable(archived: Iterable[Run], gone: Reach, others: Sequence[Reach]) -> list[Run]:
    """The parts of `archived` that only the backup `gone` needed.

    What `gone` itself needed goes where no other backup reaches. Behind its end, only what lies
    before every other backup goes too; with no other backup nothing does, so WAL newer than the
    last backup is never removed.
    """
    ceiling = _ceiling(gone, others)
    removed: list[Run] = []
    for run in archived:
        floors = [other.first for other in others if other.timeline <= run.timeline]
        first = max(run.first, gone.first)
        last = min([run.last, ceiling, *(floor - 1 for floor in floors)])
        if run.timeline >= gone.timeline and first <= last:
            removed.append(Run(run.timeline, first, last))
    return removed


def _ceiling(gone: Reach, others: Sequence[Reach]) -> int:
    """The last segment that may go, whatever its timeline."""
    if not gone.is_standby:
        # A primary closes its segment at a backup's end: what is taken later begins behind it.
        return max(gone.last, min((other.first for other in others), default=0) - 1)
    # A standby begins at its last restart point, which an earlier backup may share.
    later = [other.first for other in others if other.first > gone.first]
    return max(later, default=gone.first) - 1
