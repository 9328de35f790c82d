"""Carry out what retention decided: one backup after another, each judged again before it goes.

Every deletion goes through `operations.delete`, with its refusals, its hooks and its order. What
cannot go is told, and does not stop the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.events import Events
from barmand.model.backup import Backup, Status
from barmand.model.errors import Failure, NotFound, Refused, Stopped
from barmand.model.event import Event
from barmand.model.judge import in_order
from barmand.model.verdict import Verdict
from barmand.operations.delete import Alone, Delete
from barmand.operations.judging import Judging
from barmand.operations.keep import KeepBackup
from barmand.operations.ports import Clock, Stop

log = structlog.get_logger()

ACTOR = "retention"
_STANDSTILL = "retention stands still"


@dataclass(frozen=True, slots=True)
class Expire:
    server: str
    judging: Judging
    keeping: KeepBackup
    delete: Delete
    alone: Alone
    backups: Backups
    events: Events
    now: Clock

    def run(self, *, stop: Stop, is_current: Callable[[], bool]) -> int:
        """One pass: how many backups went. It ends early when its settings are `is_current` no
        more, and when it is stopped.
        """
        self._finish_deletions(stop)
        why = self.judging.hindrance(remembers=True)
        going = in_order(self.judging.verdicts())
        # PostgreSQL is asked only if something would go: most passes find nothing.
        has_work = bool(going or self.keeping.ended())
        if why is None and has_work:
            why = self.judging.ahead_of_postgres()
        if why is not None:
            if has_work:
                self._tell_hindrance(why)
            return 0
        self._tell_no_hindrance()
        self.keeping.release_ended()
        gone = 0
        for verdict in going:
            if stop.is_set() or not is_current():
                break
            gone += self._expire(verdict.backup, is_current)
        return gone

    def _finish_deletions(self, stop: Stop) -> None:
        """Those that began, whoever asked for them, and could not go on: the disk refused, say."""
        for backup in self.backups.of_server(self.server):
            if backup.status is not Status.DELETING or stop.is_set():
                continue
            try:
                self.alone(backup, partial(self._delete, backup))
            except (Refused, Stopped, NotFound):
                continue  # somebody is at it, or was
            except Failure as failure:
                self._tell_left(backup, failure)

    def _delete(self, backup: Backup, stop: Stop) -> int:
        return self.delete.run(backup, actor=ACTOR, stop=stop)

    def _expire(self, backup: Backup, is_current: Callable[[], bool]) -> int:
        def still(backup: Backup) -> None:
            """Judged under the guard, with nothing but the row's own move to come."""
            if not is_current():
                raise Stopped("the settings were read again")
            self._demand(backup)

        def delete(stop: Stop) -> int:
            return self.delete.run(backup, actor=ACTOR, stop=stop, still=still)

        try:
            verdict = self._demand(backup)
            log.info("backup expires", backup_id=backup.id, why=verdict.why)
            self.alone(backup, delete)
        except (Stopped, NotFound):
            # Stopped: the next pass takes it up. Not found: somebody else was quicker.
            return 0
        except Failure as failure:
            self._tell_left(backup, failure)
            return 0
        told = Event(
            at=self.now(),
            kind="backup expired",
            server=self.server,
            backup_id=backup.id,
            actor=ACTOR,
            facts={"why": verdict.why},
        )
        self.events.add(told)
        return 1

    def _demand(self, backup: Backup) -> Verdict:
        """The verdict of this moment. Raises Refused where it stays, NotFound where it went."""
        hindrance = self.judging.hindrance(remembers=False)
        if hindrance is not None:
            raise Refused(hindrance)
        for verdict in self.judging.verdicts():
            if verdict.backup.id == backup.id:
                if not verdict.goes:
                    raise Refused(verdict.why)
                return verdict
        raise NotFound(f"backup {backup.id} of {self.server} is gone")

    def _tell_hindrance(self, why: str) -> None:
        """An alarm, once for each reason."""
        if self.events.add_once(self._standstill(why)):
            log.error(_STANDSTILL, why=why)

    def _tell_no_hindrance(self) -> None:
        last = self.events.find_last(_STANDSTILL, self.server, None)
        if last is not None and last["why"] is not None:
            self.events.add(self._standstill(None))
            log.info("retention goes on")

    def _standstill(self, why: str | None) -> Event:
        """`why` None: it is over."""
        return Event(at=self.now(), kind=_STANDSTILL, server=self.server, facts={"why": why})

    def _tell_left(self, backup: Backup, failure: Failure) -> None:
        told = Event(
            at=self.now(),
            kind="backup not expired",
            server=self.server,
            backup_id=backup.id,
            actor=ACTOR,
            facts={"code": failure.kind, "why": failure.message},
        )
        if self.events.add_once(told):
            log.warning("backup not expired", backup_id=backup.id, why=failure.message)
