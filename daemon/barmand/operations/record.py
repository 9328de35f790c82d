"""How a backup's status changes: on its own disk and in the catalogue, in a safe order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from barmand.catalog.backups import Backups
from barmand.model.backup import Backup, Reason, Status
from barmand.model.errors import StorageFailed
from barmand.operations.ports import Clock
from barmand.storage import backup_info
from barmand.storage.layout import Layout

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Record:
    backups: Backups
    layout: Layout
    now: Clock
    when_done: Callable[[], None]
    """A backup has become DONE."""
    owes_hook: bool = False
    """Is there a hook to be run then? That is remembered together with it."""

    def move(
        self,
        before: Backup,
        after: Backup,
        *,
        actor: str = "barmand",
        facts: Mapping[str, object] | None = None,
    ) -> Backup:
        """File first, row second: a catalogue rebuilt from the files is never behind its rows."""
        backup_info.save(self.layout, after)
        moved = self.backups.move(
            before,
            after,
            now=self.now(),
            actor=actor,
            facts=facts,
            owes_hook=self.owes_hook and after.status is Status.DONE,
        )
        if moved.status is Status.DONE:
            self.when_done()
        return moved

    def fail(self, before: Backup, reason: Reason, *, actor: str = "barmand") -> Backup:
        """Row first, file second, and the file only if the disk takes it.

        The row frees the server for its next backup; a file that still says STARTED is read as
        an interrupted backup, which is what it is. A backup that never began has no file.
        """
        after = self.backups.move(
            before, before.failed(self.now(), reason), now=self.now(), actor=actor
        )
        if before.status is not Status.QUEUED:
            try:
                backup_info.save(self.layout, after)
            except StorageFailed as error:
                log.warning("failure not written beside the backup", error=error.message)
        return after
