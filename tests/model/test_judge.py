"""Which backups stay and which go: over random catalogues, and case by case."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from barmand.model.backup import ACTIVE, Backup, Cluster, Copied, Damage, Status
from barmand.model.judge import in_order, judge
from barmand.model.keeping import Kept
from barmand.model.retention import Keep, Policy, needed
from barmand.model.retention_policy import RecoveryWindow, Redundancy, RetentionPolicy
from barmand.model.verdict import Known, Rules, Verdict, Word
from barmand.model.wal import Segment

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MB = 1024 * 1024
thorough = settings(max_examples=150, deadline=None)


def made(
    number: int,
    *,
    days: float = 0,
    status: Status = Status.DONE,
    first: int | None = None,
    timeline: int = 1,
    system_id: str = "7",
    parent: str | None = None,
    is_damaged: bool = False,
) -> Backup:
    """The `number`th of its server; it ended so many `days` ago."""
    end = NOW - days * DAY
    begin = (number * 10 if first is None else first) * MB
    copied = Copied(
        timeline=timeline,
        begin_lsn=begin + 0x28,
        begin_time=end,
        end_lsn=begin + 2 * MB,
        end_time=end,
        backup_label="",
        size=1,
        deduplicated_size=1,
        copy_seconds=1.0,
        damages=(Damage("base/1/2", (3,)),) if is_damaged else (),
    )
    is_copied = status not in ACTIVE | {Status.FAILED}
    return Backup(
        server="main",
        id=f"20260101T{number:06}",
        status=status,
        method="postgres",
        queued_at=end,
        ended_at=end,
        cluster=Cluster(system_id=system_id, version=150018, segment_size=MB, pgdata="/pg"),
        copied=copied if is_copied else None,
        parent_id=parent,
    )


def words(verdicts: Sequence[Verdict]) -> list[str]:
    return [each.word.value for each in verdicts]


def judged(
    backups: Sequence[Backup],
    policy: RetentionPolicy | None,
    *,
    least: int = 0,
    keeps: Mapping[str, Kept] | None = None,
    held: frozenset[str] = frozenset(),
    lacking: frozenset[str] = frozenset(),
    failed_age: timedelta | None = 30 * DAY,
    now: datetime = NOW,
) -> tuple[Verdict, ...]:
    rules = Rules(policy=policy, minimum_redundancy=least, failed_age=failed_age)
    return judge(backups, rules, Known(keeps=keeps or {}, held=held, lacking=lacking), now)


def going(verdicts: Sequence[Verdict]) -> set[str]:
    return {each.backup.id for each in verdicts if each.goes}


# ------------------------------------------------------------------------------- random catalogues


@dataclass(frozen=True)
class World:
    backups: Sequence[Backup]
    rules: Rules
    known: Known

    def judged(self, now: datetime = NOW) -> tuple[Verdict, ...]:
        return judge(self.backups, self.rules, self.known, now)

    def going(self, now: datetime = NOW) -> set[str]:
        return going(self.judged(now))

    def without(self, gone: set[str]) -> "World":
        return replace(self, backups=[each for each in self.backups if each.id not in gone])

    def done(self) -> list[Backup]:
        return [each for each in self.backups if each.status is Status.DONE]

    def counting(self) -> list[Backup]:
        return [each for each in self.done() if each.parent_id is None]


policies = st.one_of(
    st.builds(Redundancy, st.integers(1, 4)),
    st.builds(RecoveryWindow, st.integers(1, 3), st.sampled_from(["DAYS", "WEEKS"])),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Timelines and clusters in any order, times that contradict ids, chains, marks, damage."""
    backups: list[Backup] = []
    for number in range(1, draw(st.integers(1, 9)) + 1):
        status = draw(st.sampled_from([Status.DONE] * 5 + list(Status)))
        roots = [each.id for each in backups if each.status is Status.DONE]
        is_child = status in (Status.DONE, Status.FAILED, Status.WAITING_FOR_WALS) and roots
        backup = made(
            number,
            days=draw(st.integers(-2, 30)),
            status=status,
            first=draw(st.integers(0, 200)),
            timeline=draw(st.integers(1, 3)),
            system_id=draw(st.sampled_from("78")),
            parent=draw(st.sampled_from(roots)) if is_child and draw(st.booleans()) else None,
            is_damaged=draw(st.integers(0, 5)) == 0,
        )
        backups.append(backup)
    ids = st.sampled_from([each.id for each in backups])
    marks = st.builds(
        Kept,
        target=st.sampled_from(Keep),
        until=st.sampled_from([None, NOW - DAY, NOW + DAY]),
    )
    return World(
        backups,
        Rules(
            policy=draw(policies),
            minimum_redundancy=draw(st.integers(0, 4)),
            failed_age=draw(st.sampled_from([None, 10 * DAY])),
        ),
        Known(
            keeps=draw(st.dictionaries(ids, marks, max_size=3)),
            held=draw(st.frozensets(ids, max_size=2)),
            lacking=draw(st.frozensets(ids, max_size=2)),
        ),
    )


