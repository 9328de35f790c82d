"""Open the state file, bring it up to date, read and write it in transactions.

Only the daemon opens this file, and only through SQLite: a plain open and close of it inside this
process would drop SQLite's POSIX locks. Copies are made with SQLite's backup API.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from barmand.catalog import rows
from barmand.catalog.revisions import REPAIR_HINT, newest_revision
from barmand.model.errors import StorageFailed

BUSY_SECONDS = 90


class Doorbell:
    """Rings at each committed change, for those who wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def ring(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, seen: int, seconds: float) -> int:
        """Return the count once it differs from `seen`, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen, seconds)
            return self._count


@dataclass(frozen=True, slots=True)
class Database:
    path: Path
    engine: Engine
    bell: Doorbell = field(default_factory=Doorbell)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with _translated(self.path), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, begun with the write lock; watchers are told once it is committed.

        Also where the commit fails: nobody can tell what became of it.
        """
        with _translated(self.path), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            try:
                connection.exec_driver_sql("COMMIT")
            finally:
                self.bell.ring()

    def look(self) -> str:
        """Does it answer? Its place, in words. Raises StorageFailed."""
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT name, sql FROM sqlite_master").all()
            connection.exec_driver_sql("SELECT count(*) FROM servers").scalar_one()
        return str(self.path)

    def versions(self) -> dict[str, str]:
        with self.reading() as connection:
            sqlite = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
            return {"sqlite": str(sqlite), "tables": str(_revision(connection))}

    def close(self) -> None:
        self.engine.dispose()


def open_database(path: Path) -> Database:
    """The database at `path`, made or migrated to this version's tables.

    Raises StorageFailed when it is damaged, locked, or of a later version.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=16,
        max_overflow=-1,
        json_deserializer=_from_json,
    )
    event.listen(engine, "connect", _prepare)
    database = Database(path, engine)
    try:
        with database.reading() as connection:
            _demand_whole(connection, path)
        _bring_up_to_date(database)
    except BaseException:
        engine.dispose()
        raise
    return database


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _from_json(text: str) -> Any:
    """Most lists of ours are empty."""
    return [] if text == "[]" else json.loads(text)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise
    except exc.DatabaseError as error:
        words = str(error.orig)
        is_full = "full" in words
        hint = "Free space on its file system; nothing is damaged." if is_full else REPAIR_HINT
        raise StorageFailed(f"state database {path}: {words}", hint=hint) from error


def _demand_whole(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        words = " ".join(str(found).split())
        raise StorageFailed(f"state database {path} is damaged: {words}", hint=REPAIR_HINT)


def _bring_up_to_date(database: Database) -> None:
    """A new file gets this version's tables; Alembic, slow to load, is for one of another version.

    That both ways lead to the same tables is a test's affair.
    """
    newest = newest_revision()
    with database.reading() as connection:
        tables = inspect(connection).get_table_names()
        current = _revision(connection) if rows.VERSION_TABLE in tables else None
    if current == newest:
        return
    if tables:
        _migrate(database, current)
        return
    with database.writing() as connection:
        rows.metadata.create_all(connection)
        connection.exec_driver_sql(
            f"CREATE TABLE {rows.VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {rows.VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
        connection.exec_driver_sql(
            f"INSERT INTO {rows.VERSION_TABLE} VALUES (?)",  # noqa: S608 - a name of ours
            (newest,),
        )


def _migrate(database: Database, current: str | None) -> None:
    from barmand.catalog import migrating  # noqa: PLC0415 - seldom needed

    if current is not None:
        migrating.demand_ours(database.path, current)
        migrating.keep_copy(database.path, database.engine, current)
    with database.writing() as connection:
        migrating.migrate(connection)


def _revision(connection: Connection) -> str | None:
    found = connection.exec_driver_sql(
        f"SELECT version_num FROM {rows.VERSION_TABLE}"  # noqa: S608 - a name of ours
    )
    revision: str | None = found.scalar_one_or_none()
    return revision
