"""When a schedule rang, and what came of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from barmand.catalog import rows
from barmand.catalog.database import Database

_runs = rows.schedule_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRun:
    """`outcome`: armed (first seen), started, made up, or skipped."""

    server: str
    schedule: str
    due: datetime
    at: datetime
    outcome: str
    backup_id: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRuns:
    database: Database

    def add(self, run: ScheduleRun) -> None:
        with self.database.writing() as connection:
            connection.execute(
                insert(_runs).values(
                    server=run.server,
                    schedule=run.schedule,
                    due=run.due,
                    at=run.at,
                    outcome=run.outcome,
                    backup_id=run.backup_id,
                )
            )

    def last(self, server: str) -> ScheduleRun | None:
        with self.database.reading() as connection:
            row = connection.execute(
                select(_runs).where(_runs.c.server == server).order_by(_runs.c.id.desc()).limit(1)
            ).first()
        if row is None:
            return None
        return ScheduleRun(
            server=row.server,
            schedule=row.schedule,
            due=row.due,
            at=row.at,
            outcome=row.outcome,
            backup_id=row.backup_id,
        )