@thorough
@given(worlds())
def test_never_below_redundancy_and_never_the_last(world: World) -> None:
    before = world.counting()
    after = world.without(world.going()).counting()
    policy = world.rules.policy
    least = max(1, world.rules.minimum_redundancy)
    if isinstance(policy, Redundancy):
        least = max(least, policy.count)
    assert len(after) >= min(least, len(before))
    newest = sorted(each.id for each in before)[-least:]
    assert set(newest) <= {each.id for each in after}


@thorough
@given(worlds())
def test_what_is_kept_held_waiting_or_under_way_stays_with_all_that_it_builds_upon(
    world: World,
) -> None:
    gone = world.going()
    by_id = {each.id: each for each in world.backups}
    for backup in world.backups:
        kept = world.known.keeps.get(backup.id)
        is_kept = kept is not None and not kept.has_ended(NOW)
        is_free = backup.status in (Status.DONE, Status.FAILED)
        if is_kept or backup.id in world.known.held or not is_free:
            line: Backup | None = backup
            while line is not None:
                assert line.id not in gone
                line = by_id.get(line.parent_id or "")


@thorough
@given(worlds())
def test_nothing_that_stays_builds_upon_what_goes(world: World) -> None:
    gone = world.going()
    assert not [each for each in world.backups if each.parent_id in gone and each.id not in gone]


@thorough
@given(worlds(), st.randoms(use_true_random=False))
def test_judging_again_after_any_part_of_it_changes_nothing(
    world: World, chance: random.Random
) -> None:
    """What stayed stays, whatever went first; and once all went nothing more goes."""
    gone = world.going()
    part = {each for each in gone if chance.random() < 0.5}
    children = {each.id for each in world.backups if each.parent_id in part}
    assume(children <= part)
    assert world.without(part).going() <= gone
    assert world.without(gone).going() == set()


@thorough
@given(worlds(), st.integers(0, 400))
def test_a_clock_set_back_makes_no_more_go(world: World, days: int) -> None:
    world = replace(world, known=replace(world.known, keeps={}))
    assert world.going(NOW - days * DAY) <= world.going()


