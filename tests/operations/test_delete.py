"""One backup goes, with the WAL that only it needed; an interruption is gone on with."""

import os
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

import pytest

from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Status
from barmand.model.errors import NotFound, Refused, Stopped
from barmand.model.wal import Run, Segment
from barmand.storage import backup_info
from fakes import MB, Bench, Stop, bench_over, segment_name, start_again


def delete(bench: Bench, backup: Backup, stop: Stop | None = None) -> int:
    return bench.delete.run(backup, actor="tester", stop=stop or Stop())


def assert_gone(bench: Bench, backup: Backup) -> None:
    with pytest.raises(NotFound):
        bench.now(backup)
    assert not bench.layout.backup(backup.id).exists()
    assert not [path for path in bench.layout.meta.iterdir() if path.name.startswith(backup.id)]


def assert_whole(bench: Bench, backup: Backup) -> None:
    assert bench.now(backup) == backup == backup_info.load(bench.layout, backup.id)
    assert (bench.layout.data(backup.id) / "global/pg_control").is_file()
    assert bench.archive.missing(backup) == []
    assert all(bench.wals.holds(segment_name(number)) for number in bench.needs(backup))


# ----------------------------------------------------------------------------------------- refusals


def test_an_active_backup_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="is QUEUED"):
        delete(bench, bench.queue())


def test_a_backup_with_barmans_keep_mark_is_refused(bench: Bench) -> None:
    backup = bench.done_backup()
    mark = bench.layout.keep_mark(backup.id)
    mark.write_text("full")
    with pytest.raises(Refused, match=r"is kept \(full\)") as refused:
        delete(bench, backup)
    assert refused.value.hint is not None
    assert f"barmanctl keep main {backup.id} --release" in refused.value.hint
    assert str(mark) in refused.value.hint
    assert str(bench.layout.old_keep_mark(backup.id)) not in refused.value.hint
    assert_whole(bench, backup)


def test_the_parent_of_another_backup_is_refused(bench: Bench) -> None:
    parent = bench.done_backup()
    child = replace(bench.done_backup(), id="20250601T130000", parent_id=parent.id)
    bench.catalog.backups.adopt(child, bench.clock())
    with pytest.raises(Refused, match=f"parent of {child.id}"):
        delete(bench, parent)


def test_redundancy_is_kept(bench: Bench) -> None:
    careful = bench_over(
        bench.catalog,
        bench.layout.home,
        clock=bench.clock,
        postgres=bench.postgres,
        minimum_redundancy=2,
    )
    first, second, third = (careful.done_backup() for _ in range(3))
    delete(careful, first)
    with pytest.raises(Refused, match="without it 1 would be DONE, and minimum_redundancy is 2"):
        delete(careful, second)
    assert_whole(careful, second)
    assert_whole(careful, third)


def test_redundancy_does_not_protect_what_failed(bench: Bench) -> None:
    careful = bench_over(bench.catalog, bench.layout.home, clock=bench.clock, minimum_redundancy=9)
    failed = careful.failed_backup()
    delete(careful, failed)
    assert_gone(careful, failed)


def test_a_backup_that_a_restore_reads_is_refused(bench: Bench) -> None:
    backup = bench.done_backup()
    with (
        bench.catalog.holds.held(backup, holder="restore to /srv/new", now=bench.clock()),
        pytest.raises(Refused, match="restore to /srv/new"),
    ):
        delete(bench, backup)
    assert_whole(bench, backup)
    delete(bench, backup)
    assert_gone(bench, backup)


def test_a_deletion_that_could_not_go_on_is_taken_up_again(bench: Bench) -> None:
    backup = bench.done_backup()
    with pytest.raises(Stopped):
        delete(bench, backup, Stop(after=0))
    delete(bench, backup)
    assert_gone(bench, backup)
    assert len(bench.events("backup DELETING")) == 1


def test_what_is_gone_is_not_found(bench: Bench) -> None:
    backup = bench.done_backup()
    delete(bench, backup)
    with pytest.raises(NotFound):
        delete(bench, backup)


# ---------------------------------------------------------------------------------------------- WAL


def test_the_wal_that_only_it_needed_goes_with_it(bench: Bench) -> None:
    old, young = bench.done_backup(), bench.done_backup()
    assert (bench.needs(old), bench.needs(young)) == ([3], [4])
    assert delete(bench, old) == 1
    assert_gone(bench, old)
    assert_whole(bench, young)
    assert bench.archived() == [segment_name(4)]
    assert list(bench.catalog.wal_runs.of_server("main")) == [Run(1, 4, 4)]
    (event,) = bench.events("backup deleted")
    assert event.facts == {"removed_wals": 1}


