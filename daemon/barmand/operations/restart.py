"""What each unfinished backup becomes after a restart."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from barmand.catalog.backups import Backups
from barmand.model.backup import ACTIVE, INTERRUPTED, Backup, Status
from barmand.model.errors import Refused
from barmand.operations.archive import Archive
from barmand.operations.delete import Alone, Delete
from barmand.operations.ports import Stop
from barmand.operations.record import Record

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Restart:
    backups: Backups
    record: Record
    archive: Archive
    delete: Delete
    alone: Alone

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
            if backup.status is Status.DELETING and not stop.is_set():
                with suppress(Refused):  # a reload: somebody is at it
                    self.alone(backup, partial(self._go_on, backup))

    def _go_on(self, backup: Backup, stop: Stop) -> int:
        return self.delete.go_on(backup, stop=stop)
