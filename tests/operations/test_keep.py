"""A backup is kept and released, on disk and in the story; never one that is on its way out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from barmand.catalog.memory import Catalog
from barmand.model.errors import Refused, Stopped, UsageError
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from fakes import Bench, Stop, bench_over

DAY = timedelta(days=1)


def test_kept_with_reason_and_end_and_found_again(bench: Bench) -> None:
    backup = bench.done_backup()
    until = bench.clock() + DAY
    wanted = Kept(target=Keep.FULL, reason="the audit", until=until, actor="uid 0 (root)")
    bench.keep.keep(backup, wanted)
    found = bench.keep.of(backup)
    assert found is not None
    assert replace(found, since=None) == wanted
    (told,) = bench.events("backup kept")
    assert (told.actor, told.facts["reason"]) == ("uid 0 (root)", "the audit")
    assert "expire" in bench.rung


def test_a_lost_catalogue_keeps_it_too(bench: Bench, new_catalog: Callable[[], Catalog]) -> None:
    backup = bench.done_backup()
    bench.keep.keep(backup, Kept(target=Keep.STANDALONE, reason="for ever"))
    again = bench_over(new_catalog(), bench.layout.home, clock=bench.clock, postgres=bench.postgres)
    again.rebuild.run()
    found = again.keep.of(again.now(backup))
    assert found is not None
    assert (found.target, found.reason) == (Keep.STANDALONE, "for ever")


def test_kept_again_the_last_word_counts(bench: Bench) -> None:
    backup = bench.done_backup()
    bench.keep.keep(backup, Kept(target=Keep.FULL, until=bench.clock() + DAY))
    bench.keep.keep(backup, Kept(target=Keep.STANDALONE))
    found = bench.keep.of(backup)
    assert found is not None
    assert (found.target, found.until) == (Keep.STANDALONE, None)


def test_released_it_can_be_deleted_and_leaves_nothing(bench: Bench) -> None:
    backup = bench.done_backup()
    bench.keep.keep(backup, Kept(target=Keep.FULL, reason="x"))
    with pytest.raises(Refused, match="is kept"):
        bench.delete.run(backup, actor="tester", stop=Stop())
    assert bench.keep.release(backup, actor="tester") is not None
    assert bench.keep.of(backup) is None
    assert bench.keep.release(backup, actor="tester") is None
    assert len(bench.events("backup released")) == 1
    bench.delete.run(backup, actor="tester", stop=Stop())
    assert not [path for path in bench.layout.meta.iterdir() if path.name.startswith(backup.id)]


def test_only_what_is_done_can_be_kept(bench: Bench) -> None:
    for backup, status in (
        (bench.failed_backup(), "FAILED"),
        (bench.copied_backup(), "WAITING_FOR_WALS"),
    ):
        with pytest.raises(Refused, match=f"is {status}: only"):
            bench.keep.keep(backup, Kept(target=Keep.FULL))
        assert bench.keep.of(backup) is None


def test_an_incremental_one_cannot_be_kept(bench: Bench) -> None:
    root = bench.done_backup()
    child = replace(bench.done_backup(), id="20990601T130000", parent_id=root.id)
    bench.catalog.backups.adopt(child, bench.clock())
    with pytest.raises(Refused, match="is incremental") as refused:
        bench.keep.keep(child, Kept(target=Keep.FULL))
    assert root.id in str(refused.value.hint)


def test_what_is_being_deleted_is_not_kept(bench: Bench) -> None:
    backup = bench.done_backup()
    with pytest.raises(Stopped):
        bench.delete.run(backup, actor="tester", stop=Stop(after=0))
    with pytest.raises(Refused, match="is DELETING"):
        bench.keep.keep(backup, Kept(target=Keep.FULL))


def test_an_end_in_the_past_is_refused(bench: Bench) -> None:
    backup = bench.done_backup()
    with pytest.raises(UsageError, match="in the past"):
        bench.keep.keep(backup, Kept(target=Keep.FULL, until=bench.clock()))
    assert bench.keep.of(backup) is None


def test_an_end_that_was_put_off_meanwhile_counts(bench: Bench) -> None:
    backup = bench.done_backup()
    bench.keep.keep(backup, Kept(target=Keep.FULL, until=bench.clock() + DAY))
    bench.clock.moment += 2 * DAY
    assert bench.keep.ended() == [backup]
    bench.keep.keep(backup, Kept(target=Keep.FULL, until=bench.clock() + DAY))
    bench.keep._release_if_ended(backup)
    assert bench.keep.of(backup) is not None
    assert bench.events("backup released") == []
