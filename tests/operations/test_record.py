"""A change of status: on disk and in the catalogue, in an order that survives either half."""

import os
from collections.abc import Iterator

import pytest

from barmand.catalog.backups import MovedByAnother
from barmand.model.backup import Backup, Reason, Status
from barmand.model.errors import StorageFailed
from barmand.storage import backup_info
from fakes import Bench

REASON = Reason("ToolFailed", "it failed", "look there")

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def started(bench: Bench) -> Backup:
    queued = bench.queue()
    return bench.record.move(queued, queued.begun(bench.clock(), bench.postgres.facts()))


@pytest.fixture
def locked_meta(bench: Bench) -> Iterator[None]:
    bench.layout.meta.chmod(0o500)
    yield
    bench.layout.meta.chmod(0o700)


def test_file_and_row_tell_the_same(bench: Bench, started: Backup) -> None:
    assert bench.now(started) == started
    failed = bench.record.fail(started, REASON)
    assert bench.now(failed) == failed == backup_info.load(bench.layout, failed.id)


def test_a_move_tells_who_and_why(bench: Bench) -> None:
    queued = bench.queue()
    begun = queued.begun(bench.clock(), bench.postgres.facts())
    bench.record.move(queued, begun, actor="uid 1000", facts={"because": "of a test"})
    (event,) = bench.events("backup STARTED")
    assert (event.actor, event.facts) == ("uid 1000", {"because": "of a test"})


@as_user
@pytest.mark.usefixtures("locked_meta")
def test_a_move_that_the_disk_refuses_leaves_the_row(bench: Bench) -> None:
    queued = bench.queue()
    with pytest.raises(StorageFailed):
        bench.record.move(queued, queued.begun(bench.clock(), bench.postgres.facts()))
    assert bench.now(queued).status is Status.QUEUED


@as_user
def test_a_failure_frees_the_server_even_when_the_disk_takes_nothing(
    bench: Bench, started: Backup
) -> None:
    bench.layout.meta.chmod(0o500)
    try:
        failed = bench.record.fail(started, REASON)
    finally:
        bench.layout.meta.chmod(0o700)
    assert bench.now(started).status is Status.FAILED
    assert failed.reason == REASON
    on_disk = backup_info.load(bench.layout, started.id)
    assert on_disk is not None
    assert on_disk.status is Status.FAILED
    assert bench.queue().status is Status.QUEUED


def test_a_backup_that_never_began_leaves_no_file(bench: Bench) -> None:
    failed = bench.record.fail(bench.queue(), REASON)
    assert bench.now(failed) == failed
    assert list(bench.layout.meta.iterdir()) == []


def test_a_backup_that_somebody_else_moved_is_a_bug(bench: Bench, started: Backup) -> None:
    bench.record.fail(started, REASON)
    with pytest.raises(MovedByAnother):
        bench.record.fail(started, REASON)


def test_a_backup_that_somebody_else_ended_keeps_its_own_reason(
    bench: Bench, started: Backup
) -> None:
    bench.record.fail(started, REASON)
    with pytest.raises(MovedByAnother):
        bench.record.fail(started, Reason("Bug", "another"))
    assert bench.now(started).reason == REASON
