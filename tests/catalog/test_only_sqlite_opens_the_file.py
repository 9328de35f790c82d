"""Nobody but SQLite opens the state file.

A plain open and close of it inside the daemon drops the POSIX locks that SQLite holds on it; after
that another process may take the `-wal` file away under us, and what was committed is lost.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import barmand
from barmand.catalog.memory import Catalog, open_catalog
from barmand.catalog.migrating import keep_copy
from barmand.model.backup import Cluster, Reason
from barmand.model.event import Event
from barmand.model.wal import Segment
from barmand.storage.lock import StateLock

PACKAGE = Path(barmand.__file__).parent
NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


# ------------------------------------------------------------------------------ what the code says
def modules(under: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(under.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


OPENS = {
    *("open", "fdopen", "read_bytes", "read_text", "write_bytes", "write_text", "touch"),
    *("copy", "copy2", "copyfile", "copyfileobj", "copytree", "file_digest", "truncate", "mmap"),
}


def test_the_catalog_itself_touches_files_through_sqlite_only() -> None:
    touches = [
        f"{name}:{call.lineno} {called(call)}"
        for name, tree in modules(PACKAGE / "catalog")
        for call in calls(tree)
        if called(call).rpartition(".")[2] in OPENS
    ]
    assert touches == []


def test_the_files_name_is_known_only_where_the_catalog_is_opened() -> None:
    """Whoever does not know its name, or a path that holds it, cannot open it by name."""
    uses: dict[str, list[str]] = {}
    for name, tree in modules(PACKAGE):
        inside_open = {
            id(node)
            for call in calls(tree)
            if called(call) == "open_catalog"
            for node in ast.walk(call)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == "STATE_FILE":
                is_assignment = isinstance(node.ctx, ast.Store)
                kind = "named" if is_assignment else "opened" if id(node) in inside_open else "used"
                uses.setdefault(name, []).append(kind)
            elif isinstance(node, ast.Constant) and node.value == "barmand.db":
                uses.setdefault(name, []).append("spelled")
    assert list(uses) == ["life.py"]
    assert sorted(uses["life.py"]) == ["named", "opened", "spelled"]


def test_nobody_outside_the_catalog_asks_the_database_for_its_path_or_engine() -> None:
    asked = [
        f"{name}:{node.lineno} {ast.unparse(node)}"
        for name, tree in modules(PACKAGE)
        if not name.startswith("catalog/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"path", "engine"}
        and ast.unparse(node.value).rpartition(".")[2] in {"database", "catalog"}
    ]
    assert asked == []


# -------------------------------------------------------------------------------- what really is so
def locks_on(path: Path) -> set[str]:
    """The kinds of lock that this process holds on a file, from the kernel's own list."""
    inode = f":{path.stat().st_ino}"
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return {
        words[3]
        for words in lines
        if words[1] == "POSIX" and words[4] == str(os.getpid()) and words[5].endswith(inode)
    }


def test_the_lock_is_there_as_long_as_the_catalog_is_open(state_file: Path) -> None:
    with closing(open_catalog(state_file)):
        assert locks_on(state_file) == {"READ"}
    assert locks_on(state_file) == set()


def test_a_plain_open_and_close_would_drop_it(state_file: Path) -> None:
    """That is the danger; it is shown in another process, so that it does no harm here."""
    program = f"""
import sys
from pathlib import Path
sys.path[:0] = {sys.path!r}
from barmand.catalog.memory import open_catalog
catalog = open_catalog(Path(sys.argv[1]))
def locks():
    inode = f":{{Path(sys.argv[1]).stat().st_ino}} "
    return sum(inode in line for line in Path("/proc/locks").read_text().splitlines())
before = locks()
open(sys.argv[1]).close()
print(before > 0, locks())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, state_file], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True 0\n"


def queue_and_fail(catalog: Catalog) -> None:
    queued = catalog.backups.queue("main", method="postgres", name=None, requester="me", now=NOW)
    cluster = Cluster(system_id="1", version=150000, segment_size=2**24, pgdata="/pg")
    begun = catalog.backups.move(queued, queued.begun(NOW, cluster), now=NOW)
    failed = catalog.backups.move(begun, begun.failed(NOW, Reason("Bug", "x")), now=NOW)
    with catalog.holds.held(failed, holder="a restore", now=NOW):
        catalog.backups.of_server("main")
    deleting = catalog.backups.move(failed, failed.deleting(), now=NOW)
    catalog.backups.remove(deleting, now=NOW, facts={})


DEEDS: dict[str, Callable[[Catalog], object]] = {
    "a backup's life": queue_and_fail,
    "WAL": lambda catalog: catalog.wal_runs.extend(
        "main", [(Segment(1, 1), 9)], segment_size=2**24, now=NOW
    ),
    "an event": lambda catalog: catalog.events.add(Event(at=NOW, kind="x")),
    "a server": lambda catalog: catalog.servers.know("main", now=NOW, system_id="1"),
    "the copy before a migration": lambda catalog: keep_copy(
        catalog.database.path, catalog.database.engine, "0000"
    ),
    "the state directory's lock": lambda catalog: StateLock(catalog.database.path.parent).release(),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_the_lock_outlives_everything_that_is_done(catalog: Catalog, deed: str) -> None:
    DEEDS[deed](catalog)
    assert locks_on(catalog.database.path) == {"READ"}
