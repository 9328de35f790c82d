"""Retention is carried out: one after another, judged again before each; and what stops it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Status
from barmand.model.clock_watch import PROBATION
from barmand.model.errors import NotFound, Refused, StorageFailed
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.model.retention_policy import RecoveryWindow, Redundancy
from barmand.model.verdict import Rules, Word
from fakes import MB, Bench, Stop, bench_over, segment_name

YEAR = timedelta(days=365)
DAY = timedelta(days=1)
TWO = Rules(policy=Redundancy(2))
WEEK = Rules(policy=RecoveryWindow(7, "DAYS"))


def ruled(bench: Bench, rules: Rules) -> Bench:
    return bench_over(
        bench.catalog, bench.layout.home, clock=bench.clock, postgres=bench.postgres, rules=rules
    )


@pytest.fixture
def two(bench: Bench) -> Bench:
    return ruled(bench, TWO)


@pytest.fixture
def week(bench: Bench) -> Bench:
    return ruled(bench, WEEK)


def ids(bench: Bench) -> list[str]:
    return [backup.id for backup in bench.catalog.backups.of_server("main")]


def days_pass(bench: Bench, days: int) -> None:
    """As the daemon lives through them, with a pass each day."""
    for _ in range(days):
        bench.clock.moment += DAY
        bench.pass_retention()


def three(bench: Bench) -> tuple[Backup, Backup, Backup]:
    return bench.done_backup(), bench.done_backup(), bench.done_backup()


def test_the_oldest_goes_with_its_wal_and_the_story_is_told(two: Bench) -> None:
    first, second, third = three(two)
    assert two.pass_retention() == 1
    assert ids(two) == [second.id, third.id]
    assert not two.layout.backup(first.id).exists()
    assert two.archived() == [segment_name(4), segment_name(5)]
    (told,) = two.events("backup expired")
    assert (told.backup_id, told.actor) == (first.id, "retention")
    assert told.facts["why"] == f"2 newer are DONE: {third.id}, {second.id}"
    assert [event.actor for event in two.events("backup DELETING")] == ["retention"]
    assert two.pass_retention() == 0


def test_without_a_policy_nothing_goes(bench: Bench) -> None:
    three(bench)
    assert bench.pass_retention() == 0


def test_what_is_outside_the_window_goes_once_another_covers_it(week: Bench) -> None:
    first = week.done_backup()
    days_pass(week, 5)
    second = week.done_backup()
    days_pass(week, 6)
    assert ids(week) == [first.id, second.id]
    days_pass(week, 2)
    assert ids(week) == [second.id]


# ------------------------------------------------------------------------------------ what wins


def test_a_running_restore_wins_and_the_backup_goes_afterwards(two: Bench) -> None:
    first, *_ = three(two)
    with two.catalog.holds.held(first, holder="restore to /srv", now=two.clock()):
        assert two.pass_retention() == 0
        verdict = two.expire.judging.verdicts()[0]
        assert (verdict.word, verdict.goes) == (Word.OBSOLETE, False)
        assert "is in use" in verdict.why
    assert two.pass_retention() == 1


def late(bench: Bench, deed: Callable[[], None]) -> Bench:
    """The same, but `deed` comes when all is judged and the deletion is about to begin."""

    class Delete:
        def run(self, backup: Backup, **words: object) -> int:
            deed()
            return bench.delete.run(backup, **words)  # type: ignore[arg-type] # as they came

    return replace(bench, expire=replace(bench.expire, delete=Delete()))  # type: ignore[arg-type] # its shape


def test_a_restore_that_begins_at_the_last_moment_wins(two: Bench) -> None:
    first, *_ = three(two)
    with two.catalog.holds.held(first, holder="restore to /srv", now=two.clock()) as held:
        del held
        bench = late(two, lambda: None)
        # Judged free, and held when the deletion asks: as if the restore began in between.
        judging = replace(bench.expire.judging, holds=_Blind(two.catalog))
        bench = replace(bench, expire=replace(bench.expire, judging=judging))
        assert bench.pass_retention() == 0
    (told,) = two.events("backup not expired")
    assert "restore to /srv" in str(told.facts["why"])
    assert two.now(first) == first


class _Blind:
    """Sees no hold."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def of_server(self, server: str) -> set[str]:
        del server
        return set()


