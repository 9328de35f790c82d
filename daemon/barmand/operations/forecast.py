"""What the next pass of retention would free."""

from dataclasses import dataclass

from barmand.catalog.backups import Backups
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE
from barmand.model.judge import in_order
from barmand.model.retention import Keep, Policy, needed
from barmand.model.verdict import Verdict
from barmand.operations.judging import Judging
from barmand.operations.ports import Stop
from barmand.storage.disk import heed
from barmand.storage.freed import freed_by
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive


@dataclass(frozen=True, slots=True)
class Freed:
    """`backup_ids` in the order in which they would go; bytes on disk."""

    backup_ids: tuple[str, ...]
    backup_bytes: int
    wal_segments: int
    wal_bytes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    server: str
    layout: Layout
    wals: WalArchive
    wal_runs: WalRuns
    backups: Backups
    judging: Judging

    def run(self, verdicts: tuple[Verdict, ...], *, stop: Stop) -> Freed:
        """Looks at every file of what would go. Raises Stopped."""
        going = tuple(each.backup.id for each in in_order(verdicts))
        freed = freed_by([self.layout.backup(each) for each in going], stop)
        return Freed(going, freed, *self._wal_without(set(going), stop))

    def _wal_without(self, going: set[str], stop: Stop) -> tuple[int, int]:
        """The segments that nobody would need, and their bytes."""
        if not going:
            return 0, 0
        left = [each for each in self.backups.of_server(self.server) if each.id not in going]
        kept = self.judging.keeps([each for each in left if each.status in RESTORABLE])
        now = self.judging.now()
        marks = {each: mark.target for each, mark in kept.items() if not mark.has_ended(now)}
        marks |= dict.fromkeys(self.judging.holds.of_server(self.server), Keep.FULL)
        need = needed(left, marks, Policy())
        if not need.has_surplus or self.wal_runs.segment_sizes(self.server) - {need.segment_size}:
            return 0, 0
        count = total = 0
        for segment, size in self.wals.segments(need.segment_size):
            heed(stop, "measuring", self.layout.wals)
            if not need.covers(segment):
                count += 1
                total += size
        return count, total
