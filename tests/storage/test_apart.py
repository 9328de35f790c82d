"""A folder in another one, by whatever way it is reached."""

import os
from pathlib import Path

import pytest

from barmand.storage.apart import host_of, is_here


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    made = tmp_path / "pg" / "data"
    made.mkdir(parents=True)
    (made / "PG_VERSION").write_text("17\n")
    return made


def test_what_lies_in_it_is_found_whether_it_is_there_or_not(pgdata: Path) -> None:
    for inside in (pgdata, pgdata / "base" / "bk" / "not" / "yet"):
        assert host_of(inside, [Path("/nowhere"), pgdata]) == pgdata
    for outside in (pgdata.parent, pgdata.with_name("data2") / "x", Path("/nowhere/at/all")):
        assert host_of(outside, [pgdata]) is None


def test_links_hide_neither_the_folder_nor_the_host(pgdata: Path, tmp_path: Path) -> None:
    (tmp_path / "host").symlink_to(pgdata)
    (tmp_path / "backups").symlink_to(pgdata / "bk")  # which is not there
    assert host_of(tmp_path / "backups" / "main", [tmp_path / "host"]) == tmp_path / "host"
    assert host_of(tmp_path / "host" / "bk", [pgdata]) == pgdata


def test_the_nearest_host_is_told(pgdata: Path) -> None:
    assert host_of(pgdata / "pg_wal" / "x", [pgdata, pgdata / "pg_wal"]) == pgdata / "pg_wal"


def test_one_directory_under_two_paths_is_one(
    pgdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bind mount: another path, but what the kernel says of it is the same."""
    other, plain = tmp_path / "mounted", Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        return plain(pgdata if path == other else path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    assert host_of(other / "bk", [pgdata]) == pgdata


def test_a_data_directory_is_here_when_it_is_one(pgdata: Path) -> None:
    assert is_here(pgdata)
    assert not is_here(pgdata.parent), "a folder that has the name of a data directory elsewhere"
    assert not is_here(pgdata / "none")
    assert not is_here(pgdata / "PG_VERSION")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_what_may_not_be_looked_into_may_be_one(pgdata: Path) -> None:
    pgdata.chmod(0)
    assert is_here(pgdata)
    pgdata.chmod(0o700)
