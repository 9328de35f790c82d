"""What is thought of the machine's clock: one row, over every restart."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.model.clock_watch import Reading, Watched, watch

_clock = rows.clock


@dataclass(frozen=True, slots=True)
class ClockWatches:
    database: Database

    def think(self, now: Reading) -> Watched:
        """What is thought of this reading; nothing is remembered."""
        with self.database.reading() as connection:
            return watch(_known(connection), now, _newest(connection))

    def look(self, now: Reading) -> Watched:
        """As `think`, and remembered."""
        with self.database.writing() as connection:
            watched = watch(_known(connection), now, _newest(connection))
            _remember(connection, watched)
            return watched

    def believe(self, now: Reading) -> None:
        """An operator says that it is right."""
        with self.database.writing() as connection:
            _remember(connection, Watched(now))


def _known(connection: Connection) -> Watched | None:
    row = connection.execute(select(_clock)).first()
    if row is None:
        return None
    doubted = None
    if row.doubted_at is not None:
        doubted = Reading(row.doubted_at, row.doubted_boot, row.doubted_seconds)
    return Watched(Reading(row.believed_at, row.believed_boot, row.believed_seconds), doubted)


def _newest(connection: Connection) -> datetime | None:
    return connection.execute(select(func.max(rows.backups.c.end_time))).scalar_one_or_none()


def _remember(connection: Connection, watched: Watched) -> None:
    believed, doubted = watched.believed, watched.doubted
    connection.execute(delete(_clock))
    connection.execute(
        insert(_clock).values(
            id=1,
            believed_at=believed.at,
            believed_boot=believed.boot,
            believed_seconds=believed.seconds,
            doubted_at=None if doubted is None else doubted.at,
            doubted_boot=None if doubted is None else doubted.boot,
            doubted_seconds=None if doubted is None else doubted.seconds,
        )
    )
