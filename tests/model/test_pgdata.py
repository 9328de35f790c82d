"""What of a data directory is taken, emptied, left out and last; and which files hold pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.pgdata import (
    CONTROL_FILE,
    Part,
    RelationFile,
    is_temporary,
    mapped_tablespaces,
    may_vanish,
    part_of,
    tablespace_version_folder,
)

forks = st.sampled_from(["", "_fsm", "_vm", "_init"])
segments = st.sampled_from(["", ".1", ".27"])
numbers = st.integers(1, 2**32 - 1).map(str)
names = st.tuples(numbers, forks, segments).map("".join)
folders = st.one_of(
    st.just("global"),
    numbers.map("base/{}".format),
    st.tuples(numbers, numbers).map(lambda pair: "pg_tblspc/{}/PG_15_202209061/{}".format(*pair)),
)


@given(folders, names)
def test_no_relation_file_is_ever_left_out(folder: str, name: str) -> None:
    assert part_of(f"{folder}/{name}") is Part.TAKEN
    assert RelationFile.of(f"{folder}/{name}") is not None
    assert may_vanish(f"{folder}/{name}")


@given(folders, st.integers(1, 999), names)
def test_relations_of_temporary_tables_are_left_out(folder: str, backend: int, name: str) -> None:
    assert part_of(f"{folder}/t{backend}_{name}") is Part.LEFT_OUT


@given(folders, st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20))
def test_only_what_postgresql_calls_temporary_is_left_out_below(folder: str, name: str) -> None:
    part = part_of(f"{folder}/{name}")
    assert part is (Part.LEFT_OUT if is_temporary(name) else Part.TAKEN)


@pytest.mark.parametrize(
    "path",
    [
        *("PG_VERSION", "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "server.key"),
        *("global", "global/pg_filenode.map", "base/5/PG_VERSION", "base/5/pg_filenode.map"),
        *("pg_xact/0000", "pg_multixact/offsets/0000", "pg_commit_ts/0000", "pg_twophase/00000A"),
        *("pg_stat/pgstat.stat", "pg_logical/mappings/map-1", "of_mine/t1", "base/5/t_1"),
        *("of_mine/backup_label", "of_mine/postmaster.pid", "of_mine/pg_wal", "of_mine/log"),
    ],
)
def test_what_a_cluster_needs_is_taken(path: str) -> None:
    assert part_of(path) is Part.TAKEN


@pytest.mark.parametrize(
    "path",
    [
        *("pg_wal", "pg_xlog", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial"),
        *("pg_snapshots", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "log", "pg_log"),
    ],
)
def test_folders_of_the_running_server_are_kept_empty(path: str) -> None:
    assert part_of(path) is Part.EMPTIED


@pytest.mark.parametrize(
    "path",
    [
        *("postmaster.pid", "postmaster.opts", "backup_label", "tablespace_map", "backup_manifest"),
        *("standby.signal", "recovery.signal", "recovery.conf", "current_logfiles"),
        *("base/pgsql_tmp", "base/pgsql_tmp/pgsql_tmp123.4", "global/pg_internal.init"),
        *("base/5/pg_internal.init", "base/5/pg_internal.init.99", "base/5/t12_16390_fsm.1"),
    ],
)
def test_what_belongs_to_the_running_server_is_left_out(path: str) -> None:
    assert part_of(path) is Part.LEFT_OUT


def test_the_control_file_is_last() -> None:
    assert part_of(CONTROL_FILE) is Part.LAST


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("base/5/1259", 0),
        ("base/5/1259_fsm", 0),
        ("base/5/16390.1", 131_072),
        ("base/5/16390_vm.2", 262_144),
        ("global/1260", 0),
        ("pg_tblspc/16388/PG_15_202209061/5/16390.32767", 32_767 * 131_072),
    ],
)
def test_the_block_numbers_of_a_segment_file_go_on(path: str, first: int) -> None:
    assert RelationFile.of(path) == RelationFile(first)


@pytest.mark.parametrize(
    "path",
    [
        *("base/5/PG_VERSION", "base/5/pg_filenode.map", "global/pg_control", "pg_xact/0000"),
        *("base/5/1259.x", "base/5/t1_16390", "of_mine/16390", "pg_multixact/members/0000", "1259"),
    ],
)
def test_what_holds_no_pages_of_a_relation_is_not_judged(path: str) -> None:
    assert RelationFile.of(path) is None


@pytest.mark.parametrize(
    "path",
    [
        *("base/5/16390", "base/5/PG_VERSION", "base/5", "pg_xact/0000", "global/1260_fsm"),
        *("pg_stat/x", "pg_logical/snapshots/0-1.snap", "pg_tblspc/1/PG_15_2/5/16390"),
    ],
)
def test_what_postgresql_may_drop_may_vanish(path: str) -> None:
    assert may_vanish(path)


@pytest.mark.parametrize(
    "path", ["PG_VERSION", "postgresql.conf", "global/pg_control", "global/pg_filenode.map", "base"]
)
def test_what_postgresql_never_drops_must_be_there(path: str) -> None:
    assert not may_vanish(path)


def test_of_a_tablespace_only_the_folder_of_this_version_is_taken() -> None:
    folder = tablespace_version_folder(150_018)
    assert folder.fullmatch("PG_15_202209061")
    assert not folder.fullmatch("PG_16_202307071")
    assert not folder.fullmatch("PG_15_202209061.old")


@pytest.mark.parametrize(
    ("text", "oids"),
    [
        ("", ()),
        ("16385 /srv/fast\n16390 /srv/slow\n", (16385, 16390)),
        ("16385 /srv/of two\\\n99 lines\n16390 /srv/a \\\\ b\n", (16385, 16390)),
        ("16385 /srv/without an end", (16385,)),
    ],
)
def test_a_tablespace_map_names_oids(text: str, oids: tuple[int, ...]) -> None:
    assert mapped_tablespaces(text) == oids
