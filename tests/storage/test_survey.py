"""What there is to copy: all of it, in good order, and never silently less."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.model.pgdata import tablespace_version_folder
from barmand.storage.attempts import Attempts
from barmand.storage.data_tree import Tree
from barmand.storage.survey import BATCH_FILES, LARGE_BYTES, Survey, folders, survey
from fakes import Stop
from support.starving import Starved

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")


def look(*trees: Tree) -> Survey:
    return survey(trees, Attempts(Stop()))


def lay(root: Path, *paths: str, size: int = 1) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * size)


def files_of(found: Survey) -> set[str]:
    return {
        batch.tree.prefix + (f"{batch.folder}/{name}" if batch.folder else name)
        for batch in found.batches
        for name in batch.names
    }


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    root = tmp_path / "pgdata"
    lay(root, "PG_VERSION", "postmaster.pid", "global/pg_control", "global/1260", "base/5/1259")
    lay(root, "pg_wal/000000010000000000000001", "pg_wal/archive_status/x", "log/today")
    lay(root, "base/5/t3_16390", "base/pgsql_tmp/pgsql_tmp1.0", "pg_stat_tmp/global.stat")
    (root / "pg_tblspc").mkdir()
    return root


@pytest.fixture
def tree(pgdata: Path, tmp_path: Path) -> Tree:
    return Tree(source=pgdata, target=tmp_path / "copy")


def test_folders_are_made_and_files_are_gathered(tree: Tree) -> None:
    (tree.source / "base" / "5").chmod(0o750)
    found = look(tree)
    assert files_of(found) == {"PG_VERSION", "global/1260", "base/5/1259"}
    assert (found.files, found.bytes) == (3, 3)
    made = {str(path.relative_to(tree.target)) for path in tree.target.rglob("*")}
    assert made == {"global", "base", "base/5", "pg_wal", "pg_tblspc", "log", "pg_stat_tmp"}
    assert (tree.target / "base" / "5").stat().st_mode & 0o777 == 0o750


def test_a_tablespace_comes_with_the_folder_of_this_server_only(tree: Tree, tmp_path: Path) -> None:
    place = tmp_path / "space"
    lay(place, "PG_15_2/5/16400", "PG_15_2/5/t1_2", "PG_15_2/pgsql_tmp/x", "PG_16_3/5/1", "mine")
    lay(place, "PG_15_2/pg_wal/1")  # a name that means something in a data directory only
    (tree.source / "pg_tblspc" / "77").symlink_to(place)
    space = Tree(place, tmp_path / "77", "pg_tblspc/77/", tablespace_version_folder(150_000))
    found = look(space, tree)
    assert {name for name in files_of(found) if name.startswith("pg_tblspc")} == {
        "pg_tblspc/77/PG_15_2/5/16400",
        "pg_tblspc/77/PG_15_2/pg_wal/1",
    }
    assert not list((tree.target / "pg_tblspc").iterdir())


def test_what_comes_otherwise_is_left_out(pgdata: Path, tmp_path: Path) -> None:
    lay(pgdata, "spaces/one/PG_15_2/5/1", "spaces/other", "pg_hba.conf")
    tree = Tree(pgdata, tmp_path / "copy", left_out=frozenset({"spaces/one", "pg_hba.conf"}))
    found = files_of(look(tree))
    assert "spaces/other" in found
    assert not [name for name in found if name.startswith("spaces/one") or "hba" in name]


def test_large_files_stand_alone_and_come_first(tree: Tree) -> None:
    lay(tree.source, "base/5/2", size=LARGE_BYTES)
    lay(tree.source, "base/9/3", size=LARGE_BYTES + 1)
    lay(tree.source, *(f"base/5/{number}" for number in range(100, 100 + 2 * BATCH_FILES)))
    batches = look(tree).batches
    assert [batch.names for batch in batches[:2]] == [["3"], ["2"]]
    assert [batch.bytes for batch in batches] == sorted(
        (batch.bytes for batch in batches), reverse=True
    )
    assert max(len(batch.names) for batch in batches) == BATCH_FILES


def test_a_folder_that_is_a_link_is_followed_but_not_a_tablespace(
    tree: Tree, tmp_path: Path
) -> None:
    lay(tmp_path / "wal", "000000010000000000000001")
    lay(tmp_path / "elsewhere", "0000")
    shutil.rmtree(tree.source / "pg_wal")
    (tree.source / "pg_wal").symlink_to(tmp_path / "wal")
    (tree.source / "pg_xact").symlink_to(tmp_path / "elsewhere")
    (tree.source / "pg_tblspc" / "77").symlink_to(tmp_path / "elsewhere")
    assert files_of(look(tree)) == {*("PG_VERSION", "global/1260", "base/5/1259", "pg_xact/0000")}
    assert not (tree.target / "pg_wal").is_symlink()


def test_a_file_that_is_a_link_is_a_file(tree: Tree, tmp_path: Path) -> None:
    lay(tmp_path, "postgresql.conf", size=100)
    (tree.source / "postgresql.conf").symlink_to(tmp_path / "postgresql.conf")
    found = look(tree)
    assert "postgresql.conf" in files_of(found)
    assert found.bytes == 103


def test_a_link_to_nowhere_is_named(tree: Tree) -> None:
    (tree.source / "server.key").symlink_to("/nowhere/at/all")
    with pytest.raises(StorageFailed, match=r"server.key is a link to nowhere") as told:
        look(tree)
    assert told.value.hint == "Mend it, or remove it."


def test_sockets_and_pipes_are_no_part_of_a_backup(tree: Tree, tmp_path: Path) -> None:
    os.mkfifo(tree.source / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tree.source)  # the path of a socket is short
        listening.bind(".s.PGSQL.5432")
        os.chdir(tmp_path)
        assert "pipe" not in files_of(look(tree))


@as_user
def test_a_folder_that_cannot_be_read_is_named(tree: Tree) -> None:
    shut = tree.source / "base" / "5"
    shut.chmod(0)
    with pytest.raises(StorageFailed, match=f"cannot read {shut}: Permission denied"):
        look(tree)
    shut.chmod(0o700)


@as_user
def test_a_link_into_a_folder_that_cannot_be_searched_is_named(tree: Tree, tmp_path: Path) -> None:
    lay(tmp_path / "shut", "key")
    (tree.source / "server.key").symlink_to(tmp_path / "shut" / "key")
    (tmp_path / "shut").chmod(0)
    with pytest.raises(StorageFailed, match=r"server.key"):
        look(tree)
    (tmp_path / "shut").chmod(0o700)


def test_a_database_dropped_during_the_look_is_as_if_it_never_was(tree: Tree) -> None:
    lay(tree.source, "base/6/1259")
    walk = folders(tree, Attempts(Stop()))
    seen = []
    for folder, _ in walk:
        if folder == "base":
            shutil.rmtree(tree.source / "base/6")
        seen.append(folder)
    assert "base/5" in seen
    assert "base/6" not in seen


@pytest.mark.parametrize("gone", ["", "pg_xact"])
def test_a_folder_that_no_server_drops_must_be_there(tree: Tree, gone: str) -> None:
    lay(tree.source, "pg_xact/0000")
    walk = folders(tree, Attempts(Stop()))
    if gone:
        next(walk)
    shutil.rmtree(tree.source / gone)
    with pytest.raises(StorageFailed, match="cannot read"):
        list(walk)


def test_a_name_that_is_not_utf8_is_a_name(tree: Tree) -> None:
    name = os.fsdecode(b"odd \xff")
    lay(tree.source, f"base/5/{name}")
    assert f"base/5/{name}" in files_of(look(tree))


def test_a_stop_ends_the_look_in_the_middle_of_a_folder(tree: Tree) -> None:
    lay(tree.source, *(f"base/5/{number}" for number in range(100, 200)))
    stop = Stop(after=50)
    with pytest.raises(Stopped, match=f"looking through {tree.source}"):
        survey([tree], Attempts(stop))


def test_a_folder_that_fails_and_heals_is_looked_at_again(tree: Tree) -> None:
    stop = Starved()
    with stop.starving():
        found = survey([tree], Attempts(stop, 1, 5.0))
    assert files_of(found) == {"PG_VERSION", "global/1260", "base/5/1259"}
    assert stop.pauses == [5.0]