@thorough
@given(worlds())
def test_every_moment_of_the_window_stays_recoverable(world: World) -> None:
    """The latest sound backup before each moment that its WAL leads on from, or an older one."""
    policy = world.rules.policy
    assume(isinstance(policy, RecoveryWindow))
    assert isinstance(policy, RecoveryWindow)

    def serving(some: World, moment: datetime) -> list[Backup]:
        return [
            each
            for each in some.counting()
            if each.copied
            and not each.copied.damages
            and each.id not in some.known.lacking
            and each.copied.end_time <= moment
            and (each.id not in some.known.keeps or not _is_alone(some, each))
        ]

    after = world.without(world.going())
    for hours in range(0, int(policy.span.total_seconds() // 3600), 12):
        moment = NOW - policy.span + timedelta(hours=hours)
        assert bool(serving(after, moment)) == bool(serving(world, moment))


def _is_alone(world: World, backup: Backup) -> bool:
    kept = world.known.keeps[backup.id]
    return kept.target is Keep.STANDALONE and not kept.has_ended(NOW)


@thorough
@given(worlds(), st.randoms(use_true_random=False))
def test_in_whatever_order_they_go_what_is_left_loses_no_wal(
    world: World, chance: random.Random
) -> None:
    """File by file, as life goes: WAL that went once does not come back."""
    keeps = {each: kept.target for each, kept in world.known.keeps.items()}
    order = sorted(world.going())
    chance.shuffle(order)
    held = {(timeline, number) for timeline in (1, 2, 3) for number in range(220)}
    for gone in order:
        world = world.without({gone})
        need = needed(world.backups, keeps, Policy())
        held = {each for each in held if need.covers(Segment(*each))}
        for backup in world.done():
            run = backup.needed()
            assert run is not None
            assert {(each.timeline, each.number) for each in run.segments()} <= held


@thorough
@given(worlds())
def test_only_what_is_obsolete_goes_and_each_has_its_reason(world: World) -> None:
    verdicts = world.judged()
    assert [each.backup for each in verdicts] == list(world.backups)
    for verdict in verdicts:
        assert verdict.why
        assert verdict.word is Word.OBSOLETE or not verdict.goes


@thorough
@given(worlds())
def test_leaves_go_before_what_they_build_upon(world: World) -> None:
    order = [each.backup.id for each in in_order(world.judged())]
    assert sorted(order) == sorted(world.going())
    for backup in world.backups:
        if backup.id in order and backup.parent_id in order:
            assert order.index(backup.id) < order.index(backup.parent_id)


# --------------------------------------------------------------------------------------- redundancy


def test_the_newest_so_many_stay() -> None:
    four = [made(number, days=9 - number) for number in (1, 2, 3, 4)]
    verdicts = judged(four, Redundancy(2))
    assert words(verdicts) == ["OBSOLETE", "OBSOLETE", "VALID", "VALID"]
    assert [each.backup.id for each in in_order(verdicts)] == [four[0].id, four[1].id]
    assert verdicts[0].why == f"2 newer are DONE: {four[3].id}, {four[2].id}"
    assert verdicts[3].why == "is one of the newest 2"


def test_what_is_not_done_does_not_count() -> None:
    statuses = (Status.DONE, Status.WAITING_FOR_WALS, Status.FAILED, Status.STARTED)
    verdicts = judged(
        [made(number, status=status) for number, status in enumerate(statuses, 1)], Redundancy(1)
    )
    assert words(verdicts) == ["VALID", "-", "-", "-"]


def test_minimum_redundancy_holds_what_would_go() -> None:
    three = [made(number) for number in (1, 2, 3)]
    verdicts = judged(three, Redundancy(1), least=2)
    assert words(verdicts) == ["OBSOLETE", "OBSOLETE*", "VALID"]
    assert going(verdicts) == {three[0].id}
    assert "as minimum_redundancy asks" in verdicts[1].why


def test_after_an_upgrade_the_newest_is_not_taken_for_the_oldest() -> None:
    """A new cluster begins at timeline 1 and a low position (WAL-G #636)."""
    old = [made(number, first=9000 + number, timeline=7) for number in (1, 2, 3)]
    new = made(4, first=1, timeline=1, system_id="8")
    verdicts = judged([*old, new], Redundancy(2))
    assert words(verdicts) == ["OBSOLETE", "OBSOLETE", "VALID", "VALID"]


def test_where_positions_contradict_the_ids_neither_makes_the_other_go() -> None:
    """Barman's ids are local time: two of them in the hour that a clock change repeats."""
    first, second = made(1, first=50), made(2, first=40)
    assert words(judged([first, second], Redundancy(1))) == ["VALID", "VALID"]
    third = made(3, first=60)
    assert words(judged([first, second, third], Redundancy(1))) == ["OBSOLETE", "OBSOLETE", "VALID"]


def test_a_kept_one_counts() -> None:
    three = [made(number) for number in (1, 2, 3)]
    keeps = {three[1].id: Kept(target=Keep.STANDALONE, reason="the audit", actor="uid 0")}
    verdicts = judged(three, Redundancy(2), keeps=keeps)
    assert words(verdicts) == ["OBSOLETE", "KEEP:STANDALONE", "VALID"]
    assert verdicts[1].why == "is kept by uid 0: the audit"


def test_a_keep_whose_end_has_passed_holds_nothing() -> None:
    two = [made(1), made(2)]
    ended = {two[0].id: Kept(target=Keep.FULL, until=NOW)}
    assert words(judged(two, Redundancy(1), keeps=ended)) == ["OBSOLETE", "VALID"]
    lasting = {two[0].id: Kept(target=Keep.FULL, until=NOW + DAY)}
    verdicts = judged(two, Redundancy(1), keeps=lasting)
    assert (verdicts[0].word, verdicts[0].until) == (Word.KEEP_FULL, NOW + DAY)


def test_bad_pages_make_no_sound_backup_go_but_their_like() -> None:
    sound, *bad = made(1), *(made(number, is_damaged=True) for number in (2, 3, 4))
    verdicts = judged([sound, *bad], Redundancy(2))
    assert words(verdicts) == ["VALID", "OBSOLETE", "VALID", "VALID"]
    assert "bad pages" in verdicts[3].why
    again = judged([sound, *bad, made(5), made(6)], Redundancy(2))
    assert words(again) == ["OBSOLETE"] * 4 + ["VALID"] * 2


def test_one_that_lacks_wal_makes_no_sound_backup_go() -> None:
    two = [made(1), made(2)]
    verdicts = judged(two, Redundancy(1), lacking=frozenset({two[1].id}))
    assert words(verdicts) == ["VALID", "VALID"]
    assert "is missing" in verdicts[1].why


def test_one_that_was_found_damaged_makes_no_sound_backup_go() -> None:
    two = [made(1), made(2)]
    known = Known(damaged={two[1].id})
    verdicts = judge(two, Rules(policy=Redundancy(1)), known, NOW)
    assert words(verdicts) == ["VALID", "VALID"]
    assert "found it damaged" in verdicts[1].why


def test_one_in_use_stays_and_says_so() -> None:
    two = [made(1), made(2)]
    verdicts = judged(two, Redundancy(1), held=frozenset({two[0].id}))
    assert (words(verdicts), going(verdicts)) == (["OBSOLETE", "VALID"], set())
    assert "is in use" in verdicts[0].why


# ------------------------------------------------------------------------------------------- window

WEEK = RecoveryWindow(7, "DAYS")


def test_all_inside_the_window_stay_and_the_one_before_it() -> None:
    backups = [made(number, days=days) for number, days in enumerate((20, 10, 8, 6, 1), 1)]
    verdicts = judged(backups, WEEK)
    assert words(verdicts) == ["OBSOLETE", "OBSOLETE", "VALID", "VALID", "VALID"]
    assert "is recovered from it" in verdicts[2].why
    # The one of 6 days ago takes its place tomorrow; that one waits for the one of yesterday.
    assert [each.until for each in verdicts[2:]] == [NOW + DAY, NOW + 6 * DAY, None]


def test_a_window_without_any_backup_inside_keeps_the_newest() -> None:
    backups = [made(1, days=90), made(2, days=80)]
    assert words(judged(backups, WEEK)) == ["OBSOLETE", "VALID"]
    assert words(judged(backups[1:], WEEK, now=NOW + 10_000 * DAY)) == ["VALID"]


def test_what_is_kept_standalone_serves_no_window() -> None:
    backups = [made(1, days=20), made(2, days=10), made(3, days=1)]
    keeps = {backups[1].id: Kept(target=Keep.STANDALONE)}
    assert words(judged(backups, WEEK, keeps=keeps)) == ["VALID", "KEEP:STANDALONE", "VALID"]
    keeps = {backups[1].id: Kept(target=Keep.FULL)}
    assert words(judged(backups, WEEK, keeps=keeps)) == ["OBSOLETE", "KEEP:FULL", "VALID"]


def test_a_backup_serves_only_what_comes_after_its_end() -> None:
    backups = [made(1, days=20), made(2, days=7 - 0.01), made(3, days=1)]
    assert words(judged(backups, WEEK)) == ["VALID", "VALID", "VALID"]
    backups[1] = made(2, days=7)
    assert words(judged(backups, WEEK)) == ["OBSOLETE", "VALID", "VALID"]


# ------------------------------------------------------------------------------------------- chains


def chain() -> list[Backup]:
    root = made(1, days=20)
    child = made(2, days=19, parent=root.id)
    grandchild = made(3, days=18, parent=child.id)
    return [root, child, grandchild, made(4, days=9), made(5, days=1)]


def test_a_chain_shares_its_roots_fate() -> None:
    verdicts = judged(chain(), WEEK)
    assert words(verdicts) == ["OBSOLETE"] * 3 + ["VALID"] * 2
    assert [each.backup.id[-1] for each in in_order(verdicts)] == ["3", "2", "1"]
    assert "shares the fate of" in verdicts[2].why


def test_a_chain_stays_while_any_of_it_is_inside_the_window() -> None:
    backups = chain()
    late = made(6, days=2, parent=backups[2].id)
    assert words(judged([*backups, late], WEEK))[:3] == ["VALID"] * 3


@pytest.mark.parametrize("status", [Status.WAITING_FOR_WALS, Status.STARTED])
def test_a_chain_stays_for_one_that_is_not_done(status: Status) -> None:
    backups = chain()
    waiting = made(6, status=status, parent=backups[2].id)
    verdicts = judged([*backups, waiting], WEEK)
    assert going(verdicts) == set()
    assert f"is {status}" in verdicts[0].why


def test_a_failed_one_goes_with_what_it_builds_upon() -> None:
    backups = chain()
    wreck = made(6, status=Status.FAILED, parent=backups[0].id)
    assert going(judged([*backups, wreck], WEEK)) == set()
    assert wreck.id in going(judged([*backups, wreck, made(7)], WEEK, failed_age=None))


def test_one_whose_parent_is_unknown_is_left_alone() -> None:
    orphan = made(1, days=90, parent="20250101T000000")
    verdicts = judged([orphan, made(2), made(3)], Redundancy(1))
    assert (words(verdicts), going(verdicts)) == (["-", "OBSOLETE", "VALID"], {made(2).id})


def test_a_chain_without_end_is_nobodys_end() -> None:
    one, two = made(1, parent=made(2).id), made(2, parent=made(1).id)
    assert going(judged([one, two, made(3), made(4)], Redundancy(1))) == {made(3).id}


# ----------------------------------------------------------------------------------------- failures


def failed(number: int, days: float) -> Backup:
    return made(number, days=days, status=Status.FAILED)


def test_a_failure_goes_after_its_time_with_or_without_a_policy() -> None:
    backups = [failed(1, 40), failed(2, 10), made(3)]
    for policy in (None, Redundancy(1)):
        verdicts = judged(backups, policy)
        assert going(verdicts) == {backups[0].id}
        assert verdicts[1].until == NOW + 20 * DAY
    assert going(judged(backups, None, failed_age=None)) == set()


def test_the_last_failure_stays_until_something_becomes_done() -> None:
    backups = [made(1, days=90), failed(2, 80), failed(3, 70)]
    verdicts = judged(backups, Redundancy(1))
    assert going(verdicts) == {backups[1].id}
    assert "it explains why" in verdicts[2].why
    assert going(judged([*backups, made(4)], Redundancy(2))) == {backups[1].id, backups[2].id}


def test_without_a_policy_no_backup_goes() -> None:
    verdicts = judged([made(1, days=900), made(2)], None)
    assert (words(verdicts), going(verdicts)) == (["-", "-"], set())


def test_one_of_which_nothing_is_known_is_left_alone() -> None:
    dark = replace(made(1), copied=None)
    assert words(judged([dark, made(2), made(3)], Redundancy(1))) == ["-", "OBSOLETE", "VALID"]
