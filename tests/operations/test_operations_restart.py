"""What each unfinished backup becomes after a restart."""

from dataclasses import replace

import pytest

from barmand.model.backup import Backup, Status
from barmand.model.errors import Stopped
from barmand.storage import backup_info
from fakes import Bench, Stop, lay_segment, segment_name, start_again


def started(bench: Bench) -> Backup:
    queued = bench.queue()
    return bench.record.move(queued, queued.begun(bench.clock(), bench.postgres.facts()))


@pytest.mark.parametrize("begin", [Bench.queue, started], ids=["QUEUED", "STARTED"])
def test_an_active_backup_was_interrupted(bench: Bench, begin: object) -> None:
    backup = begin(bench)  # type: ignore[operator] # one of the two above
    start_again(bench)
    failed = bench.now(backup)
    assert failed.status is Status.FAILED
    assert failed.reason is not None
    assert failed.reason.code == "Stopped"
    assert failed.reason.message.startswith("interrupted")
    assert bench.queue().status is Status.QUEUED


def test_it_is_written_beside_the_backup_too(bench: Bench) -> None:
    backup = started(bench)
    start_again(bench)
    assert backup_info.load(bench.layout, backup.id) == bench.now(backup)


def test_backups_of_another_server_are_none_of_its_business(bench: Bench) -> None:
    other = bench.catalog.backups.queue(
        "other", method="postgres", name=None, requester="", now=bench.clock()
    )
    start_again(bench)
    assert bench.catalog.backups.get("other", other.id) == other


def test_what_has_ended_stays_as_it_is(bench: Bench) -> None:
    backups = [bench.done_backup(), bench.failed_backup(), bench.copied_backup()]
    start_again(bench)
    assert [bench.now(backup) for backup in backups] == backups


def test_wal_that_came_meanwhile_makes_a_waiting_backup_done(bench: Bench) -> None:
    backup = bench.copied_backup()
    bench.stream(*bench.needs(backup))
    start_again(bench)
    assert bench.now(backup).status is Status.DONE


def test_a_segment_that_was_archived_without_a_row_makes_it_done_too(bench: Bench) -> None:
    backup = bench.copied_backup()
    (number,) = bench.needs(backup)
    bench.layout.wal(segment_name(number)).parent.mkdir()
    lay_segment(bench.layout.wal(segment_name(number)).parent, number)
    start_again(bench)
    assert bench.now(backup).status is Status.DONE


def test_a_stop_ends_a_deletion_that_goes_on(bench: Bench) -> None:
    backup = bench.done_backup()
    with pytest.raises(Stopped):
        bench.delete.run(backup, actor="tester", stop=Stop(after=0))
    stopped = replace(bench.restart, alone=lambda _backup, deletion: deletion(Stop(after=0)))
    with pytest.raises(Stopped):
        stopped.go_on("main", stop=Stop())
    bench.restart.go_on("main", stop=Stop(after=0))  # the daemon ends: nothing is begun
    assert bench.now(backup).status is Status.DELETING
    start_again(bench)
    assert bench.catalog.backups.of_server("main") == []


def test_an_interrupted_copy_can_be_deleted(bench: Bench) -> None:
    backup = started(bench)
    bench.layout.data(backup.id).mkdir(parents=True)
    start_again(bench)
    bench.delete.run(bench.now(backup), actor="tester", stop=Stop())
    assert not bench.layout.backup(backup.id).exists()
