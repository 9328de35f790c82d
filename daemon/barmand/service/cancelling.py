"""Work is ended on demand: which piece is meant, and what is left of its backup."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from barmand.catalog.memory import Catalog
from barmand.model.backup import ACTIVE, Backup, Reason
from barmand.model.errors import NotFound, Refused, Stopped
from barmand.model.naming import find
from barmand.service.house import House
from barmand.service.job import Key, key_of
from barmand.service.looking import Looking
from barmand.service.proof_desk import MANIFEST, VERIFICATION
from barmand.service.runner import Runner
from barmand.wire.messages import BackupReply, Cancel, Reply

log = structlog.get_logger()

CANCEL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Cancelling:
    """`queueing` is held while a backup's row and its job come or go together."""

    catalog: Catalog
    runner: Runner
    queueing: AbstractContextManager[object]
    looking: Looking
    house: House

    def cancel(self, request: Cancel, who: str) -> Reply:
        """Raises NotFound, Refused."""
        self.house.known_kit(request.server)
        backup, key = self._meant(request)
        self.end(key, f"cancelled by {who}", who)
        view = self.looking.view(self._left_of(backup), self.house, self.runner.progress(key))
        return BackupReply(backup=view)

    def end(self, key: Key, reason: str, who: str) -> bool:
        """Stop a job and wait a while for its end: has it come? Raises Refused."""
        with self.queueing:
            withdrawn = self.runner.withdraw(key, reason)
            if withdrawn is None:
                raise Refused(f"{key.deed} {key.backup_id} of {key.server} is not being worked on")
            if withdrawn and key.deed == "backup":
                backup = self.catalog.backups.get(key.server, key.backup_id)
                restart = self.house.known_kit(key.server).restart
                restart.record.fail(backup, Reason.of(Stopped(reason)), actor=who)
        log.info("cancelled", server=key.server, backup_id=key.backup_id, deed=key.deed, by=who)
        # It is answered once the work has ended, as a rule: programs get their grace.
        self.runner.wait_for_end(key, CANCEL_SECONDS)
        return not self.runner.has(key)

    def _meant(self, request: Cancel) -> tuple[Backup, Key]:
        """The backup named (or what else is done with it, if that runs), else the active one."""
        backups = self.catalog.backups.of_server(request.server)
        if request.backup is not None:
            backup = find(backups, request.server, request.backup)
            for deed in ("restore", "delete", VERIFICATION, MANIFEST):
                key = Key(deed, backup.server, backup.id)
                if self.runner.has(key):
                    return backup, key
            return backup, key_of(backup)
        for backup in backups:
            if backup.status in ACTIVE:
                return backup, key_of(backup)
        raise NotFound(f"server {request.server} has no backup under way")

    def _left_of(self, backup: Backup) -> Backup:
        try:
            return self.catalog.backups.get(backup.server, backup.id)
        except NotFound as gone:
            raise Refused(
                f"backup {backup.id} of {backup.server} was deleted before that could be stopped"
            ) from gone
