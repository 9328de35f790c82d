"""What happened, in order, for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.model.event import Event


def write_event(connection: Connection, event: Event) -> None:
    """Within the transaction of the change that it tells."""
    connection.execute(
        insert(rows.events).values(
            at=event.at,
            kind=event.kind,
            server=event.server,
            backup_id=event.backup_id,
            actor=event.actor,
            facts=dict(event.facts),
        )
    )


@dataclass(frozen=True, slots=True)
class Events:
    database: Database

    def add(self, event: Event) -> None:
        with self.database.writing() as connection:
            write_event(connection, event)

    def add_once(self, event: Event) -> bool:
        """Add it unless the last of its kind for this backup tells the same; True when added."""
        with self.database.writing() as connection:
            statement = _last_facts(event.kind, event.server, event.backup_id)
            last = connection.execute(statement).scalar_one_or_none()
            if last == dict(event.facts):
                return False
            write_event(connection, event)
            return True

    def find_last(
        self, kind: str, server: str, backup_id: str | None
    ) -> Mapping[str, object] | None:
        """The facts of the last event of this kind about this backup; None: about none."""
        with self.database.reading() as connection:
            return connection.execute(_last_facts(kind, server, backup_id)).scalar_one_or_none()

    def last_of(self, server: str, kinds: Sequence[str]) -> str | None:
        """Which of these kinds came last; None before the first of them."""
        with self.database.reading() as connection:
            return connection.execute(
                select(rows.events.c.kind)
                .where(rows.events.c.server == server, rows.events.c.kind.in_(kinds))
                .order_by(rows.events.c.id.desc())
                .limit(1)
            ).scalar_one_or_none()

    def of_server(self, server: str) -> list[Event]:
        """Oldest first."""
        with self.database.reading() as connection:
            found = connection.execute(
                select(rows.events).where(rows.events.c.server == server).order_by(rows.events.c.id)
            )
            return [_event(row) for row in found]

    def latest(self, server: str, most: int) -> list[Event]:
        """The last few, oldest first."""
        with self.database.reading() as connection:
            found = connection.execute(
                select(rows.events)
                .where(rows.events.c.server == server)
                .order_by(rows.events.c.id.desc())
                .limit(most)
            )
            return [_event(row) for row in reversed(found.all())]


def _event(row: Row[Any]) -> Event:
    return Event(
        at=row.at,
        kind=row.kind,
        server=row.server,
        backup_id=row.backup_id,
        actor=row.actor,
        facts=row.facts,
    )


def _last_facts(kind: str, server: str | None, backup_id: str | None) -> Select[tuple[Any]]:
    return (
        select(rows.events.c.facts)
        .where(
            rows.events.c.kind == kind,
            rows.events.c.server == server,
            rows.events.c.backup_id == backup_id,
        )
        .order_by(rows.events.c.id.desc())
        .limit(1)
    )
