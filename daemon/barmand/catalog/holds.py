"""Who must not lose which backup: a running restore reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.model.backup import Backup, Status
from barmand.model.errors import Refused


@dataclass(frozen=True, slots=True)
class Holds:
    database: Database

    @contextmanager
    def held(self, backup: Backup, *, holder: str, now: datetime) -> Iterator[None]:
        """Keep `backup` from deletion meanwhile. Raises Refused when its deletion has begun."""
        with self.database.writing() as connection:
            status = connection.execute(
                select(rows.backups.c.status).where(
                    rows.backups.c.server == backup.server, rows.backups.c.id == backup.id
                )
            ).scalar_one_or_none()
            if status in (None, Status.DELETING):
                raise Refused(f"backup {backup.id} of {backup.server} is being deleted")
            key = connection.execute(
                insert(rows.holds)
                .values(server=backup.server, backup_id=backup.id, holder=holder, since=now)
                .returning(rows.holds.c.id)
            ).scalar_one()
        try:
            yield
        finally:
            with self.database.writing() as connection:
                connection.execute(delete(rows.holds).where(rows.holds.c.id == key))

    def of_server(self, server: str) -> set[str]:
        """The ids of its backups that somebody holds."""
        with self.database.reading() as connection:
            found = select(rows.holds.c.backup_id).where(rows.holds.c.server == server)
            return set(connection.scalars(found))

    def release_all(self) -> None:
        """At start: no restore of an earlier life goes on."""
        with self.database.writing() as connection:
            connection.execute(delete(rows.holds))
