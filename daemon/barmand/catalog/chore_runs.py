"""When the chores that are seldom ran last: one row for each chore of a server."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from barmand.catalog import rows
from barmand.catalog.database import Database

_runs = rows.chore_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoreRun:
    """`result`: done, failed (`why` says it), or stopped by a shutdown."""

    server: str
    chore: str
    began: datetime
    seconds: float
    result: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class ChoreRuns:
    database: Database

    def note(self, run: ChoreRun) -> None:
        facts = {
            "began": run.began,
            "seconds": run.seconds,
            "result": run.result,
            "why": run.why,
        }
        with self.database.writing() as connection:
            connection.execute(
                insert(_runs)
                .values(server=run.server, chore=run.chore, **facts)
                .on_conflict_do_update(index_elements=[_runs.c.server, _runs.c.chore], set_=facts)
            )

    def all(self) -> dict[tuple[str, str], ChoreRun]:
        """By chore and server."""
        with self.database.reading() as connection:
            found = connection.execute(select(_runs)).all()
        return {
            (row.chore, row.server): ChoreRun(
                server=row.server,
                chore=row.chore,
                began=row.began,
                seconds=row.seconds,
                result=row.result,
                why=row.why,
            )
            for row in found
        }
