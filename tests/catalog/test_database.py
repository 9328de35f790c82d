"""The state file: whole, up to date and durable, or refused with the way to repair it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, exc, text

import barmand
from barmand.catalog.database import Database, Doorbell, open_database
from barmand.catalog.memory import Catalog, open_catalog
from barmand.catalog.revisions import migrations_folder
from barmand.catalog.rows import metadata
from barmand.model.errors import StorageFailed
from barmand.model.event import Event

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
HEAD = "0007"


def happened(kind: str) -> Event:
    return Event(at=NOW, kind=kind, server="main")


def kinds(catalog: Catalog) -> list[str]:
    return [event.kind for event in catalog.events.of_server("main")]


# ------------------------------------------------------------------------------------- the tables
def test_a_new_file_has_the_tables_that_the_code_names(catalog: Catalog) -> None:
    with catalog.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("old", [f"{number:04}" for number in range(1, int(HEAD))])
def test_a_file_of_each_earlier_version_gets_these_tables_too(state_file: Path, old: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with create_engine(f"sqlite:///{state_file}").begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, old)
    assert revision(state_file) == old
    with closing(open_catalog(state_file)) as catalog, catalog.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []
        migrated = indexes(connection)
    with (
        closing(open_catalog(state_file.with_name("new.db"))) as catalog,
        catalog.database.reading() as connection,
    ):
        assert indexes(connection) == migrated


def indexes(connection: Connection) -> list[tuple[str, str]]:
    """With their conditions, at which compare_metadata does not look."""
    found = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOTNULL ORDER BY 1")
    )
    return [(row.name, " ".join(row.sql.split())) for row in found]


def test_the_unique_index_of_active_backups_is_partial(catalog: Catalog) -> None:
    # compare_metadata does not look at the condition of an index.
    with catalog.database.reading() as connection:
        sql = connection.scalars(
            text("SELECT sql FROM sqlite_master WHERE name = 'ux_backups_one_active'")
        ).one()
    assert sql.startswith("CREATE UNIQUE INDEX")
    assert sql.endswith("WHERE status IN ('QUEUED', 'STARTED')")


def test_what_was_written_is_there_after_reopening(state_file: Path) -> None:
    for number in range(3):
        catalog = open_catalog(state_file)
        catalog.events.add(happened(str(number)))
        catalog.close()
    with closing(open_catalog(state_file)) as catalog:
        assert kinds(catalog) == ["0", "1", "2"]


def test_an_up_to_date_file_is_not_copied(state_file: Path) -> None:
    open_catalog(state_file).close()
    open_catalog(state_file).close()
    assert [path.name for path in state_file.parent.iterdir()] == ["barmand.db"]


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)]
)
def test_every_connection_is_durable_and_strict(
    catalog: Catalog, pragma: str, value: object
) -> None:
    with catalog.database.reading() as one, catalog.database.reading() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_the_migrations_are_found_in_the_checkout_or_beside_the_package() -> None:
    assert (migrations_folder() / "env.py").is_file()


# ------------------------------------------------------------------------------------- the damage
def test_an_overwritten_header_is_refused_with_the_way_to_repair_it(state_file: Path) -> None:
    open_catalog(state_file).close()
    overwrite(state_file, at=0, with_bytes=b"this is no database")
    assert_refused(state_file, "file is not a database")


def test_a_corrupt_page_is_refused_with_the_way_to_repair_it(state_file: Path) -> None:
    with closing(open_catalog(state_file)) as catalog, catalog.database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO servers (name, known_since) "
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
            "SELECT 'server' || i, '2024' FROM n"
        )
    page = 4096
    assert state_file.stat().st_size > 8 * page
    overwrite(state_file, at=state_file.stat().st_size - 2 * page, with_bytes=b"\xff" * 2 * page)
    assert_refused(state_file, "damaged|malformed")


def test_a_cut_file_is_refused(state_file: Path) -> None:
    open_catalog(state_file).close()
    os.truncate(state_file, state_file.stat().st_size // 2)
    assert_refused(state_file, "damaged|malformed")


def test_a_folder_in_the_place_of_the_file_is_refused(state_file: Path) -> None:
    state_file.mkdir()
    assert_refused(state_file, "unable to open")


def test_a_refused_file_is_left_as_it_was(state_file: Path) -> None:
    state_file.write_bytes(b"precious, though no database\n" * 300)
    before = state_file.read_bytes()
    assert_refused(state_file, "file is not a database")
    assert state_file.read_bytes() == before


def overwrite(path: Path, *, at: int, with_bytes: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(with_bytes)


def assert_refused(path: Path, words: str) -> None:
    with pytest.raises(StorageFailed, match=words) as error:
        open_database(path)
    assert str(path) in error.value.message
    assert error.value.hint is not None
    assert "-wal" in error.value.hint
    assert "rebuilt" in error.value.hint


# --------------------------------------------------------------------------------- other versions
def test_a_file_of_a_later_version_is_refused(state_file: Path) -> None:
    with closing(open_catalog(state_file)) as catalog:
        catalog.events.add(happened("kept"))
    stamp(state_file, "9999")
    with pytest.raises(StorageFailed, match="a version this barmand does not know") as error:
        open_database(state_file)
    assert error.value.hint is not None
    assert "later barmand" in error.value.hint
    assert [path.name for path in state_file.parent.iterdir()] == ["barmand.db"]
    stamp(state_file, HEAD)
    with closing(open_catalog(state_file)) as catalog:
        assert kinds(catalog) == ["kept"]


def stamp(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


@dataclass(frozen=True)
class LaterVersion:
    """A barmand with one migration more, laid out as the wheel does it."""

    home: Path

    def open(self, state_file: Path) -> "subprocess.CompletedProcess[str]":
        program = (
            "import sys; from pathlib import Path; import barmand;"
            "from barmand.catalog.memory import open_catalog;"
            f"assert barmand.__file__.startswith({str(self.home)!r});"
            "open_catalog(Path(sys.argv[1])).close()"
        )
        return subprocess.run(
            [sys.executable, "-c", program, state_file],
            env={"PYTHONPATH": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )


@pytest.fixture
def later_version(folder: Path) -> Callable[[str], LaterVersion]:
    def make(upgrade: str) -> LaterVersion:
        home = folder / "later"
        package = home / "barmand"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(barmand.__file__).parent, package, ignore=ignored)
        shutil.copytree(
            migrations_folder(), package / "migrations", dirs_exist_ok=True, ignore=ignored
        )
        (package / "migrations/versions/0999_later.py").write_text(
            "from alembic import op\n"
            f"revision = '0999'\ndown_revision = {HEAD!r}\n"
            f"def upgrade():\n    {upgrade}\n"
        )
        return LaterVersion(home)

    return make


ADD_COLUMN = "op.execute('ALTER TABLE events ADD COLUMN later TEXT')"


def columns(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[1] for row in connection.execute("PRAGMA table_info(events)")}


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_a_migration_keeps_a_copy_of_the_old_tables_first(
    state_file: Path, later_version: Callable[[str], LaterVersion]
) -> None:
    with closing(open_catalog(state_file)) as catalog:
        catalog.events.add(happened("before the migration"))
    done = later_version(ADD_COLUMN).open(state_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert revision(state_file) == "0999"
    assert "later" in columns(state_file)

    copy = state_file.with_name(f"barmand.db.before-{HEAD}")
    assert revision(copy) == HEAD
    assert "later" not in columns(copy)
    with closing(open_catalog(copy)) as catalog:
        assert kinds(catalog) == ["before the migration"]


def test_a_migration_that_fails_in_the_middle_changes_nothing(
    state_file: Path, later_version: Callable[[str], LaterVersion]
) -> None:
    with closing(open_catalog(state_file)) as catalog:
        catalog.events.add(happened("before the migration"))
    done = later_version(f"{ADD_COLUMN}; raise RuntimeError('half way')").open(state_file)
    assert done.returncode == 1
    assert "half way" in done.stderr
    assert revision(state_file) == HEAD
    assert "later" not in columns(state_file)
    with closing(open_catalog(state_file)) as catalog:
        assert kinds(catalog) == ["before the migration"]


# ----------------------------------------------------------------------------------- transactions
def write_and_fail(database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO servers VALUES ('x', NULL, NULL, NULL, '2024')")
        raise ZeroDivisionError


def test_a_transaction_that_raises_leaves_nothing_and_rings_no_bell(catalog: Catalog) -> None:
    before = catalog.bell.count
    with pytest.raises(ZeroDivisionError):
        write_and_fail(catalog.database)
    assert not catalog.servers.is_known("x")
    assert catalog.bell.count == before


def test_a_reader_never_waits_for_a_writer_and_sees_what_was_committed(catalog: Catalog) -> None:
    catalog.events.add(happened("committed"))
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events")
        assert kinds(catalog) == ["committed"]
    assert kinds(catalog) == []


def test_what_sqlite_says_no_to_is_a_failure_of_our_disk(catalog: Catalog) -> None:
    with pytest.raises(StorageFailed, match="no such table"), catalog.database.reading() as here:
        here.exec_driver_sql("SELECT * FROM nowhere")


def test_a_broken_rule_of_the_tables_is_a_bug_and_stays_one(catalog: Catalog) -> None:
    with pytest.raises(exc.IntegrityError), catalog.database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO tablespaces VALUES ('x', 'y', 1, 'z', '/')")


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""


@pytest.fixture
def holder(state_file: Path, catalog: Catalog) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the write lock, until it is told to let go."""
    assert catalog.database.path == state_file
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, state_file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.communicate()


