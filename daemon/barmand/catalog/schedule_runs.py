"""When a schedule was due, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, delete, func, insert, or_, select

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.model.calendar import RUNS, Outcome

_runs = rows.schedule_runs
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
        it was ahead for and came to nothing then may still come to something.
        """
        nothing = (Outcome.MISSED.value, Outcome.SKIPPED.value)
        with self.database.reading() as connection:
            found: datetime | None = connection.execute(
                select(func.max(_runs.c.due)).where(
                    _runs.c.server == server,
                    _runs.c.schedule == schedule,
                    _runs.c.due <= now,
                    or_(_runs.c.at <= now, _runs.c.outcome.not_in(nothing)),
                )
            ).scalar_one_or_none()
        return found

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
