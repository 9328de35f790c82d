"""A cluster is laid out: whole and in its place, or not at all."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from barmand.model.backup import Backup, Tablespace
from barmand.model.errors import Refused, Stopped, StorageFailed
from barmand.model.progress import Phase
from barmand.model.recovery import Target
from barmand.operations.restore import Restored
from barmand.operations.restore_plan import Plan
from fakes import MB, Bench, Stop, Told, segment_name, wal_segment
from support.postgres import Clusters

SPACE = Path("PG_15_202209061/5/16390")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "restored"


@pytest.fixture
def real_control(clusters: Clusters) -> bytes:
    """Of a cluster that has run with the settings of the tests."""
    cluster = clusters.make()
    cluster.stop()
    return (cluster.data / "global/pg_control").read_bytes()


def plan(
    bench: Bench, backup: Backup, target: Path, until: Target = Target.END_OF_WAL, **moved: str
) -> Plan:
    """Tablespaces that are not moved are sent, by name, to where they were."""
    there = bench.now(backup)
    spaces = there.cluster.tablespaces if there.cluster else ()
    places = {space.name: space.location for space in spaces} | moved
    return bench.restore.plan(there, target, until, places)


def run(bench: Bench, made: Plan, stop: Stop | None = None) -> Restored:
    return bench.restore.run(made, stop=stop or Stop(), report=Told())


def restored(bench: Bench, target: Path, until: Target = Target.END_OF_WAL) -> Path:
    run(bench, plan(bench, bench.done_backup(), target, until))
    return target


def with_tablespace(bench: Bench, location: Path) -> Backup:
    bench.postgres.tablespaces = (Tablespace("fast", 16385, str(location)),)
    return bench.done_backup()


def settings(path: Path) -> list[str]:
    return path.read_text().splitlines()


# -------------------------------------------------------------------------------------- the cluster


def test_the_cluster_is_that_of_the_backup(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    result = run(bench, plan(bench, backup, target))
    original = bench.layout.data(backup.id)
    assert (target / "global/pg_control").read_bytes() == b"control" * 10
    for path in original.rglob("*"):
        if path.name != "postgresql.auto.conf":
            assert (target / path.relative_to(original)).exists()
    assert backup.copied is not None
    assert (result.size, result.segments) == (backup.copied.size, 1)
    assert result.seconds > 0


def test_the_backup_itself_is_not_changed(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    original = bench.layout.data(backup.id)
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    run(bench, plan(bench, backup, target))
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before


def test_only_its_owner_may_look_at_it(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.layout.data(backup.id).chmod(0o700)
    run(bench, plan(bench, backup, target))
    assert target.stat().st_mode & 0o777 == 0o700
    for name in ("barmand_wal", "postgresql.auto.conf", "recovery.signal"):
        assert (target / name).stat().st_mode & 0o077 == 0
    for path in (target / "barmand_wal").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_mode_is_the_one_that_the_data_directory_had(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.layout.data(backup.id).chmod(0o750)
    target.mkdir(mode=0o700)
    run(bench, plan(bench, backup, target))
    assert target.stat().st_mode & 0o777 == 0o750


def test_nothing_of_the_making_is_left(bench: Bench, target: Path) -> None:
    restored(bench, target)
    assert not [path for path in target.iterdir() if path.name.startswith(".")]


def test_phases_and_bytes_are_told(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    told = Told()
    bench.restore.run(plan(bench, backup, target), stop=Stop(), report=told)
    assert told.phases == [Phase.COPYING, Phase.SYNCING]
    assert backup.copied is not None
    assert told.lines[0] == (Phase.COPYING, 0, backup.copied.size)
    assert told.lines[-1] == (Phase.SYNCING, backup.copied.size, backup.copied.size)


def test_the_backup_is_held_meanwhile_and_free_afterwards(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()

    def try_to_delete(_phase: Phase) -> None:
        with pytest.raises(Refused, match=f"restore to {target}"):
            bench.delete.run(backup, actor="tester", stop=Stop())

    bench.restore.run(plan(bench, backup, target), stop=Stop(), report=Told(try_to_delete))
    bench.delete.run(backup, actor="tester", stop=Stop())


# ---------------------------------------------------------------------------------------------- WAL


def test_the_wal_and_every_history_lie_in_a_folder_of_its_own(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.stream(4)
    (bench.layout.incoming / "00000002.history").write_text("1\t0/400000\tpromoted\n")
    bench.pass_wal()
    run(bench, plan(bench, backup, target))
    names = sorted(path.name for path in (target / "barmand_wal").iterdir())
    assert names == [segment_name(3), segment_name(4), "00000002.history"]
    assert (target / "barmand_wal" / segment_name(4)).read_bytes() == wal_segment(4)


def test_packed_wal_is_unpacked(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    archived = bench.layout.wal(segment_name(3))
    archived.write_bytes(gzip.compress(wal_segment(3)))
    run(bench, plan(bench, backup, target))
    assert (target / "barmand_wal" / segment_name(3)).read_bytes() == wal_segment(3)


def test_packed_wal_that_is_damaged_fails_and_leaves_nothing(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.layout.wal(segment_name(3)).write_bytes(b"\x28\xb5\x2f\xfdzstd")
    with pytest.raises(StorageFailed, match="is damaged"):
        run(bench, plan(bench, backup, target))
    assert list(target.iterdir()) == []


def test_wal_that_goes_away_meanwhile_fails_and_leaves_nothing(bench: Bench, target: Path) -> None:
    made = plan(bench, bench.done_backup(), target)
    bench.layout.wal(segment_name(3)).unlink()
    with pytest.raises(Refused, match="went away"):
        run(bench, made)
    assert list(target.iterdir()) == []


def test_a_cluster_that_was_itself_restored_can_be_restored(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    old = bench.layout.data(backup.id) / "barmand_wal"
    old.mkdir()
    (old / segment_name(1)).touch()
    run(bench, plan(bench, backup, target))
    assert [path.name for path in (target / "barmand_wal").iterdir()] == [segment_name(3)]


# ---------------------------------------------------------------------------- what PostgreSQL reads


def test_postgresql_15_recovers_by_a_signal_and_archives_nothing(
    bench: Bench, target: Path
) -> None:
    restored(bench, target)
    lines = settings(target / "postgresql.auto.conf")
    assert lines[0] == "# do not edit"
    assert lines[2:5] == ["archive_mode = 'off'", "archive_command = ''", "archive_library = ''"]
    assert f'restore_command = \'cp "{target}/barmand_wal/%f" "%p"\'' in lines
    assert "recovery_target_timeline = '1'" in lines
    assert "recovery_target = 'immediate'" not in lines
    assert (target / "recovery.signal").read_bytes() == b""
    assert not (target / "recovery.conf").exists()


def test_for_the_backup_alone_recovery_ends_as_soon_as_it_can(bench: Bench, target: Path) -> None:
    restored(bench, target, Target.IMMEDIATE)
    lines = settings(target / "postgresql.auto.conf")
    assert "recovery_target = 'immediate'" in lines
    assert "recovery_target_action = 'promote'" in lines


def test_postgresql_14_has_no_archive_library(bench: Bench, target: Path) -> None:
    bench.postgres.version = 140_001
    restored(bench, target)
    assert "archive_library = ''" not in settings(target / "postgresql.auto.conf")
    assert (target / "recovery.signal").exists()


def test_a_data_directory_in_the_settings_does_not_lead_to_the_original(
    bench: Bench, target: Path
) -> None:
    backup = bench.done_backup()
    conf = bench.layout.data(backup.id) / "postgresql.conf"
    conf.write_text("data_directory = '/live'\n  HBA_FILE '/live/hba'\nport = 1 # data_directory\n")
    run(bench, plan(bench, backup, target))
    assert (target / "postgresql.conf").read_text() == (
        "#barmand# data_directory = '/live'\n#barmand#   HBA_FILE '/live/hba'\n"
        "port = 1 # data_directory\n"
    )
    assert "#barmand#" not in conf.read_text()


def test_without_the_sources_settings_recovery_is_told_what_it_needs(
    bench: Bench, target: Path, real_control: bytes
) -> None:
    bench.postgres.config_file = "/etc/postgresql/15/main/postgresql.conf"
    backup = bench.done_backup()
    (bench.layout.data(backup.id) / "global/pg_control").write_bytes(real_control)
    assert run(bench, plan(bench, backup, target)).warnings == ()
    lines = settings(target / "postgresql.auto.conf")
    assert lines[2:4] == ["max_connections = 40", "max_worker_processes = 8"]
    assert "max_locks_per_transaction = 64" in lines


def test_an_include_that_is_silenced_is_as_good_as_settings_outside(
    bench: Bench, target: Path, real_control: bytes
) -> None:
    backup = bench.done_backup()
    (bench.layout.data(backup.id) / "global/pg_control").write_bytes(real_control)
    (bench.layout.data(backup.id) / "postgresql.conf").write_text("include 'gone.conf'\n")
    run(bench, plan(bench, backup, target))
    assert "max_connections = 40" in settings(target / "postgresql.auto.conf")


def test_with_the_sources_settings_recovery_is_told_none_of_them(
    bench: Bench, target: Path, real_control: bytes
) -> None:
    backup = bench.done_backup()
    (bench.layout.data(backup.id) / "global/pg_control").write_bytes(real_control)
    run(bench, plan(bench, backup, target))
    assert "max_connections" not in (target / "postgresql.auto.conf").read_text()


def test_where_what_recovery_needs_cannot_be_read_the_requester_is_told(
    bench: Bench, target: Path
) -> None:
    bench.postgres.config_file = "/etc/postgresql/15/main/postgresql.conf"
    (warning,) = run(bench, plan(bench, bench.done_backup(), target)).warnings
    assert "max_locks_per_transaction must not be lower" in warning
    assert "max_connections" not in (target / "postgresql.auto.conf").read_text()


def test_the_backup_of_a_standby_is_restored_as_a_primary(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    (bench.layout.data(backup.id) / "standby.signal").touch()
    run(bench, plan(bench, backup, target))
    assert not (target / "standby.signal").exists()


# -------------------------------------------------------------------------------------- tablespaces


def test_a_tablespace_is_laid_out_and_linked(bench: Bench, target: Path, tmp_path: Path) -> None:
    backup = with_tablespace(bench, tmp_path / "live")
    run(bench, plan(bench, backup, target, fast=str(tmp_path / "new")))
    assert (tmp_path / "new" / SPACE).read_bytes() == b"in a tablespace"
    assert (target / "pg_tblspc/16385").readlink() == tmp_path / "new"
    assert not (tmp_path / "live").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [SPACE.parts[0]]


@pytest.mark.parametrize("intruder", [SPACE.parts[0], "something"])
def test_what_came_into_a_tablespaces_place_meanwhile_stays(
    bench: Bench, target: Path, tmp_path: Path, intruder: str
) -> None:
    place = tmp_path / "live"
    made = plan(bench, with_tablespace(bench, place), target)
    (place / intruder).mkdir(parents=True)
    (place / intruder / "precious").write_text("of another restore")
    with pytest.raises(Refused, match="not empty any more"):
        run(bench, made)
    assert (place / intruder / "precious").read_text() == "of another restore"
    assert list(target.iterdir()) == []


def test_what_came_into_the_destination_meanwhile_stays(bench: Bench, target: Path) -> None:
    made = plan(bench, bench.done_backup(), target)
    target.mkdir()
    (target / "precious").touch()
    with pytest.raises(Refused, match="not empty any more"):
        run(bench, made)
    assert [path.name for path in target.iterdir()] == ["precious"]


# --------------------------------------------------------------------------------------------- stop


@pytest.mark.parametrize("after", [0, 1, 2, 4, 8, 12, 16])
def test_a_stop_leaves_the_destination_as_it_was(
    bench: Bench, target: Path, tmp_path: Path, after: int
) -> None:
    target.mkdir(mode=0o711)
    place = tmp_path / "live"
    made = plan(bench, with_tablespace(bench, place), target)
    with pytest.raises(Stopped, match="the test stopped it"):
        run(bench, made, Stop(after=after))
    assert list(target.iterdir()) == []
    assert target.stat().st_mode & 0o777 == 0o711
    assert list(place.iterdir()) == []
    run(bench, plan(bench, made.backup, target))
    assert (target / "global/pg_control").exists()


def test_a_failure_in_mid_copy_leaves_the_destination_as_it_was(
    bench: Bench, target: Path, tmp_path: Path
) -> None:
    backup = with_tablespace(bench, tmp_path / "live")
    made = plan(bench, backup, target)
    shutil.rmtree(bench.layout.data(backup.id))
    with pytest.raises(StorageFailed, match="cannot list"):
        run(bench, made)
    assert list(target.iterdir()) == list((tmp_path / "live").iterdir()) == []


@pytest.mark.parametrize("phase", [Phase.COPYING, Phase.SYNCING])
def test_a_bug_leaves_the_destination_as_it_was(bench: Bench, target: Path, phase: Phase) -> None:
    def break_at(now: Phase) -> None:
        if now is phase:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.restore.run(
            plan(bench, bench.done_backup(), target), stop=Stop(), report=Told(break_at)
        )
    assert list(target.iterdir()) == []


def test_a_plan_without_a_size_is_carried_out_all_the_same(bench: Bench, target: Path) -> None:
    made = plan(bench, bench.done_backup(), target)
    assert made.backup.copied is not None
    bare = replace(made, backup=replace(made.backup, copied=None))
    assert run(bench, bare).size == made.backup.copied.size


def test_segments_of_16_mb_are_found_too(bench: Bench, target: Path) -> None:
    bench.postgres.segment_size = 16 * MB
    bench.postgres.lsn = 32 * MB + 0x28
    backup = bench.copied_backup()
    name = segment_name(2, size=16 * MB)
    (bench.layout.streaming / name).write_bytes(wal_segment(2, size=16 * MB))
    bench.pass_wal()
    run(bench, plan(bench, backup, target))
    assert (target / "barmand_wal" / name).stat().st_size == 16 * MB
