"""WAL goes with a backup only where nobody else could need it."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from barmand.model.backup import Backup, Cluster, Copied, Status
from barmand.model.retention import Reach, removable
from barmand.model.wal import SEGMENT_SIZES, Run, Segment, needed_between, runs_of

MB = 1024 * 1024
NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


@dataclass(frozen=True)
class History:
    """An archive with several timelines, the backups in it, and the one that goes."""

    archived: list[Run]
    gone: Reach
    others: list[Reach]

    @property
    def held(self) -> set[Segment]:
        return segments(self.archived)

    @property
    def removed(self) -> set[Segment]:
        return segments(removable(self.archived, self.gone, self.others))


def segments(runs: list[Run]) -> set[Segment]:
    return {segment for run in runs for segment in run.segments()}


def as_runs(held: set[Segment]) -> list[Run]:
    return [run for run, _ in runs_of((segment, 1) for segment in sorted(held))]


@st.composite
def reaches(draw: st.DrawFn) -> Reach:
    size = draw(st.sampled_from(sorted(SEGMENT_SIZES)))
    begin = draw(st.integers(0, 30 * size))
    end = begin + draw(st.integers(0, 6 * size))
    needed = needed_between(draw(st.integers(1, 4)), begin, end, size)
    return Reach(needed.timeline, needed.first, needed.last, draw(st.booleans()))


held_segments = st.sets(st.builds(Segment, st.integers(1, 4), st.integers(0, 40)))
histories = st.builds(
    History, held_segments.map(as_runs), reaches(), st.lists(reaches(), max_size=5)
)
thorough = settings(max_examples=400, deadline=None)


@thorough
@given(histories)
def test_what_a_remaining_backup_reaches_stays(history: History) -> None:
    for other in history.others:
        assert not any(other.covers(segment) for segment in history.removed)


@thorough
@given(histories)
def test_only_what_is_held_and_what_the_gone_backup_reached_goes(history: History) -> None:
    assert history.removed <= history.held
    assert all(history.gone.covers(segment) for segment in history.removed)


@thorough
@given(histories)
def test_without_another_backup_nothing_behind_its_end_goes(history: History) -> None:
    alone = History(history.archived, history.gone, [])
    assert all(segment.number <= history.gone.last for segment in alone.removed)


@thorough
@given(histories)
def test_what_only_a_primarys_backup_needed_itself_goes(history: History) -> None:
    assume(not history.gone.is_standby)
    own = Run(history.gone.timeline, history.gone.first, history.gone.last)
    nobody_elses = {
        segment
        for segment in history.held
        if segment in own and not any(other.covers(segment) for other in history.others)
    }
    assert nobody_elses <= history.removed


@thorough
@given(histories)
def test_a_standbys_backup_takes_nothing_that_a_later_one_may_still_begin_in(
    history: History,
) -> None:
    assume(history.gone.is_standby)
    later = [other.first for other in history.others if other.first > history.gone.first]
    assert all(segment.number < max(later, default=0) for segment in history.removed)


@thorough
@given(histories)
def test_judging_twice_changes_nothing(history: History) -> None:
    again = History(as_runs(history.held - history.removed), history.gone, history.others)
    assert again.removed == set()


@thorough
@given(
    held_segments, st.lists(reaches(), min_size=1, max_size=5), st.randoms(use_true_random=False)
)
def test_whatever_the_order_of_deletions_the_last_backup_is_never_robbed(
    held: set[Segment], backups: list[Reach], chance: random.Random
) -> None:
    left = list(backups)
    chance.shuffle(left)
    still_held = set(held)
    while len(left) > 1:
        gone = left.pop()
        still_held -= segments(removable(as_runs(still_held), gone, left))
        for other in left:
            assert {each for each in held if other.covers(each)} <= still_held


@pytest.mark.parametrize(
    ("others", "removed"),
    [
        ([], [Run(1, 10, 12)]),
        ([Reach(1, 20, 22)], [Run(1, 10, 19)]),
        ([Reach(1, 11, 13)], [Run(1, 10, 10)]),
        ([Reach(1, 5, 6)], []),
        ([Reach(2, 20, 21)], [Run(1, 10, 19)]),
        ([Reach(1, 20, 22), Reach(1, 5, 6)], []),
    ],
)
def test_the_oldest_of_one_timeline_takes_what_lies_before_the_next(
    others: list[Reach], removed: list[Run]
) -> None:
    assert removable([Run(1, 1, 40)], Reach(1, 10, 12), others) == removed


def test_a_standbys_last_backup_takes_nothing_with_it() -> None:
    gone = Reach(1, 10, 12, is_standby=True)
    assert removable([Run(1, 1, 40)], gone, []) == []
    assert removable([Run(1, 1, 40)], gone, [Reach(1, 10, 14, is_standby=True)]) == []
    assert removable([Run(1, 1, 40)], gone, [Reach(1, 11, 14)]) == [Run(1, 10, 10)]


def started(*, is_standby: bool) -> Backup:
    cluster = Cluster(
        system_id="7", version=150018, segment_size=MB, pgdata="/pg", is_standby=is_standby
    )
    return Backup(
        server="main",
        id="20240501T023000",
        status=Status.STARTED,
        method="postgres",
        queued_at=NOW,
        cluster=cluster,
    )


COPIED = Copied(
    timeline=2,
    begin_lsn=10 * MB,
    begin_time=NOW,
    end_lsn=13 * MB,
    end_time=NOW,
    backup_label="",
    size=1,
    deduplicated_size=1,
    copy_seconds=1.0,
)


@pytest.mark.parametrize("is_standby", [False, True])
def test_a_backup_reaches_from_where_it_began(is_standby: bool) -> None:
    backup = started(is_standby=is_standby)
    assert Reach.of(backup) is None
    assert Reach.of(backup.with_copy(NOW, COPIED)) == Reach(2, 10, 12, is_standby)


def test_a_backup_reaches_forward_and_to_later_timelines_only() -> None:
    reach = Reach(2, 10, 12)
    assert reach.covers(Segment(2, 10))
    assert reach.covers(Segment(3, 99))
    assert not reach.covers(Segment(2, 9))
    assert not reach.covers(Segment(1, 11))
