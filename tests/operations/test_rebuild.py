"""The catalogue again, from what lies on disk."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from barmand.catalog.memory import Catalog
from barmand.model.backup import Status
from barmand.model.errors import Stopped, StorageFailed
from barmand.model.wal import Run
from barmand.storage import backup_info
from fakes import (
    MB,
    SYSTEM,
    Bench,
    Stop,
    bench_over,
    lay_segment,
    segment_name,
    start_again,
    wal_segment,
)

BARMAN_INFO = f"""\
backup_label=None
begin_offset=40
begin_time=2024-05-01 10:00:00.000000+00:00
begin_wal=000000010000000000000005
begin_xlog=0/5000028
children_backup_ids=None
cluster_size=30000000
compression=None
config_file=/srv/pg/postgresql.conf
copy_stats={{'copy_time': 1.5, 'total_time': 1.6, 'number_of_workers': 1}}
deduplicated_size=30000000
end_offset=256
end_time=2024-05-01 10:01:00.000000+00:00
end_wal=000000010000000000000005
end_xlog=0/5000100
error=None
hba_file=/srv/pg/pg_hba.conf
ident_file=/srv/pg/pg_ident.conf
included_files=None
mode=postgres
parent_backup_id=None
pgdata=/srv/pg
server_name=main
size=30000000
status=DONE
systemid={SYSTEM}
tablespaces=[('fast', 16385, '/srv/fast')]
timeline=1
version=150018
xlog_segment_size=16777216
"""
BARMAN_ID = "20240501T120000"


@pytest.fixture
def forget(bench: Bench, new_catalog: Callable[[], Catalog]) -> Callable[[], Bench]:
    """The same disk, with a catalogue that remembers nothing."""
    return lambda: bench_over(
        new_catalog(), bench.layout.home, clock=bench.clock, postgres=bench.postgres
    )


def lay_barman_backup(bench: Bench) -> None:
    data = bench.layout.data(BARMAN_ID)
    (data / "global").mkdir(parents=True)
    (data / "global/pg_control").write_bytes(b"control")
    bench.layout.old_info(BARMAN_ID).write_text(BARMAN_INFO)
    name = "000000010000000000000005"
    bench.layout.wal(name).parent.mkdir()
    lay_segment(bench.layout.wal(name).parent, 5, size=16 * MB)
    identity = json.dumps({"systemid": SYSTEM, "version": "15"})
    bench.layout.identity.write_text(identity)


def test_a_lost_state_file_comes_back_from_disk(bench: Bench, forget: Callable[[], Bench]) -> None:
    backups = [bench.done_backup("kept"), bench.done_backup(), bench.copied_backup()]
    again = forget()
    start_again(again)
    assert again.catalog.backups.of_server("main") == backups
    assert again.catalog.wal_runs.of_server("main") == bench.catalog.wal_runs.of_server("main")
    assert again.catalog.servers.system_id("main") == SYSTEM
    assert len(again.events("backup adopted from disk")) == 3


def test_the_next_id_is_greater_than_those_that_were_adopted(
    bench: Bench, forget: Callable[[], Bench]
) -> None:
    last = bench.done_backup()
    again = forget()
    start_again(again)
    assert again.queue().id > last.id


def test_a_backup_that_was_interrupted_is_failed_then(
    bench: Bench, forget: Callable[[], Bench]
) -> None:
    queued = bench.queue()
    bench.record.move(queued, queued.begun(bench.clock(), bench.postgres.facts()))
    again = forget()
    start_again(again)
    assert again.now(queued).status is Status.FAILED


def test_twice_changes_nothing(bench: Bench, forget: Callable[[], Bench]) -> None:
    bench.done_backup()
    again = forget()
    start_again(again)
    before = again.catalog.events.of_server("main")
    start_again(again)
    assert again.catalog.events.of_server("main") == before


def test_a_catalogue_of_barmans_is_adopted(bench: Bench) -> None:
    lay_barman_backup(bench)
    start_again(bench)
    (backup,) = bench.catalog.backups.of_server("main")
    assert (backup.id, backup.status) == (BARMAN_ID, Status.DONE)
    assert bench.catalog.wal_runs.of_server("main") == [Run(1, 5, 5)]
    assert bench.archive.missing(backup) == []
    assert bench.catalog.servers.system_id("main") == SYSTEM


def test_a_backup_of_barmans_can_be_deleted(bench: Bench) -> None:
    lay_barman_backup(bench)
    start_again(bench)
    assert bench.delete.run(bench.catalog.backups.get("main", BARMAN_ID), actor="", stop=Stop())
    assert not bench.layout.backup(BARMAN_ID).exists()
    assert bench.archived() == []


def test_a_deletion_that_was_under_way_goes_on(bench: Bench, forget: Callable[[], Bench]) -> None:
    backup = bench.done_backup()
    with pytest.raises(Stopped):
        bench.delete.run(backup, actor="tester", stop=Stop(after=0))
    again = forget()
    again.rebuild.run()
    assert again.now(backup).status is Status.DELETING
    again.restart.go_on("main", stop=Stop())
    assert again.catalog.backups.of_server("main") == []
    assert not again.layout.delete_mark(backup.id).exists()


def test_a_damaged_info_is_named_and_the_others_are_adopted(
    bench: Bench, forget: Callable[[], Bench]
) -> None:
    first, damaged, last = (bench.done_backup() for _ in range(3))
    bench.layout.info(damaged.id).write_text("status=NONSENSE\n")
    again = forget()
    with capture_logs() as said:
        start_again(again)
    assert [backup.id for backup in again.catalog.backups.of_server("main")] == [first.id, last.id]
    (line,) = (line for line in said if line["event"] == "backup not adopted")
    assert line["backup_id"] == damaged.id
    assert str(bench.layout.info(damaged.id)) in line["error"]


def test_a_folder_without_an_info_is_no_backup(bench: Bench) -> None:
    bench.layout.data("20250101T000000").mkdir(parents=True)
    (bench.layout.base / "lost+found").mkdir()
    start_again(bench)
    assert bench.catalog.backups.of_server("main") == []


def test_a_server_whose_home_is_not_there_is_left_alone(bench: Bench) -> None:
    shutil.rmtree(bench.layout.home)
    bench.rebuild.run()
    assert not bench.layout.home.exists()


def test_an_empty_home_that_the_administrator_made_is_fine(bench: Bench) -> None:
    shutil.rmtree(bench.layout.home)
    bench.layout.home.mkdir()
    bench.rebuild.run()
    assert list(bench.layout.home.iterdir()) == []


def test_wal_tells_its_own_size_where_no_backup_does(bench: Bench) -> None:
    folder = bench.layout.wal(segment_name(5)).parent
    folder.mkdir()
    for number in (5, 6):
        lay_segment(folder, number)
    start_again(bench)
    assert bench.catalog.wal_runs.segment_size("main") == MB
    assert bench.catalog.wal_runs.of_server("main") == [Run(1, 5, 6)]


def test_packed_wal_tells_its_size_too(bench: Bench) -> None:
    name = segment_name(5)
    bench.layout.wal(name).parent.mkdir()
    bench.layout.wal(name).write_bytes(gzip.compress(wal_segment(5)))
    start_again(bench)
    assert bench.catalog.wal_runs.segment_size("main") == MB


def test_where_nothing_tells_the_size_of_segments_none_is_guessed(bench: Bench) -> None:
    bench.layout.wal(segment_name(5)).parent.mkdir()
    bench.layout.wal(segment_name(5)).write_bytes(b"\x1f\x8bpacked")
    start_again(bench)
    assert bench.catalog.wal_runs.segment_size("main") is None
    bench.stream(6)
    bench.pass_wal()
    assert bench.catalog.wal_runs.segment_size("main") == MB


def test_a_damaged_identity_is_named(bench: Bench) -> None:
    bench.layout.identity.write_text("{")
    with pytest.raises(StorageFailed, match=r"identity\.json is damaged"):
        bench.rebuild.run()


def test_the_copy_of_a_home_is_adopted_under_another_path(
    bench: Bench, tmp_path: Path, new_catalog: Callable[[], Catalog]
) -> None:
    backup = bench.done_backup()
    shutil.copytree(bench.layout.home, tmp_path / "elsewhere")
    moved = bench_over(new_catalog(), tmp_path / "elsewhere", clock=bench.clock)
    start_again(moved)
    assert moved.catalog.backups.of_server("main") == [backup]
    assert backup_info.load(moved.layout, backup.id) == backup
