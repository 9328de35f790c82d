"""What a restore refuses before it writes anything."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from barmand.model.backup import Backup, Damage, Status, Tablespace
from barmand.model.errors import NotFound, Refused
from barmand.model.recovery import Target
from barmand.model.wal import Run
from barmand.operations.restore_plan import Plan
from fakes import MB, Bench, Stop, segment_name

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "restored"


def plan(
    bench: Bench,
    backup: Backup,
    target: Path,
    until: Target = Target.END_OF_WAL,
    moved: Mapping[str, str] | None = None,
) -> Plan:
    return bench.restore.plan(bench.now(backup), target, until, moved or {})


def lose(bench: Bench, number: int) -> None:
    bench.layout.wal(segment_name(number)).unlink()


def forget(bench: Bench, number: int) -> None:
    bench.catalog.wal_runs.cut("main", [Run(1, number, number)], bench.clock())
    lose(bench, number)


def with_tablespace(bench: Bench, location: Path) -> Backup:
    bench.postgres.tablespaces = (Tablespace("fast", 16385, str(location)),)
    return bench.done_backup()


def test_a_plan_tells_everything_and_writes_nothing(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.stream(4, 5)
    bench.pass_wal()
    made = plan(bench, backup, target)
    assert made.segments == [Run(1, 3, 5)]
    assert (made.segment_size, made.version) == (MB, 150_018)
    assert made.destination.path == target
    assert not target.exists()


def test_for_the_backup_alone_only_its_own_wal_is_wanted(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.stream(4, 5)
    bench.pass_wal()
    assert plan(bench, backup, target, Target.IMMEDIATE).segments == [Run(1, 3, 3)]


def test_later_timelines_are_wanted_too(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.stream(4, 5, timeline=2)
    bench.pass_wal()
    assert plan(bench, backup, target).segments == [Run(1, 3, 3), Run(2, 4, 5)]


@pytest.mark.parametrize("is_needed_folder", [True, False])
def test_an_empty_folder_or_none_will_do(
    bench: Bench, target: Path, *, is_needed_folder: bool
) -> None:
    if is_needed_folder:
        target.mkdir()
    assert plan(bench, bench.done_backup(), target / "").destination.path == target


def test_a_folder_that_is_not_empty_is_refused(bench: Bench, target: Path) -> None:
    target.mkdir()
    (target / "precious").touch()
    with pytest.raises(Refused, match="is not empty"):
        plan(bench, bench.done_backup(), target)


def test_a_file_is_refused(bench: Bench, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(Refused, match="is not a directory"):
        plan(bench, bench.done_backup(), target)


def test_a_folder_below_a_file_is_refused(bench: Bench, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(Refused, match="cannot be made"):
        plan(bench, bench.done_backup(), target / "below")


@pytest.mark.parametrize("name", ["", "base", "wals/deeper", ".."])
def test_barmands_own_ground_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(Refused, match="own ground"):
        plan(bench, bench.done_backup(), bench.layout.home / name)


def test_a_link_into_barmands_own_ground_is_refused(bench: Bench, target: Path) -> None:
    target.symlink_to(bench.layout.base)
    with pytest.raises(Refused, match="own ground"):
        plan(bench, bench.done_backup(), target)


@pytest.mark.parametrize("path", ["relative/path", "/srv/new\nline"])
def test_a_path_that_cannot_be_is_refused(bench: Bench, path: str) -> None:
    with pytest.raises(Refused, match="not an absolute path"):
        plan(bench, bench.done_backup(), Path(path))


@as_user
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_cannot_be_written_is_refused(
    bench: Bench, target: Path, *, is_there: bool
) -> None:
    target.mkdir(mode=0o500)
    with pytest.raises(Refused, match="cannot be"):
        plan(bench, bench.done_backup(), target if is_there else target / "below")


# ---------------------------------------------------------------------------------------------- WAL


@pytest.mark.parametrize("until", Target)
def test_a_missing_segment_is_named(bench: Bench, target: Path, until: Target) -> None:
    backup = bench.done_backup()
    forget(bench, 3)
    with pytest.raises(Refused, match=rf"1 WAL segment.*not whole.*: {segment_name(3)}"):
        plan(bench, backup, target, until)


@pytest.mark.parametrize("until", Target)
def test_a_segment_of_which_only_the_row_is_left_is_named(
    bench: Bench, target: Path, until: Target
) -> None:
    backup = bench.done_backup()
    lose(bench, 3)
    with pytest.raises(Refused, match=segment_name(3)):
        plan(bench, backup, target, until)
    (gap,) = bench.catalog.wal_gaps.of_server("main")
    assert segment_name(gap.run.first) == segment_name(gap.run.last) == segment_name(3)
    assert len(bench.events("archived WAL lost or damaged")) == 1


def test_a_gap_behind_the_backup_matters_only_for_the_end_of_wal(
    bench: Bench, target: Path
) -> None:
    backup = bench.done_backup()
    bench.stream(4, 5, 6, 7)
    bench.pass_wal()
    forget(bench, 5)
    forget(bench, 6)
    with pytest.raises(Refused, match=rf"2 WAL segment.*: {segment_name(5)}, ") as refused:
        plan(bench, backup, target)
    assert "--target-immediate" in str(refused.value.hint)
    assert plan(bench, backup, target, Target.IMMEDIATE).segments == [Run(1, 3, 3)]


def promoted(bench: Bench, timeline: int, text: str) -> None:
    (bench.layout.incoming / f"{timeline:08X}.history").write_text(text)
    bench.pass_wal()


def test_a_gap_on_a_later_timeline_is_refused_until_it_is_acknowledged(
    bench: Bench, target: Path
) -> None:
    backup = bench.done_backup()
    bench.stream(4)
    promoted(bench, 2, "1\t0/5000C0\tpromoted\n")
    bench.stream(6, 7, timeline=2)
    bench.pass_wal()
    missing = segment_name(5, timeline=2)
    with pytest.raises(Refused, match=f"1 WAL segment.*: {missing}$") as refused:
        plan(bench, backup, target)
    assert "acknowledge-gap main" in str(refused.value.hint)
    (gap,) = bench.catalog.wal_gaps.of_server("main")
    bench.catalog.wal_gaps.acknowledge(
        "main", gap.id, reason="lost", actor="anna", now=bench.clock()
    )
    made = plan(bench, backup, target)
    assert made.segments == [Run(1, 3, 4)]
    assert missing in bench.restore.warnings(made)[-1]


def test_a_timeline_that_left_before_the_backup_is_not_followed(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    bench.stream(4)
    promoted(bench, 9, "1\t0/100000\tsomebody else's\n")
    made = plan(bench, backup, target)
    assert made.line.current == 1
    assert made.segments == [Run(1, 3, 4)]


def test_a_waiting_backup_is_refused_for_its_missing_wal(bench: Bench, target: Path) -> None:
    waiting = bench.copied_backup()
    with pytest.raises(Refused, match=segment_name(3)):
        plan(bench, waiting, target, Target.IMMEDIATE)


# ------------------------------------------------------------------------------------------ backups


def test_a_failed_backup_is_refused(bench: Bench, target: Path) -> None:
    with pytest.raises(Refused, match="is FAILED: not restorable"):
        plan(bench, bench.failed_backup(), target)


def test_an_active_backup_is_refused(bench: Bench, target: Path) -> None:
    with pytest.raises(Refused, match="is QUEUED: not restorable"):
        plan(bench, bench.queue(), target)


@pytest.mark.parametrize("change", [{"encryption": "gpg"}, {"parent_id": "20250101T000000"}])
def test_what_only_barman_can_restore_is_refused(
    bench: Bench, target: Path, change: dict[str, str]
) -> None:
    backup = replace(bench.done_backup(), **change)  # type: ignore[arg-type] # fields of text
    assert backup.status is Status.DONE
    with pytest.raises(Refused, match="cannot restore"):
        bench.restore.plan(backup, target, Target.END_OF_WAL, {})


# -------------------------------------------------------------------------------------- tablespaces


def test_a_tablespace_goes_where_it_is_sent_and_nowhere_unasked(
    bench: Bench, target: Path, tmp_path: Path
) -> None:
    backup = with_tablespace(bench, tmp_path / "live")
    with pytest.raises(Refused, match="tablespace 'fast' needs a place") as refused:
        plan(bench, backup, target)
    assert f"--tablespace fast:{tmp_path / 'live'}" in (refused.value.hint or "")
    for place in (tmp_path / "live", tmp_path / "new"):
        (space,) = plan(bench, backup, target, moved={"fast": str(place)}).places.values()
        assert space.path == place


def test_the_live_place_of_a_tablespace_is_never_overwritten(
    bench: Bench, target: Path, tmp_path: Path
) -> None:
    live = tmp_path / "live"
    (live / "PG_15_202209061").mkdir(parents=True)
    with pytest.raises(Refused, match=f"{live} is not empty"):
        plan(bench, with_tablespace(bench, live), target, moved={"fast": str(live)})


def test_a_tablespace_that_the_backup_does_not_have_is_not_found(
    bench: Bench, target: Path, tmp_path: Path
) -> None:
    backup = with_tablespace(bench, tmp_path / "live")
    with pytest.raises(NotFound, match="no tablespace 'slow'"):
        plan(bench, backup, target, moved={"slow": "/srv/slow"})


@pytest.mark.parametrize("place", ["restored", "restored/pg_tblspc/16385", "."])
def test_places_in_one_another_are_refused(
    bench: Bench, target: Path, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "x"
    backup = with_tablespace(bench, tmp_path / "live")
    with pytest.raises(Refused, match="lies in"):
        plan(bench, backup, folder / target.name, moved={"fast": str(folder / place)})


# ----------------------------------------------------------------------------------------- warnings


def test_configuration_outside_the_data_directory_is_warned_of(bench: Bench, target: Path) -> None:
    bench.postgres.config_file = "/etc/postgresql/15/main/postgresql.conf"
    made = plan(bench, bench.done_backup(), target)
    (warning,) = bench.restore.warnings(made)
    assert warning.startswith(
        f"not in the backup: /etc/postgresql/15/main/postgresql.conf; put them into {target} "
    )
    assert "without the lines data_directory" in warning


def test_configuration_that_a_file_method_brought_needs_no_warning(
    bench: Bench, target: Path
) -> None:
    bench.postgres.config_file = "/etc/postgresql/15/main/postgresql.conf"
    backup = bench.done_backup()
    made = plan(bench, backup, target)
    by_files = replace(made, backup=replace(backup, method="rsync"))
    brought = bench.layout.data(backup.id) / "postgresql.conf"
    brought.write_text("port = 5433")
    assert bench.restore.warnings(by_files) == []
    assert bench.restore.warnings(made) != []  # pg_basebackup's is another, of no use
    brought.unlink()
    assert bench.restore.warnings(by_files) != []


def with_cluster(made: Plan, **facts: object) -> Plan:
    assert made.backup.cluster is not None
    cluster = replace(made.backup.cluster, **facts)  # type: ignore[arg-type] # its own fields
    return replace(made, backup=replace(made.backup, cluster=cluster))


def test_included_settings_from_outside_are_named_with_the_folder_that_takes_them(
    bench: Bench, target: Path
) -> None:
    made = plan(bench, bench.done_backup(), target)
    etc = "/etc/postgresql/15/main"
    (bench.layout.data(made.backup.id) / "postgresql.conf").touch()
    by_files = replace(made, backup=replace(made.backup, method="rsync"))
    cluster = with_cluster(
        by_files,
        config_file=f"{etc}/postgresql.conf",
        included_files=(f"{etc}/conf.d/a.conf", f"{etc}/conf.d/b.conf", f"{etc}/c.conf", "/d.conf"),
    )
    folder, others = bench.restore.warnings(cluster)
    assert folder == (
        f"not in the backup: {etc}/conf.d/a.conf, {etc}/conf.d/b.conf; put them into "
        f"{target}/conf.d before you start PostgreSQL"
    )
    assert others == (
        f"not in the backup: {etc}/c.conf, /d.conf; put them into {target} before you start "
        "PostgreSQL, and let its postgresql.conf include them"
    )
    inside = with_cluster(made, included_files=("/srv/pg/b.conf",))
    assert bench.restore.warnings(inside) == []


def test_bad_pages_are_warned_of(bench: Bench, target: Path) -> None:
    made = plan(bench, bench.done_backup(), target)
    assert made.backup.copied is not None
    damages = (Damage("base/5/16384", (7, 9)), Damage("base/5/16385", (1,)))
    copied = replace(made.backup.copied, damages=damages)
    damaged = replace(made, backup=replace(made.backup, copied=copied))
    (warning,) = bench.restore.warnings(damaged)
    assert warning.startswith("the backup has 3 bad page(s), first block 7 of base/5/16384")
    assert "an older backup" in warning
    unknown = replace(copied, damages=(Damage("base/5/16384", ()),))
    (warning,) = bench.restore.warnings(replace(made, backup=replace(made.backup, copied=unknown)))
    assert "base/5/16384" in warning


def test_configuration_inside_needs_no_warning(bench: Bench, target: Path) -> None:
    made = plan(bench, bench.done_backup(), target)
    assert bench.restore.warnings(made) == []
    assert bench.restore.warnings(replace(made, backup=bench.queue())) == []


def test_a_backup_that_is_gone_since_is_refused_when_it_runs(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    made = plan(bench, backup, target)
    bench.delete.run(backup, actor="tester", stop=Stop())
    with pytest.raises(Refused, match="being deleted"):
        bench.restore.run(made, stop=Stop(), report=lambda *_: None)
    assert not target.exists()
