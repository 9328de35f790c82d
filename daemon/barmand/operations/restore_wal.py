"""Which WAL a restore needs, and whether the archive has it, whole."""

from dataclasses import dataclass

from barmand.catalog.wal_gaps import WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import Backup
from barmand.model.errors import Refused
from barmand.model.gap import GapState
from barmand.model.lineage import Lineage
from barmand.model.recovery import Target, wal_for
from barmand.model.replay import before_hole, first_hole, line_behind
from barmand.model.wal import Run, missing
from barmand.operations.archive import names_of
from barmand.operations.noticed import Noticed
from barmand.storage.wals import WalArchive, read_text


@dataclass(frozen=True, slots=True)
class RestoreWal:
    wals: WalArchive
    wal_runs: WalRuns
    wal_gaps: WalGaps
    noticed: Noticed

    def line(self, backup: Backup, target: Target) -> Lineage:
        """Which timelines recovery follows, told by the histories in the archive."""
        copied = backup.copied
        if copied is None:
            raise ValueError("a backup that is restorable knows its positions")
        if target is Target.IMMEDIATE:
            return Lineage(copied.timeline)
        histories = {
            int(name[:8], 16): read_text(path).decode(errors="replace")
            for name in self.wals.histories()
            if (path := self.wals.path(name)) is not None
        }
        return line_behind(copied.timeline, copied.end_lsn, histories)

    def segments(
        self, backup: Backup, target: Target, line: Lineage, size: int
    ) -> tuple[list[Run], Run | None]:
        """What recovery reads, and the hole at which an operator lets it end. Raises Refused."""
        needed = backup.needed()
        if needed is None:
            raise ValueError("a backup that is restorable knows its WAL")
        held = list(self.wal_runs.of_server(backup.server))
        gaps = missing(needed, held)
        hole = None if target is Target.IMMEDIATE else first_hole(line, needed, held, size)
        wanted = wal_for(target, needed, held)
        if hole is not None and not gaps:
            if self._is_accepted(backup.server, hole):
                wanted = before_hole(line, hole, wanted)
            else:
                gaps = [hole]
        if not gaps:
            lost = [
                segment
                for run in wanted
                for segment in run.segments()
                if not self.wals.is_whole(segment.name(size), size)
            ]
            if lost:
                self.noticed.tell(lost, size)
            gaps = [Run(each.timeline, each.number, each.number) for each in lost]
        if gaps:
            count = sum(gap.last - gap.first + 1 for gap in gaps)
            names = ", ".join(names_of(gaps, size, 3))
            raise Refused(
                f"{count} WAL segment(s) that this restore needs are not whole in the archive: "
                f"{names}",
                hint=_ways_past(backup.server, target),
            )
        return wanted, hole

    def _is_accepted(self, server: str, hole: Run) -> bool:
        """Has an operator acknowledged that all of it is lost?"""
        known = [gap.run for gap in self.wal_gaps.of_server(server, (GapState.ACKNOWLEDGED,))]
        return not missing(hole, known)


def _ways_past(server: str, target: Target) -> str:
    again = f"If they lie there again, `barmanctl rebuild {server}` makes them known."
    if target is Target.IMMEDIATE:
        return again
    return (
        f"{again} With --target-immediate only the WAL of the backup itself is needed; "
        f"`barmanctl acknowledge-gap {server} GAP` lets recovery end before a gap."
    )
