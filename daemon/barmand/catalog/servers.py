"""Which servers we know, and which PostgreSQL cluster each of them is."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from barmand.catalog import rows
from barmand.catalog.database import Database


@dataclass(frozen=True, slots=True)
class Identity:
    """None until the server was first spoken to."""

    system_id: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Servers:
    database: Database

    def is_known(self, server: str) -> bool:
        with self.database.reading() as connection:
            found = select(rows.servers.c.name).where(rows.servers.c.name == server)
            return connection.execute(found).first() is not None

    def identity(self, server: str) -> Identity:
        with self.database.reading() as connection:
            table = rows.servers.c
            found = select(table.system_id, table.version).where(table.name == server)
            row = connection.execute(found).first()
            return Identity() if row is None else Identity(row.system_id, row.version)

    def system_id(self, server: str) -> str | None:
        """The cluster's system identifier; None until it was first spoken to."""
        with self.database.reading() as connection:
            found = select(rows.servers.c.system_id).where(rows.servers.c.name == server)
            return connection.execute(found).scalar_one_or_none()

    def know(
        self,
        server: str,
        *,
        now: datetime,
        system_id: str | None = None,
        version: int | None = None,
    ) -> None:
        """Remember a server; facts that are None keep what was known."""
        facts = {
            key: value
            for key, value in (("system_id", system_id), ("version", version))
            if value is not None
        }
        statement = upsert(rows.servers).values(name=server, known_since=now, **facts)
        if facts:
            statement = statement.on_conflict_do_update(index_elements=["name"], set_=facts)
        else:
            statement = statement.on_conflict_do_nothing()
        with self.database.writing() as connection:
            connection.execute(statement)
