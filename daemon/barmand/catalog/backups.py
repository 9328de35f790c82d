"""Backups: add, get, list, move, remove.

`move` is one UPDATE guarded by the status it assumes, with the event that tells it in the same
transaction. That no server has two active backups is a unique index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from barmand.catalog import backup_rows, rows
from barmand.catalog.database import Database
from barmand.catalog.events import write_event
from barmand.catalog.hook_runs import owe_hook
from barmand.catalog.lately import Lately
from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.errors import NotFound, Refused
from barmand.model.event import Event
from barmand.model.naming import next_id, valid_name


class MovedByAnother(RuntimeError):  # noqa: N818 - it says what happened
    """A bug of ours: two pieces of work believed to own the same backup."""


@dataclass(frozen=True, slots=True)
class Backups:
    database: Database
    _lists: Lately[Sequence[Backup]] = field(default_factory=Lately, repr=False, compare=False)
    """By server."""
    _waiting: Lately[frozenset[str]] = field(default_factory=Lately, repr=False, compare=False)
    """One answer for all."""

    def queue(
        self,
        server: str,
        *,
        method: str,
        name: str | None,
        requester: str,
        now: datetime,
        shares_name: bool = False,
    ) -> Backup:
        """A new backup in QUEUED, under an id never used before; `now` in the local zone.

        Raises Refused while another backup of the server is active or the name is in use, unless
        it is to share the name: a schedule gives one again and again.
        """
        with self.database.writing() as connection:
            self._refuse_second(connection, server)
            if name is not None and not shares_name:
                self._refuse_used_name(connection, server, valid_name(name))
            backup = Backup(
                server=server,
                id=next_id(_last_id(connection, server), now),
                status=Status.QUEUED,
                method=method,
                name=name,
                requester=requester,
                queued_at=now,
            )
            _remember_id(connection, backup, now)
            connection.execute(insert(rows.backups).values(backup_rows.values_of(backup)))
            write_event(connection, _event(backup, requester, now, {}))
        return backup

    def adopt(self, backup: Backup, now: datetime) -> None:
        """A row for a backup that was found on disk."""
        with self.database.writing() as connection:
            _remember_id(connection, backup, now)
            connection.execute(insert(rows.backups).values(backup_rows.values_of(backup)))
            backup_rows.write_tablespaces(connection, backup)
            event = Event(
                at=now,
                kind="backup adopted from disk",
                server=backup.server,
                backup_id=backup.id,
                facts={"status": backup.status},
            )
            write_event(connection, event)

    def get(self, server: str, backup_id: str) -> Backup:
        found = self._select(rows.backups.c.server == server, rows.backups.c.id == backup_id)
        if not found:
            raise NotFound(f"server {server} has no backup {backup_id}")
        return found[0]

    def of_server(self, server: str) -> Sequence[Backup]:
        """All of one server, oldest first. Read again only after something was written."""
        read = partial(self._select, rows.backups.c.server == server)
        return list(self._lists.get(self.database.bell, server, read))

    def waiting(self, server: str) -> Sequence[Backup]:
        """Those of one server that wait for WAL, oldest first.

        Each pass asks, of each server: what was written since for one is looked at once for all.
        """
        if server not in self._waiting.get(self.database.bell, "", self._who_wait):
            return ()
        table = rows.backups.c
        return self._select(table.server == server, table.status == Status.WAITING_FOR_WALS)

    def _who_wait(self) -> frozenset[str]:
        table = rows.backups.c
        wanted = select(table.server).where(table.status == Status.WAITING_FOR_WALS)
        with self.database.reading() as connection:
            return frozenset(connection.scalars(wanted))

    def segment_size(self, server: str) -> int | None:
        """Bytes in a segment, as the newest backup that began found the cluster."""
        table = rows.backups.c
        with self.database.reading() as connection:
            return connection.execute(
                select(table.segment_size)
                .where(table.server == server, table.segment_size.is_not(None))
                .order_by(table.id.desc())
                .limit(1)
            ).scalar_one_or_none()

    def servers(self) -> Sequence[str]:
        """Every server that has a backup, also one that is configured no more."""
        with self.database.reading() as connection:
            return connection.scalars(select(rows.backups.c.server).distinct()).all()

    def in_status(self, *statuses: Status) -> Sequence[Backup]:
        """Of all servers, oldest first."""
        return self._select(rows.backups.c.status.in_(statuses))

    def move(
        self,
        before: Backup,
        after: Backup,
        *,
        now: datetime,
        actor: str = "barmand",
        facts: Mapping[str, object] | None = None,
        owes_hook: bool = False,
    ) -> Backup:
        """`after`, stored. Raises MovedByAnother when the row is not in `before.status`.

        A move to DELETING is Refused while somebody holds the backup. `owes_hook`: the same
        transaction remembers that its hook is still to be run.
        """
        with self.database.writing() as connection:
            if after.status is Status.DELETING:
                _refuse_held(connection, before)
            touched = connection.execute(
                update(rows.backups)
                .where(
                    rows.backups.c.server == before.server,
                    rows.backups.c.id == before.id,
                    rows.backups.c.status == before.status,
                )
                .values(backup_rows.values_of(after))
            )
            if touched.rowcount != 1:
                raise MovedByAnother(
                    f"backup {before.id} of {before.server} is not {before.status}"
                )
            if before.cluster is None and after.cluster is not None:
                backup_rows.write_tablespaces(connection, after)
                _remember_cluster(connection, after)
            if owes_hook:
                owe_hook(connection, after, now)
            write_event(connection, _event(after, actor, now, facts or {}))
        return after

    def remove(self, backup: Backup, *, now: datetime, facts: Mapping[str, object]) -> None:
        """Forget a backup whose deletion is complete; its events stay. Only from DELETING, once."""
        with self.database.writing() as connection:
            gone = connection.execute(
                delete(rows.backups).where(
                    rows.backups.c.server == backup.server,
                    rows.backups.c.id == backup.id,
                    rows.backups.c.status == Status.DELETING,
                )
            )
            event = Event(
                at=now,
                kind="backup deleted",
                server=backup.server,
                backup_id=backup.id,
                facts=facts,
            )
            if gone.rowcount == 1:
                write_event(connection, event)

    def _select(self, *conditions: object) -> Sequence[Backup]:
        with self.database.reading() as connection:
            return backup_rows.select_backups(connection, *conditions)

    @staticmethod
    def _refuse_second(connection: Connection, server: str) -> None:
        active = connection.execute(
            select(rows.backups.c.id, rows.backups.c.status).where(
                rows.backups.c.server == server, rows.backups.c.status.in_(ACTIVE)
            )
        ).first()
        if active is not None:
            raise Refused(
                f"a backup of {server} is already {active.status}: {active.id}",
                hint=f"`barmanctl status {server}` shows it, `barmanctl cancel {server}` stops it.",
            )

    @staticmethod
    def _refuse_used_name(connection: Connection, server: str, name: str) -> None:
        used = connection.execute(
            select(rows.backups.c.id).where(
                rows.backups.c.server == server, rows.backups.c.name == name
            )
        ).first()
        if used is not None:
            raise Refused(f"the name {name!r} already belongs to backup {used.id} of {server}")


def _event(backup: Backup, actor: str, now: datetime, facts: Mapping[str, object]) -> Event:
    told = dict(facts)
    if backup.reason is not None:
        told |= {"code": backup.reason.code, "message": backup.reason.message}
    return Event(
        at=now,
        kind=f"backup {backup.status}",
        server=backup.server,
        backup_id=backup.id,
        actor=actor,
        facts=told,
    )


def _last_id(connection: Connection, server: str) -> str | None:
    known = select(rows.servers.c.last_backup_id).where(rows.servers.c.name == server)
    return connection.execute(known).scalar_one_or_none()


def _remember_id(connection: Connection, backup: Backup, now: datetime) -> None:
    statement = upsert(rows.servers).values(
        name=backup.server, last_backup_id=backup.id, known_since=now
    )
    latest = func.max(func.coalesce(rows.servers.c.last_backup_id, ""), backup.id)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"last_backup_id": latest})
    )


def _remember_cluster(connection: Connection, backup: Backup) -> None:
    if backup.cluster is not None:
        connection.execute(
            update(rows.servers)
            .where(rows.servers.c.name == backup.server)
            .values(system_id=backup.cluster.system_id, version=backup.cluster.version)
        )


def _refuse_held(connection: Connection, backup: Backup) -> None:
    held = connection.execute(
        select(rows.holds.c.holder).where(
            rows.holds.c.server == backup.server, rows.holds.c.backup_id == backup.id
        )
    ).first()
    if held is not None:
        raise Refused(
            f"backup {backup.id} of {backup.server} is in use: {held.holder}",
            hint="It can be deleted once that has ended.",
        )
