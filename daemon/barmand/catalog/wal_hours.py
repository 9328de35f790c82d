"""How much WAL came in each hour of the last week."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from barmand.catalog import rows
from barmand.catalog.database import Database

_hours = rows.wal_hours
KEPT = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Arrived:
    segments: int
    bytes: int
    """As they lie on our disk."""


@dataclass(frozen=True, slots=True)
class WalHours:
    database: Database

    def since(self, server: str, moment: datetime) -> Arrived:
        """What came since the beginning of that moment's hour."""
        with self.database.reading() as connection:
            row = connection.execute(
                select(
                    func.coalesce(func.sum(_hours.c.segments), 0),
                    func.coalesce(func.sum(_hours.c.bytes), 0),
                ).where(_hours.c.server == server, _hours.c.hour >= _hour(moment))
            ).one()
        return Arrived(int(row[0]), int(row[1]))


def note_arrivals(
    connection: Connection, server: str, now: datetime, segments: int, size: int
) -> None:
    """Within the transaction that takes them in."""
    hour = _hour(now)
    added = insert(_hours).values(server=server, hour=hour, segments=segments, bytes=size)
    connection.execute(
        added.on_conflict_do_update(
            index_elements=["server", "hour"],
            set_={
                "segments": _hours.c.segments + segments,
                "bytes": _hours.c.bytes + size,
            },
        )
    )
    connection.execute(delete(_hours).where(_hours.c.server == server, _hours.c.hour < hour - KEPT))


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