def test_a_keep_at_the_last_moment_wins(two: Bench) -> None:
    first, *_ = three(two)
    bench = late(two, lambda: void(two.keep.keep(first, Kept(target=Keep.FULL))))
    assert bench.pass_retention() == 0
    assert two.now(first) == first
    (told,) = two.events("backup not expired")
    assert "is kept" in str(told.facts["why"])
    two.keep.release(first, actor="tester")
    assert two.pass_retention() == 1


def void(_value: object) -> None:
    pass


def test_a_deletion_by_name_at_the_last_moment_leaves_redundancy(two: Bench) -> None:
    first, second, third = three(two)
    bench = late(two, lambda: void(two.delete.run(third, actor="tester", stop=Stop())))
    assert bench.pass_retention() == 0
    assert ids(two) == [first.id, second.id]


def test_who_was_quicker_is_fine(two: Bench) -> None:
    first, *_ = three(two)
    bench = late(two, lambda: void(two.delete.run(first, actor="tester", stop=Stop())))
    assert bench.pass_retention() == 0
    assert two.events("backup not expired") == []


def test_what_cannot_go_is_told_once_and_does_not_stop_the_rest(two: Bench) -> None:
    """A veto, a disk that refuses one folder."""
    first = two.done_backup()
    second, third, fourth = three(two)

    class Vetoing:
        def run(self, backup: Backup, **words: object) -> int:
            if backup.id == first.id:
                raise Refused("a hook said no")
            return two.delete.run(backup, **words)  # type: ignore[arg-type] # as they came

    bench = replace(two, expire=replace(two.expire, delete=Vetoing()))  # type: ignore[arg-type] # its shape
    assert bench.pass_retention() == 1
    assert ids(two) == [first.id, third.id, fourth.id]
    assert bench.pass_retention() == 0
    (told,) = two.events("backup not expired")
    assert (told.backup_id, told.facts["why"]) == (first.id, "a hook said no")
    with pytest.raises(NotFound):
        two.now(second)


def test_a_hook_that_forbids_it_is_heeded_and_does_not_stop_the_rest(bench: Bench) -> None:
    hooked = bench_over(
        bench.catalog,
        bench.layout.home,
        clock=bench.clock,
        postgres=bench.postgres,
        rules=TWO,
        hooks=["pre_delete_retry_script"],
    )
    first = hooked.done_backup()
    second, third, fourth = three(hooked)
    hooked.scripts.codes["pre_delete_retry_script"] = [63, 0]
    assert hooked.pass_retention() == 1
    assert ids(hooked) == [first.id, third.id, fourth.id]
    assert not hooked.layout.delete_mark(first.id).exists()
    (told,) = hooked.events("backup not expired")
    assert (told.backup_id, "forbids the delete" in str(told.facts["why"])) == (first.id, True)
    assert second.id not in ids(hooked)


def test_a_keep_while_the_hook_runs_wins(bench: Bench) -> None:
    hooked = bench_over(
        bench.catalog,
        bench.layout.home,
        clock=bench.clock,
        postgres=bench.postgres,
        rules=TWO,
        hooks=["pre_delete_script"],
    )
    first, *_ = three(hooked)

    def keep() -> int:
        hooked.keep.keep(first, Kept(target=Keep.FULL))
        return 0

    hooked.scripts.codes["pre_delete_script"] = [keep]
    assert hooked.pass_retention() == 0
    assert hooked.now(first) == first


def test_a_stop_ends_it_between_two_and_within_one(two: Bench) -> None:
    first = two.done_backup()
    second, third, fourth = three(two)
    assert two.pass_retention(Stop(after=0)) == 0
    assert ids(two) == [each.id for each in (first, second, third, fourth)]
    two.pass_retention(Stop(after=2))
    assert two.now(first).status is Status.DELETING
    assert two.now(second).status is Status.DONE
    assert two.events("backup not expired") == []


def test_a_deletion_that_the_disk_refused_is_taken_up_by_the_next_pass(two: Bench) -> None:
    first, *_ = three(two)
    # A folder in the place of a file of ours: not to be unlinked.
    two.layout.card(first.id).unlink()
    two.layout.card(first.id).mkdir()
    assert two.pass_retention() == 0
    assert two.now(first).status is Status.DELETING
    (told,) = two.events("backup not expired")
    assert told.facts["code"] == "StorageFailed"
    two.pass_retention()
    assert len(two.events("backup not expired")) == 1
    two.layout.card(first.id).rmdir()
    two.pass_retention()
    assert first.id not in ids(two)


