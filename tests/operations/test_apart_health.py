"""What barmand keeps must not lie in the cluster that it backs up."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from barmand.model.backup import Tablespace
from barmand.model.errors import CheckFailed
from barmand.model.finding import Finding, Level, demand
from barmand.operations import apart_health
from barmand.operations.apart_health import ApartHealth
from barmand.operations.check import Check
from fakes import Bench, Stop

PGDATA, SPACES = "directories outside PGDATA", "directories outside tablespaces"


@pytest.fixture
def pgdata(tmp_path: Path, bench: Bench) -> Path:
    """On this machine, and beside all that the bench keeps."""
    made = tmp_path / "pgdata"
    (made / "pg_wal").mkdir(parents=True)
    (made / "PG_VERSION").write_text("15\n")
    bench.postgres.pgdata = str(made)
    return made


def keeping(bench: Bench, **folders: Path) -> Check:
    """With some of its folders elsewhere."""
    health = bench.check.apart_health
    layout = replace(health.layout, **folders)
    return replace(bench.check, apart_health=replace(health, layout=layout))


def found(check: Check) -> list[Finding]:
    return [each for each in check.obstacles(Stop()) if each.name in {PGDATA, SPACES}]


def test_a_cluster_that_is_apart_passes(bench: Bench, pgdata: Path, tmp_path: Path) -> None:
    (passed,) = found(bench.check)
    assert (passed.name, passed.level) == (PGDATA, Level.OK)
    assert str(pgdata) in passed.hint
    space = tmp_path / "space"
    bench.postgres.tablespaces = (Tablespace("hot", 1, str(space)),)
    assert [(each.name, each.level) for each in found(bench.check)] == [
        (PGDATA, Level.OK),
        (SPACES, Level.OK),
    ]


def test_of_a_cluster_elsewhere_nothing_is_said_and_nothing_more_is_asked(
    bench: Bench, tmp_path: Path
) -> None:
    """Though the disk for backups has the name that its data directory has there."""
    bench.postgres.silent.add("known_tablespaces")
    bench.postgres.pgdata = str(tmp_path)
    assert found(keeping(bench, home=tmp_path / "barman")) == []
    bench.postgres.reads_settings = False
    assert found(bench.check) == []


def test_no_backup_is_begun_that_would_copy_itself(bench: Bench, pgdata: Path) -> None:
    check = keeping(bench, home=pgdata / "bk", base=pgdata / "bk/base", wals=pgdata / "bk/wals")
    (told,) = found(check)
    assert (told.name, told.level, told.keeps_from_backup) == (PGDATA, Level.FAILED, True)
    assert told.hint.startswith(
        f"backup_directory {pgdata}/bk lies in the data directory, {pgdata}: "
    )
    assert told.hint.endswith("set backup_directory to that, and reload")
    assert told in check.report(Stop())
    with pytest.raises(CheckFailed, match="move it elsewhere"):
        demand("main", check.obstacles(Stop()))


@pytest.mark.parametrize(
    ("place", "option"),
    [
        ("base", "basebackups_directory"),
        ("wals", "wals_directory"),
        ("incoming", "incoming_wals_directory"),
        ("streaming", "streaming_wals_directory"),
        ("errors", "errors_directory"),
    ],
)
def test_each_folder_may_be_the_one(
    bench: Bench, pgdata: Path, tmp_path: Path, place: str, option: str
) -> None:
    (tmp_path / "link").symlink_to(pgdata)
    (told,) = found(keeping(bench, **{place: tmp_path / "link" / "base" / "bk"}))
    assert told.keeps_from_backup
    assert f"{option} {tmp_path}/link/base/bk lies in the data directory, {pgdata}" in told.hint


def test_barmands_own_state_must_not_be_copied(bench: Bench, pgdata: Path) -> None:
    health = ApartHealth(bench.layout, pgdata / "barmand")
    (told,) = found(replace(bench.check, apart_health=health))
    assert told.keeps_from_backup
    assert f"state_directory {pgdata}/barmand lies in the data directory, {pgdata}" in told.hint
    assert told.hint.endswith("restart barmand")


def test_a_tablespace_is_the_clusters_too(bench: Bench, pgdata: Path, tmp_path: Path) -> None:
    space = tmp_path / "fast" / "space"
    bench.postgres.tablespaces = (
        Tablespace("here", 1, "pg_tblspc/1"),  # in place: in the data directory
        Tablespace("hot", 2, str(space)),
    )
    first, second = found(keeping(bench, wals=space / "wals", errors=pgdata / "errors"))
    assert (first.name, second.name) == (PGDATA, SPACES)
    assert first.keeps_from_backup
    assert second.keeps_from_backup
    assert f"wals_directory {space}/wals lies in tablespace hot, {space}" in second.hint


def test_wal_that_lies_elsewhere_is_the_clusters_too(
    bench: Bench, pgdata: Path, tmp_path: Path
) -> None:
    wal = tmp_path / "fast_wal"
    wal.mkdir()
    (pgdata / "pg_wal").rmdir()
    (pgdata / "pg_wal").symlink_to(wal)
    (told,) = found(keeping(bench, streaming=wal))
    assert f"streaming_wals_directory {wal} lies in the cluster's WAL, {pgdata}/pg_wal" in told.hint


@pytest.mark.usefixtures("pgdata")
def test_a_disk_that_hangs_ends_the_check_in_time_and_keeps_from_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(apart_health, "is_here", lambda _path: over.wait())
    told = found(replace(bench.check, seconds=1))
    over.set()
    assert [(each.name, each.level, each.keeps_from_backup) for each in told] == [
        (PGDATA, Level.FAILED, False),
        (SPACES, Level.FAILED, False),
    ]
    assert told[0].hint.startswith("timed out after 1 s")
