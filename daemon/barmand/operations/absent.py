"""Backups of which the catalogue tells and the disk does not: somebody else has removed them."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.servers import Servers
from barmand.model.backup import RESTORABLE, Backup
from barmand.operations.ports import Clock
from barmand.storage.backup_info import is_gone
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout

log = structlog.get_logger()


def absent(layout: Layout, backups: Iterable[Backup]) -> set[str]:
    """The ids of those that could be restored, if their copies were there. Raises StorageFailed.

    A cloud snapshot has its copy elsewhere.
    """
    usable = [each for each in backups if each.status in RESTORABLE and each.snapshots is None]
    ids = {each.id for each in usable}
    return ids - layout.with_copy(ids)


@dataclass(frozen=True, slots=True)
class ForgetGone:
    """Forget the backups that were deleted behind our back: by Barman, or by hand.

    Only where the disk is the one that we know, and only those of which nothing is left, facts
    included: what has facts and no copy stays, told by the check, for its disk may come back.
    """

    server: str
    layout: Layout
    backups: Backups
    servers: Servers
    guard: AbstractContextManager[object]
    now: Clock

    def run(self) -> int:
        """How many they were. Raises StorageFailed."""
        is_known = self.servers.system_id(self.server) is not None
        if complaint(self.layout, is_known=is_known) is not None:
            return 0
        with self.guard:  # whoever deletes one of them now has said so in its row
            usable = [b for b in self.backups.of_server(self.server) if b.status in RESTORABLE]
            gone = [backup for backup in usable if is_gone(self.layout, backup.id)]
            if len(gone) == len(usable):
                # All at once: a file system that is not mounted, as far as we know.
                return 0
            for backup in gone:
                self._forget(backup)
        return len(gone)

    def _forget(self, backup: Backup) -> None:
        why = "neither its copy nor its facts are on disk"
        moved = self.backups.move(backup, backup.deleting(), now=self.now(), facts={"why": why})
        self.backups.remove(moved, now=self.now(), facts={"why": why})
        log.error("backup is gone from disk", backup_id=backup.id, was=backup.status.value, why=why)
