"""Which directories a cluster has, and what in them is taken."""

import os
from pathlib import Path

import pytest

from barmand.model.backup import Cluster, Tablespace
from barmand.model.pgdata import tablespace_version_folder
from barmand.storage.data_tree import Tree, is_taken, system_id_of, trees_of, unreadable

PG = Path("/srv/pg")
HOME = Path("/backups/1")
DATA = Tree(PG, HOME / "data", left_out=frozenset({"spaces/one", "pg_hba.conf"}))
SPACE = Tree(Path("/space"), HOME / "77", "pg_tblspc/77/", tablespace_version_folder(150_000))


def cluster(**facts: object) -> Cluster:
    told: dict[str, object] = {
        "system_id": "73",
        "version": 150_018,
        "segment_size": 1,
        "pgdata": str(PG),
        **facts,
    }
    return Cluster(**told)  # type: ignore[arg-type] # facts of a test


@pytest.mark.parametrize(
    "path", ["PG_VERSION", "base/5/1259", "pg_wal", "spaces", "spaces/two/x", "base/pg_wal/1"]
)
def test_what_belongs_to_the_cluster_is_taken(path: str) -> None:
    assert is_taken(DATA, path)


@pytest.mark.parametrize(
    "path",
    [
        "pg_wal/000000010000000000000001",
        "pg_wal/archive_status/x",
        "base/pgsql_tmp/x/y",
        "spaces/one",
        "spaces/one/PG_15_2/5/1",
        "pg_hba.conf",
        "postmaster.pid",
        "global/pg_control",
        "pg_tblspc/77/PG_15_2/5/1",
    ],
)
def test_nothing_below_what_is_left_out_is_taken(path: str) -> None:
    assert not is_taken(DATA, path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("PG_15_2", True),
        ("PG_15_2/5/16400", True),
        ("PG_15_2/pg_wal/1", True),
        ("PG_15_2/5/t1_2", False),
        ("PG_15_2/pgsql_tmp/x", False),
        ("PG_16_3/5/1", False),
        ("lost+found", False),
    ],
)
def test_of_a_tablespace_the_servers_folder_is_taken(path: str, expected: bool) -> None:
    assert is_taken(SPACE, path) is expected


def test_a_cluster_is_its_tablespaces_and_its_data_directory() -> None:
    spaces = (Tablespace("in", 77, "/srv/pg/spaces/one"), Tablespace("out", 78, "/far"))
    inner, outer, data = trees_of(cluster(tablespaces=spaces), HOME)
    assert (inner.prefix, inner.target) == ("pg_tblspc/77/", HOME / "77")
    assert (outer.source, outer.prefix) == (Path("/far"), "pg_tblspc/78/")
    assert (data.source, data.prefix, data.left_out) == (PG, "", {"spaces/one"})


def test_where_links_can_be_followed_a_tablespace_inside_is_known_by_any_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "real/spaces/one").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    spaces = (Tablespace("in", 77, str(tmp_path / "real/spaces/one")),)
    known = cluster(pgdata=str(tmp_path / "link"), tablespaces=spaces)
    assert trees_of(known, HOME, real=Path.resolve)[-1].left_out == {"spaces/one"}


def test_configuration_from_outside_is_not_taken_from_inside_too() -> None:
    facts = cluster(config_file="/etc/pg/postgresql.conf", hba_file="/srv/pg/pg_hba.conf")
    assert trees_of(facts, HOME)[-1].left_out == {"postgresql.conf"}


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    (tmp_path / "global").mkdir()
    (tmp_path / "pg_tblspc").mkdir()
    (tmp_path / "PG_VERSION").write_text("15")
    (tmp_path / "global/pg_control").write_bytes(bytes(8192))
    return tmp_path


def test_a_data_directory_belongs_to_whom_its_control_file_says(pgdata: Path) -> None:
    (pgdata / "global/pg_control").write_bytes((7300000000000000001).to_bytes(8, "little") + b"..")
    assert system_id_of(pgdata) == "7300000000000000001"


def test_one_look_tells_whether_it_can_be_read(pgdata: Path) -> None:
    assert unreadable(pgdata) is None
    (pgdata / "global/pg_control").unlink()
    assert "pg_control: No such file" in (unreadable(pgdata) or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_tablespace_is_looked_at_too(
    pgdata: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    space = tmp_path_factory.mktemp("space")
    (pgdata / "pg_tblspc/16384").symlink_to(space)
    (pgdata / "pg_tblspc/16385").symlink_to("/nonexistent/dropped")
    (pgdata / "pg_tblspc/16386").write_text("whatever this is")
    assert unreadable(pgdata) is None
    space.chmod(0)
    try:
        assert (unreadable(pgdata) or "").startswith(f"{space}: Permission denied; the daemon's")
    finally:
        space.chmod(0o700)
