"""How many backups there are, and the last of them, without reading all."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from barmand.catalog import backup_rows, rows
from barmand.catalog.database import Database
from barmand.model.backup import Backup, Status

_table = rows.backups.c


@dataclass(frozen=True, slots=True)
class BackupCounts:
    database: Database

    def by_status(self, server: str) -> Mapping[Status, int]:
        """Of those statuses that any backup has."""
        counted = (
            select(_table.status, func.count())
            .where(_table.server == server)
            .group_by(_table.status)
        )
        with self.database.reading() as connection:
            return {Status(status): count for status, count in connection.execute(counted)}

    def ids(self, server: str, statuses: Collection[Status]) -> set[str]:
        found = select(_table.id).where(_table.server == server, _table.status.in_(statuses))
        with self.database.reading() as connection:
            return set(connection.scalars(found))

    def newest(
        self, server: str, statuses: Collection[Status], *, count: int = 1, after: str = ""
    ) -> list[Backup]:
        """The last ones that are in one of these statuses, newest first; behind the ID `after`."""
        ids = (
            select(_table.id)
            .where(_table.server == server, _table.status.in_(statuses), _table.id > after)
            .order_by(_table.id.desc())
            .limit(count)
        )
        with self.database.reading() as connection:
            wanted = connection.scalars(ids).all()
            found = backup_rows.select_backups(
                connection, _table.server == server, _table.id.in_(wanted)
            )
        return list(reversed(found))
