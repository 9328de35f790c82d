"""Take one backup away, in an order that is safe to interrupt.

1. the row says DELETING       before it: a whole backup; after it: the deletion goes on at start
2. the mark beside it          a catalogue rebuilt from disk knows it too
3. the copy                    most of the bytes
4. the WAL only it needed      read from the row, so it comes before the row goes
5. its facts, its mark, its row
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.errors import Refused, StorageFailed
from barmand.model.retention import Reach, removable
from barmand.operations.ports import Clock, Stop
from barmand.storage import backup_info
from barmand.storage.durable import remove_tree
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Delete:
    layout: Layout
    wals: WalArchive
    backups: Backups
    wal_runs: WalRuns
    minimum_redundancy: int
    guard: AbstractContextManager[object]
    now: Clock

    def run(self, backup: Backup, *, actor: str, stop: Stop) -> int:
        """Delete `backup`; how many segments went with it. Raises Refused.

        A deletion that has begun and could not go on is taken up again.
        """
        with self.guard:
            backup = self.backups.get(backup.server, backup.id)
            why_not = complaint(self.layout, is_known=False)
            if why_not is not None:
                raise StorageFailed(f"backup {backup.id} cannot be deleted: {why_not}")
            if backup.status is not Status.DELETING:
                self._refuse_needed(backup)
                backup = self.backups.move(backup, backup.deleting(), now=self.now(), actor=actor)
        return self.go_on(backup, stop=stop)

    def go_on(self, backup: Backup, *, stop: Stop) -> int:
        """Carry out a deletion that has begun, now or in an earlier life. A step may come twice."""
        log.info("deletion started", backup_id=backup.id)
        try:
            backup_info.mark_deleting(self.layout, backup.id)
        except StorageFailed as failure:
            # A full disk takes no mark, and deleting is how to free it; the row says it already.
            log.warning("deletion not marked on disk", error=failure.message)
        remove_tree(self.layout.backup(backup.id), stop)
        removed = self._remove_wal(backup)
        backup_info.forget(self.layout, backup.id)
        self.backups.remove(backup, now=self.now(), facts={"removed_wals": removed})
        log.info("backup deleted", backup_id=backup.id, removed_wals=removed)
        return removed

    def _refuse_needed(self, backup: Backup) -> None:
        name = f"backup {backup.id} of {backup.server}"
        if backup.status in ACTIVE:
            raise Refused(
                f"{name} is {backup.status}",
                hint=f"`barmanctl cancel {backup.server}` stops it first.",
            )
        if self.layout.keep_mark(backup.id).exists():
            raise Refused(f"{name} is kept", hint="Release it first.")
        others = [other for other in self.backups.of_server(backup.server) if other != backup]
        children = [other.id for other in others if other.parent_id == backup.id]
        if children:
            raise Refused(f"{name} is the parent of {', '.join(children)}; delete those first")
        done = sum(other.status is Status.DONE for other in others)
        if backup.status is Status.DONE and done < self.minimum_redundancy:
            raise Refused(
                f"{name} is needed: without it {done} would be DONE, "
                f"and minimum_redundancy is {self.minimum_redundancy}"
            )

    def _remove_wal(self, backup: Backup) -> int:
        reach = Reach.of(backup)
        if reach is None or backup.cluster is None:
            return 0
        backups = [each for each in self.backups.of_server(backup.server) if each.id != backup.id]
        others = [
            other_reach
            for other in backups
            if other.status in (Status.WAITING_FOR_WALS, Status.DONE)
            if (other_reach := Reach.of(other)) is not None
        ]
        held = self.wal_runs.of_server(backup.server)
        if any(other.status in ACTIVE for other in backups):
            # Where it begins is not known yet; on this timeline it is behind, on others who knows.
            held = [run for run in held if run.timeline == reach.timeline]
        gone = removable(held, reach, others)
        self.wals.retire_barman_index()
        # Files first, rows second: a death in between finds the same rows and does both again.
        removed = self.wals.remove(gone, backup.cluster.segment_size)
        self.wal_runs.cut(backup.server, gone, self.now())
        return removed