def test_a_deletion_that_somebody_is_at_is_left_to_him(two: Bench) -> None:
    first, *_ = three(two)
    two.pass_retention(Stop(after=2))
    assert two.now(first).status is Status.DELETING

    def busy(_backup: Backup, _deletion: Callable[[Stop], int]) -> int:
        raise Refused("a delete of it is under way")

    bench = replace(two, expire=replace(two.expire, alone=busy))
    bench.pass_retention()
    assert two.now(first).status is Status.DELETING
    assert two.events("backup not expired") == []
    replace(two.restart, alone=busy).go_on("main", stop=Stop())
    assert two.now(first).status is Status.DELETING
    two.pass_retention()
    assert first.id not in ids(two)


def test_settings_that_were_read_again_end_the_pass(two: Bench) -> None:
    three(two)
    assert two.expire.run(stop=Stop(), is_current=lambda: False) == 0
    answers = iter([True, False])
    assert two.expire.run(stop=Stop(), is_current=lambda: next(answers)) == 0
    assert len(ids(two)) == 3


# --------------------------------------------------------------------------------------- the clock


def test_a_clock_a_year_ahead_deletes_nothing_and_is_an_alarm(week: Bench) -> None:
    week.pass_retention()
    week.done_backup()
    days_pass(week, 3)
    week.done_backup()
    before = ids(week)
    week.clock.jump(YEAR)
    for _ in range(3):
        assert week.pass_retention() == 0
    assert ids(week) == before
    (told,) = week.events("retention stands still")
    assert "the clock went ahead by 365 days" in str(told.facts["why"])
    assert "barmanctl trust-clock" in str(told.facts["why"])
    week.clock.jump(-YEAR)
    week.pass_retention()
    assert [event.facts["why"] for event in week.events("retention stands still")][1:] == [None]


def test_by_redundancy_nothing_goes_either_while_the_clock_is_doubted(two: Bench) -> None:
    three(two)
    two.expire.judging.hindrance(remembers=True)
    two.clock.jump(YEAR)
    assert two.pass_retention() == 0
    two.catalog.clock_watches.believe(two.clock.reading())
    assert two.pass_retention() == 1


def test_a_jump_is_noticed_over_a_restart_of_the_daemon(week: Bench) -> None:
    first = week.done_backup()
    week.pass_retention()
    week.clock.jump(YEAR)
    again = ruled(week, WEEK)
    second = again.done_backup()
    assert again.pass_retention() == 0
    assert ids(again) == [first.id, second.id]


def test_a_clock_set_back_deletes_nothing(week: Bench) -> None:
    first = week.done_backup()
    days_pass(week, 5)
    second = week.done_backup()
    week.clock.jump(-3 * DAY)
    assert week.pass_retention() == 0
    hindrance = week.expire.judging.hindrance(remembers=False)
    assert f"backup {second.id} ended at" in str(hindrance)
    assert ids(week) == [first.id, second.id]


def test_a_doubt_that_nobody_minds_ends_by_itself(week: Bench) -> None:
    first = week.done_backup()
    week.pass_retention()
    week.clock.jump(YEAR)
    second = week.done_backup()
    week.pass_retention()
    week.clock.moment += PROBATION / 2
    assert week.pass_retention() == 0
    week.clock.moment += 8 * DAY
    assert week.pass_retention() == 1
    assert ids(week) == [second.id]
    assert first.id not in ids(week)


def test_a_clock_ahead_of_postgres_is_not_believed(two: Bench) -> None:
    first, *_ = three(two)
    two.postgres.clock = lambda: two.clock() - 2 * DAY
    assert two.pass_retention() == 0
    assert two.pass_retention() == 0
    (told,) = two.events("retention stands still")
    assert "PostgreSQL's" in str(told.facts["why"])
    two.postgres.clock = two.clock
    assert two.pass_retention() == 1
    assert first.id not in ids(two)


def test_postgres_is_asked_only_when_something_would_go(two: Bench) -> None:
    two.done_backup()

    def never() -> None:
        pytest.fail("nothing goes")

    two.postgres.clock = never  # type: ignore[assignment] # it never answers
    assert two.pass_retention() == 0


def test_on_a_bare_mount_point_nothing_goes(two: Bench) -> None:
    three(two)
    two.catalog.servers.know("main", now=two.clock(), system_id="7")
    two.layout.identity.unlink(missing_ok=True)
    assert two.pass_retention() == 0
    (told,) = two.events("retention stands still")
    assert "is its file system mounted?" in str(told.facts["why"])


