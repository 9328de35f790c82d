"""What each unfinished backup becomes after a restart."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from barmand.catalog.backups import Backups
from barmand.model.backup import ACTIVE, INTERRUPTED, Backup, Status
from barmand.model.errors import Refused
from barmand.operations.archive import Archive
from barmand.operations.delete import Delete
from barmand.operations.ports import Stop
from barmand.operations.record import Record

log = structlog.get_logger()


def at_once(_backup: Backup, deletion: Callable[[], int]) -> int:
    """Where nobody else deletes."""
    return deletion()


@dataclass(frozen=True, slots=True)
class Restart:
    backups: Backups
    record: Record
    archive: Archive
    delete: Delete
    alone: Callable[[Backup, Callable[[], int]], int] = at_once
    """Do it, unless somebody is deleting this backup already: then Refused."""

    def fail_if_active(self, backup: Backup) -> None:
        """Unless that was seen to meanwhile."""
        if self.backups.get(backup.server, backup.id).status in ACTIVE:
            self.fail(backup)

    def fail(self, backup: Backup) -> None:
        self.record.fail(backup, INTERRUPTED)
        log.warning("backup interrupted", backup_id=backup.id, was=backup.status.value)

    def go_on(self, server: str, *, stop: Stop) -> None:
        """What may take long: WAL that no row tells of, deletions that were under way.

        These come last: the hooks behind them may hang.
        """
        self.archive.heal()
        for backup in self.backups.of_server(server):
            if backup.status is Status.DELETING:
                with suppress(Refused):  # a reload: somebody is at it
                    self.alone(backup, partial(self.delete.go_on, backup, stop=stop))
