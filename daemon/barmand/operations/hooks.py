"""What is told to hooks before and after each event, and what their word means for it.

Where no hook is set, nothing is looked at and nothing is made.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from barmand.catalog.backups import Backups
from barmand.catalog.holds import Holds
from barmand.model.backup import RESTORABLE, Backup, Reason
from barmand.model.errors import Failure, NotFound, Refused, Stopped
from barmand.model.hook import (
    HookEvent,
    HookPhase,
    Occasion,
    neighbours,
    segment_facts,
    status_word,
)
from barmand.operations.hook_runner import HookRunner
from barmand.operations.ports import Stop, heed
from barmand.storage.disk import at_the_disk
from barmand.storage.layout import Layout
from barmand.storage.packing import format_of

PRE, POST = HookPhase.PRE, HookPhase.POST


@dataclass(frozen=True, slots=True)
class Hooks:
    runner: HookRunner
    layout: Layout
    backups: Backups
    holds: Holds

    def has(self, event: HookEvent) -> bool:
        return self.has_before(event) or self.has_after(event)

    def has_before(self, event: HookEvent) -> bool:
        return self.runner.has(event, PRE)

    def has_after(self, event: HookEvent) -> bool:
        return self.runner.has(event, POST)

    # ------------------------------------------------------------------------- around one backup
    def before(
        self,
        event: HookEvent,
        backup: Backup,
        *,
        stop: Stop,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """Raises Refused, ToolFailed or Stopped: then it must not begin."""
        if self.has_before(event):
            self.runner.before(self._of_backup(event, PRE, backup, facts), stop=stop)

    def after(
        self, event: HookEvent, backup: Backup, error: BaseException | None = None, *, stop: Stop
    ) -> bool:
        """False where a stop ended them."""
        return self.tell(self.later(event, backup), error, stop=stop)

    def later(
        self, event: HookEvent, backup: Backup, facts: Mapping[str, str] | None = None
    ) -> Occasion | None:
        """What hooks are to be told once the event is over, when the backup may be gone."""
        return self._of_backup(event, POST, backup, facts) if self.has_after(event) else None

    def tell(
        self, occasion: Occasion | None, error: BaseException | None = None, *, stop: Stop
    ) -> bool:
        if occasion is None:
            return True
        words = None if error is None else words_of(error)
        return self.runner.after(occasion, words, stop=stop)

    def after_copy(self, backup: Backup, *, stop: Stop) -> None:
        """The backup is held meanwhile: a hook that reads it does not lose it to a deletion."""
        if not self.has_after(HookEvent.BACKUP):
            return
        with suppress(NotFound, Refused):  # it is being deleted already
            current = self.backups.get(backup.server, backup.id)
            with self.holds.held(current, holder="post_backup hooks", now=self.runner.now()):
                self.after(HookEvent.BACKUP, current, stop=stop)

    def pay_done(self, *, stop: Stop) -> None:
        """Run what is owed to backups that became DONE: once at least, whenever barmand died."""
        server, runs = self.runner.server, self.runner.runs
        for backup_id in runs.owed(server):
            heed(stop)
            try:
                backup = self.backups.get(server, backup_id)
                with self.holds.held(backup, holder="post_backup_done", now=self.runner.now()):
                    is_over = self.after(HookEvent.BACKUP_DONE, backup, stop=stop)
            except (NotFound, Refused):
                is_over = True  # it is being deleted, or gone
            if is_over:
                runs.pay(server, backup_id)

    def occasion(
        self, event: HookEvent, phase: HookPhase, backup: Backup, more: Mapping[str, str]
    ) -> Occasion:
        """What hooks would be told of this backup."""
        return self._of_backup(event, phase, backup, more)

    # ------------------------------------------------------------------- around one file of WAL
    def of_segment(self, event: HookEvent, path: Path) -> Occasion:
        """Of a file that is there. Raises StorageFailed."""
        with at_the_disk("look at", path):
            facts = path.stat()
        packed = format_of(path)
        told = segment_facts(
            path.name, str(path), facts.st_size, facts.st_mtime, packed.value if packed else None
        )
        return Occasion(event, path.name, told)

    # --------------------------------------------------------------------------------- in common
    def _of_backup(
        self,
        event: HookEvent,
        phase: HookPhase,
        backup: Backup,
        more: Mapping[str, str] | None,
    ) -> Occasion:
        others = self.backups.of_server(backup.server)
        before, after = neighbours(backup.id, [b.id for b in others if b.status in RESTORABLE])
        facts = {
            "BARMAN_BACKUP_DIR": str(self.layout.backup(backup.id)),
            "BARMAN_BACKUP_INFO_PATH": str(self.layout.info(backup.id)),
            "BARMAN_BACKUP_ID": backup.id,
            "BARMAN_PREVIOUS_ID": before,
            "BARMAN_NEXT_ID": after,
            "BARMAN_STATUS": status_word(backup, phase, event),
        }
        return Occasion(event, backup.id, facts | dict(more or {}), backup_id=backup.id)


def words_of(error: BaseException) -> str:
    """What BARMAN_ERROR says: the words that the operator reads."""
    reason = Reason.of(error)
    if isinstance(error, Failure) and not isinstance(error, Stopped) and reason.hint:
        return f"{reason.message}\n{reason.hint}"
    return reason.message