def test_wal_between_two_backups_goes_with_the_older_one(bench: Bench) -> None:
    old = bench.done_backup()
    bench.stream(4, 5)
    bench.postgres.lsn = 6 * MB
    young = bench.done_backup()
    assert delete(bench, old) == 3
    assert bench.archived() == [segment_name(number) for number in bench.needs(young)]


def test_wal_behind_the_last_backup_stays(bench: Bench) -> None:
    backup = bench.done_backup()
    bench.stream(4, 5)
    bench.pass_wal()
    assert delete(bench, backup) == 1
    assert bench.archived() == [segment_name(4), segment_name(5)]


def test_a_younger_backup_takes_no_wal_that_an_older_one_replays(bench: Bench) -> None:
    old, young = bench.done_backup(), bench.done_backup()
    assert delete(bench, young) == 0
    assert_whole(bench, old)
    assert bench.archived() == [segment_name(3), segment_name(4)]


def test_wal_of_a_waiting_backup_stays(bench: Bench) -> None:
    old = bench.done_backup()
    waiting = bench.copied_backup()
    bench.stream(*bench.needs(waiting), 9)
    bench.archive.run(lambda: False)
    assert delete(bench, old) == 1
    assert_whole(bench, bench.now(waiting))


def test_a_failed_backup_takes_no_wal_with_it(bench: Bench) -> None:
    bench.stream(1, 2)
    bench.pass_wal()
    assert delete(bench, bench.failed_backup()) == 0
    assert bench.archived() == [segment_name(1), segment_name(2)]


def test_of_a_directory_with_4096_segments_only_what_may_go_goes(bench: Bench) -> None:
    def fill(first: int, last: int) -> None:
        folder = bench.layout.wal(segment_name(first)).parent
        folder.mkdir(exist_ok=True)
        for number in range(first, last + 1):
            (folder / segment_name(number)).touch()
            os.truncate(folder / segment_name(number), MB)
        held = [(Run(1, first, last), 0)]
        bench.catalog.wal_runs.adopt("main", held, segment_size=MB, now=bench.clock())

    fill(10, 0xFFF)
    bench.postgres.lsn = 10 * MB + 0x28
    old = bench.copied_backup()
    bench.postgres.lsn = 2048 * MB + 0x28
    young = bench.copied_backup()
    bench.archive.settle()
    assert bench.now(old).status is bench.now(young).status is Status.DONE
    assert delete(bench, old) == 2048 - 10
    left = [segment_name(number) for number in range(2048, 0x1000)]
    assert bench.archived() == left
    assert Segment.parse(left[0], MB).number == 2048
    assert_whole(bench, bench.now(young))


def test_an_emptied_directory_of_wal_goes_too(bench: Bench) -> None:
    backup = bench.done_backup()
    folder = bench.layout.wal(segment_name(3)).parent
    delete(bench, backup)
    assert not folder.exists()


# ------------------------------------------------------------------------------------- interruption


def interrupted(bench: Bench, after: int) -> tuple[Backup, Backup]:
    """Two backups; the deletion of the older one was stopped at a question."""
    old, young = bench.done_backup(), bench.done_backup()
    with pytest.raises(Stopped):
        delete(bench, old, Stop(after=after))
    return old, young


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_an_interrupted_deletion_ends_after_a_restart(bench: Bench, after: int) -> None:
    old, young = interrupted(bench, after)
    assert bench.now(old).status is Status.DELETING
    start_again(bench)
    assert_gone(bench, old)
    assert_whole(bench, young)
    assert bench.archived() == [segment_name(4)]


def test_the_mark_tells_a_lost_catalogue_that_the_deletion_goes_on(
    bench: Bench, new_catalog: Callable[[], Catalog]
) -> None:
    old, young = interrupted(bench, 2)
    again = bench_over(new_catalog(), bench.layout.home, clock=bench.clock, postgres=bench.postgres)
    start_again(again)
    assert_gone(again, old)
    assert_whole(again, young)
    assert again.archived() == [segment_name(4)]


def test_going_on_after_every_step_is_done_is_fine(bench: Bench) -> None:
    old, young = bench.done_backup(), bench.done_backup()
    delete(bench, old)
    bench.delete.go_on(old, stop=Stop())
    assert_gone(bench, old)
    assert_whole(bench, young)


def test_the_refusals_are_judged_under_the_servers_guard(bench: Bench) -> None:
    guard = bench.delete.guard
    assert guard is bench.archive.guard
    assert isinstance(guard, type(Lock()))
