"""Keep a backup from retention and from deletion, and release it again."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.events import Events
from barmand.model.backup import Backup, Status
from barmand.model.errors import Refused, UsageError
from barmand.model.event import Event
from barmand.model.keeping import Kept
from barmand.operations.ports import Clock
from barmand.storage import keep_marks
from barmand.storage.layout import Layout

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeepBackup:
    """The guard is the deletions': a backup is kept before its deletion begins, or not at all."""

    layout: Layout
    backups: Backups
    events: Events
    guard: AbstractContextManager[object]
    now: Clock
    when_changed: Callable[[], None]
    """What goes and what stays may be another now."""

    def of(self, backup: Backup) -> Kept | None:
        return keep_marks.kept(self.layout, backup.id)

    def keep(self, backup: Backup, wanted: Kept) -> Kept:
        """Kept as wanted from now on, whatever was said before. Raises Refused, UsageError."""
        now = self.now()
        if wanted.has_ended(now):
            raise UsageError(f"the end date lies in the past: {wanted.until:%Y-%m-%d %H:%M %z}")
        with self.guard:
            _refuse_unfit(self.backups.get(backup.server, backup.id))
            wanted = replace(wanted, since=now)
            keep_marks.mark_kept(self.layout, backup.id, wanted)
            self._tell("backup kept", backup, wanted, wanted.actor)
        self.when_changed()
        return wanted

    def release(self, backup: Backup, *, actor: str) -> Kept | None:
        """What it was kept by; None where nothing kept it. Of any backup, however it came to it."""
        with self.guard:
            kept = self.of(backup)
            # Also where there is no mark: a crash may have left what was said of one.
            keep_marks.release(self.layout, backup.id)
            if kept is not None:
                self._tell("backup released", backup, kept, actor)
        if kept is not None:
            self.when_changed()
        return kept

    def ended(self) -> list[Backup]:
        """Those whose end date has passed."""
        now = self.now()
        backups = self.backups.of_server(self.layout.server)
        kept = ((backup, self.of(backup)) for backup in backups)
        return [backup for backup, mark in kept if mark is not None and mark.has_ended(now)]

    def release_ended(self) -> None:
        """Only by a clock that is believed."""
        ended = self.ended()
        for backup in ended:
            self._release_if_ended(backup)
        if ended:
            self.when_changed()

    def _release_if_ended(self, backup: Backup) -> None:
        """Looked at again under the guard: its end may have been put off meanwhile."""
        with self.guard:
            kept = self.of(backup)
            if kept is None or not kept.has_ended(self.now()):
                return
            keep_marks.release(self.layout, backup.id)
            self._tell("backup released", backup, kept, "retention")

    def _tell(self, kind: str, backup: Backup, kept: Kept, actor: str | None) -> None:
        facts = {
            "target": kept.target.value,
            "reason": kept.reason,
            "until": None if kept.until is None else kept.until.isoformat(),
        }
        event = Event(
            at=self.now(),
            kind=kind,
            server=backup.server,
            backup_id=backup.id,
            actor=actor or "barmand",
            facts=facts,
        )
        self.events.add(event)
        log.info(kind, backup_id=backup.id, by=event.actor, **facts)


def _refuse_unfit(backup: Backup) -> None:
    name = f"backup {backup.id} of {backup.server}"
    if backup.status is not Status.DONE:
        raise Refused(f"{name} is {backup.status}: only a backup that is DONE can be kept")
    if backup.parent_id is not None:
        raise Refused(
            f"{name} is incremental, and shares the fate of what it builds upon",
            hint=f"Keep {backup.parent_id}, or what that builds upon.",
        )