# ------------------------------------------------------------------------------- keeps and failures


def test_a_keep_ends_on_its_date_and_the_backup_goes(two: Bench) -> None:
    first, *_ = three(two)
    two.keep.keep(first, Kept(target=Keep.FULL, until=two.clock() + DAY, reason="the audit"))
    assert two.pass_retention() == 0
    two.clock.moment += DAY
    assert two.pass_retention() == 1
    (told,) = two.events("backup released")
    assert (told.actor, told.facts["reason"]) == ("retention", "the audit")


def test_no_keep_ends_by_a_clock_that_is_doubted(two: Bench) -> None:
    first, *_ = three(two)
    two.keep.keep(first, Kept(target=Keep.FULL, until=two.clock() + DAY))
    two.pass_retention()
    two.clock.jump(YEAR)
    assert two.pass_retention() == 0
    assert two.keep.of(first) is not None


def test_a_standalone_keep_leaves_its_own_wal_and_what_others_need(two: Bench) -> None:
    first = two.done_backup()
    two.stream(4, 5)
    two.pass_wal()
    two.postgres.lsn = 6 * MB
    second, third, fourth = three(two)
    two.keep.keep(first, Kept(target=Keep.STANDALONE))
    assert two.pass_retention() == 1
    two.prune.run(stop=Stop())
    assert ids(two) == [first.id, third.id, fourth.id]
    left = [*two.needs(first), *two.needs(third), *two.needs(fourth)]
    assert two.archived() == [segment_name(number) for number in left]
    assert second.id not in ids(two)


def test_a_failure_goes_after_its_time_row_and_files(bench: Bench) -> None:
    bench = ruled(bench, Rules(failed_age=10 * DAY))
    failed = bench.failed_backup()
    bench.layout.data(failed.id).mkdir(parents=True)
    (bench.layout.data(failed.id) / "half").write_bytes(b"x" * 100)
    days_pass(bench, 9)
    bench.done_backup()
    assert bench.pass_retention() == 0
    days_pass(bench, 2)
    with pytest.raises(NotFound):
        bench.now(failed)
    assert not bench.layout.backup(failed.id).exists()


# ---------------------------------------------------------------------------------------- forecast


def test_the_forecast_is_what_then_happens(two: Bench) -> None:
    first, second, third = three(two)
    verdicts = two.expire.judging.verdicts()
    freed = two.forecast.run(verdicts, stop=Stop())
    size = sum(
        path.stat().st_size for path in two.layout.backup(first.id).rglob("*") if path.is_file()
    )
    assert freed.backup_ids == (first.id,)
    assert freed.backup_bytes == size
    assert (freed.wal_segments, freed.wal_bytes) == (1, MB)
    before = two.archived()
    two.pass_retention()
    assert len(before) - len(two.archived()) == freed.wal_segments
    assert ids(two) == [second.id, third.id]
    nothing = two.forecast.run(two.expire.judging.verdicts(), stop=Stop())
    assert nothing.backup_ids == ()
    assert (nothing.backup_bytes, nothing.wal_segments) == (0, 0)


def test_what_another_backup_links_to_is_not_freed(two: Bench) -> None:
    first = two.done_backup()
    second, *_ = three(two)
    for name in ("shared by those that go", "shared with one that stays"):
        (two.layout.data(first.id) / name).write_bytes(b"x" * 1000)
        (two.layout.data(second.id) / name).hardlink_to(two.layout.data(first.id) / name)
    stays = two.layout.data(two.catalog.backups.of_server("main")[2].id) / "linked"
    stays.hardlink_to(two.layout.data(first.id) / "shared with one that stays")
    linked = two.forecast.run(two.expire.judging.verdicts(), stop=Stop())
    stays.unlink()
    alone = two.forecast.run(two.expire.judging.verdicts(), stop=Stop())
    assert linked.backup_ids == alone.backup_ids == (first.id, second.id)
    assert alone.backup_bytes - linked.backup_bytes == 1000


def test_a_mark_that_cannot_be_read_stops_the_pass(two: Bench, tmp_path: Path) -> None:
    first, *_ = three(two)
    two.layout.keep_mark(first.id).mkdir()
    with pytest.raises(StorageFailed):
        two.pass_retention()
    assert len(ids(two)) == 3
    shutil.rmtree(two.layout.keep_mark(first.id))
    del tmp_path