def test_a_write_lock_held_elsewhere_only_delays(
    catalog: Catalog, holder: "subprocess.Popen[str]"
) -> None:
    writer = threading.Thread(target=catalog.events.add, args=[happened("late")])
    writer.start()
    writer.join(2)
    assert writer.is_alive()
    assert kinds(catalog) == []
    holder.communicate("let go\n")
    writer.join(10)
    assert not writer.is_alive()
    assert kinds(catalog) == ["late"]


def test_eight_writers_at_once_lose_nothing(catalog: Catalog) -> None:
    def write(writer: int) -> None:
        for number in range(20):
            catalog.events.add(happened(f"{writer}/{number}"))

    before = catalog.bell.count
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    told = kinds(catalog)
    assert sorted(told) == sorted(
        f"{writer}/{number}" for writer in range(8) for number in range(20)
    )
    for writer in range(8):
        own = [kind for kind in told if kind.startswith(f"{writer}/")]
        assert own == [f"{writer}/{number}" for number in range(20)]
    assert catalog.bell.count == before + 160


# ---------------------------------------------------------------------------------- the doorbell
def test_the_bell_rings_at_each_commit(catalog: Catalog) -> None:
    before = catalog.bell.count
    catalog.events.add(happened("one"))
    assert catalog.bell.wait(before, 0) == before + 1


def test_who_waits_is_woken() -> None:
    bell = Doorbell()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(bell.wait, 0, 30) for _ in range(3)]
        bell.ring()
        assert [each.result(5) for each in waiting] == [1, 1, 1]


def test_what_was_rung_before_is_not_waited_for() -> None:
    bell = Doorbell()
    bell.ring()
    assert bell.wait(0, 30) == 1


def test_a_bell_that_does_not_ring_is_not_waited_for_for_ever() -> None:
    assert Doorbell().wait(0, 0.01) == 0


def test_a_database_that_is_closed_leaves_no_file_of_its_own_behind(state_file: Path) -> None:
    database: Database = open_database(state_file)
    assert state_file.with_name("barmand.db-wal").exists()
    database.close()
    assert [path.name for path in state_file.parent.iterdir()] == ["barmand.db"]
