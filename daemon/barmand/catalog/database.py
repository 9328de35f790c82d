"""Open the state file, bring it up to date, read and write it in transactions.

Only the daemon opens this file, and only through SQLite: a plain open and close of it inside this
process would drop SQLite's POSIX locks. Copies are made with SQLite's backup API.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import alembic.command
import alembic.config
import alembic.util
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

import barmand
from barmand.model.errors import StorageFailed

BUSY_SECONDS = 90
REPAIR_HINT = (
    "Stop barmand, move the file (with its -wal and -shm) aside and start again: the catalogue is "
    "then rebuilt from the backups' own files."
)


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
        """One transaction, begun with the write lock; watchers are told once it is committed."""
        with _translated(self.path), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
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
            tables = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            return {"sqlite": str(sqlite), "tables": str(tables.scalar_one())}

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
    )
    event.listen(engine, "connect", _prepare)
    database = Database(path, engine)
    try:
        with database.reading() as connection:
            _demand_whole(connection, path)
        _migrate(database)
    except BaseException:
        engine.dispose()
        raise
    return database


def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


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


def migrations_folder() -> Path:
    """Inside the wheel beside the package; in a checkout two floors above it."""
    package = Path(barmand.__file__).parent
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parents[1] / "migrations"


def _migrate(database: Database) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with database.reading() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    try:
        if current is not None:
            scripts.get_revision(current)  # raises for one that is not ours
            _keep_copy(database, current)
        with database.writing() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
    except alembic.util.CommandError as error:
        raise StorageFailed(
            f"state database {database.path} is of a version this barmand does not know: {error}",
            hint="It was written by a later barmand: run that one, or " + REPAIR_HINT.lower(),
        ) from error


def _keep_copy(database: Database, revision: str) -> None:
    copy = database.path.with_name(f"{database.path.name}.before-{revision}")
    with database.engine.connect() as connection, closing(sqlite3.connect(copy)) as target:
        source = connection.connection.driver_connection
        if not isinstance(source, sqlite3.Connection):
            raise TypeError(f"not an SQLite connection: {source!r}")
        source.backup(target)
