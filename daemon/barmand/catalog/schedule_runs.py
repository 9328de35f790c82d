"""When a schedule was due, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, insert, or_, select

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.model.backup import DAEMON_ENDED, Status
from barmand.model.calendar import RUNS, Outcome
from barmand.model.errors import Stopped

_runs = rows.schedule_runs
_earlier = rows.schedule_runs.alias("earlier")
KEPT = 500
"""Rows of one schedule; older ones go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRun:
    """`schedule` is the line's key; `why` says what a run came to nothing for."""

    server: str
    schedule: str
    due: datetime
    at: datetime
    outcome: Outcome
    backup_id: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRuns:
    database: Database

    def add(self, *runs: ScheduleRun) -> None:
        """All of them or none."""
        with self.database.writing() as connection:
            for run in runs:
                connection.execute(
                    insert(_runs).values(
                        server=run.server,
                        schedule=run.schedule,
                        due=run.due,
                        at=run.at,
                        outcome=run.outcome.value,
                        backup_id=run.backup_id,
                        why=run.why,
                    )
                )
            for server, schedule in {(run.server, run.schedule) for run in runs}:
                of_line = (_runs.c.server == server, _runs.c.schedule == schedule)
                newest = select(_runs.c.id).where(*of_line).order_by(_runs.c.id.desc()).limit(KEPT)
                connection.execute(
                    delete(_runs).where(*of_line, _runs.c.id.not_in(newest.scalar_subquery()))
                )

    def last(self, server: str, schedule: str | None = None) -> ScheduleRun | None:
        """The row written last, whatever it tells."""
        return self._last(server, schedule, Outcome)

    def last_run(self, server: str, schedule: str) -> ScheduleRun | None:
        """The one written last that tells of a due time."""
        return self._last(server, schedule, RUNS)

    def accounted(self, server: str, schedule: str, now: datetime) -> datetime | None:
        """Up to when it is known what came of it; no later than `now`. None where nothing is.

        What the clock said before it was set back does not count until it says so again; and what
        it was ahead for and came to nothing then may still come to something. So does a backup
        that ended with the daemon: the first one that was begun for its due time.
        """
        nothing = (Outcome.MISSED.value, Outcome.SKIPPED.value)
        with self.database.reading() as connection:
            found: datetime | None = connection.execute(
                select(func.max(_runs.c.due)).where(
                    _runs.c.server == server,
                    _runs.c.schedule == schedule,
                    _runs.c.due <= now,
                    or_(_runs.c.at <= now, _runs.c.outcome.not_in(nothing)),
                    or_(~_ended_with_the_daemon(), _begun_before()),
                )
            ).scalar_one_or_none()
        return found

    def was_begun(self, server: str, schedule: str, due: datetime) -> bool:
        """Has a backup been begun for this due time, whatever became of it?"""
        begun = select(_runs.c.id).where(
            _runs.c.server == server,
            _runs.c.schedule == schedule,
            _runs.c.due == due,
            _runs.c.backup_id.is_not(None),
        )
        with self.database.reading() as connection:
            return connection.execute(begun.limit(1)).first() is not None

    def newest(self) -> dict[tuple[str, str], ScheduleRun]:
        """The row written last of each schedule, by server and schedule."""
        newest = select(func.max(_runs.c.id)).group_by(_runs.c.server, _runs.c.schedule)
        with self.database.reading() as connection:
            found = connection.execute(select(_runs).where(_runs.c.id.in_(newest))).all()
        return {(row.server, row.schedule): _run(row) for row in found}

    def _last(
        self, server: str, schedule: str | None, outcomes: Iterable[Outcome]
    ) -> ScheduleRun | None:
        words = [outcome.value for outcome in outcomes]
        statement = select(_runs).where(_runs.c.server == server, _runs.c.outcome.in_(words))
        if schedule is not None:
            statement = statement.where(_runs.c.schedule == schedule)
        with self.database.reading() as connection:
            row = connection.execute(statement.order_by(_runs.c.id.desc()).limit(1)).first()
        return None if row is None else _run(row)


def _ended_with_the_daemon() -> ColumnElement[bool]:
    """Did the backup of a row of `_runs`?"""
    backup = rows.backups.c
    return exists().where(
        and_(
            backup.server == _runs.c.server,
            backup.id == _runs.c.backup_id,
            backup.status == Status.FAILED,
            backup.error_code == Stopped.__name__,
            backup.error_message.in_(DAEMON_ENDED),
        )
    )


def _begun_before() -> ColumnElement[bool]:
    """Is a row of `_runs` not the first with a backup for its due time?"""
    return exists().where(
        and_(
            _earlier.c.server == _runs.c.server,
            _earlier.c.schedule == _runs.c.schedule,
            _earlier.c.due == _runs.c.due,
            _earlier.c.id < _runs.c.id,
            _earlier.c.backup_id.is_not(None),
        )
    )


def _run(row: Row[tuple[object, ...]]) -> ScheduleRun:
    return ScheduleRun(
        server=row.server,
        schedule=row.schedule,
        due=row.due,
        at=row.at,
        outcome=Outcome(row.outcome),
        backup_id=row.backup_id,
        why=row.why,
    )
