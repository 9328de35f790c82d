"""The WAL that somebody may still need stays; over many histories, and against a slow oracle."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from barmand.model.backup import ACTIVE, RESTORABLE, Backup, Cluster, Copied, Status
from barmand.model.retention import Keep, Needed, Policy, needed
from barmand.model.wal import SEGMENT_SIZES, Segment, runs_of

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
MB = 1024 * 1024
thorough = settings(max_examples=300, deadline=None)


def made(
    number: int,
    timeline: int,
    first: int,
    last: int,
    *,
    status: Status = Status.DONE,
    size: int = MB,
    is_standby: bool = False,
) -> Backup:
    """A backup that needs these segments; the `number`th of its server."""
    copied = Copied(
        timeline=timeline,
        begin_lsn=first * size + 0x28,
        begin_time=NOW,
        end_lsn=last * size + 0x100,
        end_time=NOW,
        backup_label="",
        size=1,
        deduplicated_size=1,
        copy_seconds=1.0,
    )
    cluster = Cluster(
        system_id="7", version=150018, segment_size=size, pgdata="/pg", is_standby=is_standby
    )
    return Backup(
        server="main",
        id=f"202405{1 + number // 24:02}T{number % 24:02}0000",
        status=status,
        method="postgres",
        queued_at=NOW,
        cluster=cluster,
        copied=None if status in ACTIVE else copied,
    )


# ------------------------------------------------------------------------------------- histories


@dataclass(frozen=True)
class Branch:
    """Where a timeline left its parent: in segment `at`."""

    parent: int
    at: int


@dataclass(frozen=True)
class History:
    """The timelines of one cluster, how far each got, its backups and how they are kept."""

    size: int
    branches: Mapping[int, Branch]
    ends: Mapping[int, int]
    backups: Sequence[Backup]
    keeps: Mapping[str, Keep]

    @property
    def archived(self) -> set[Segment]:
        """All WAL that ever was: from where a timeline begins to where it ends."""
        return {
            Segment(timeline, number)
            for timeline, end in self.ends.items()
            for number in range(self.beginning(timeline), end + 1)
        }

    def beginning(self, timeline: int) -> int:
        return self.branches[timeline].at if timeline in self.branches else 0

    def path(self, timeline: int) -> list[int]:
        """A timeline after all those that it comes from, oldest first."""
        line = [timeline]
        while line[0] in self.branches:
            line.insert(0, self.branches[line[0]].parent)
        return line

    def usable(self) -> list[Backup]:
        return [backup for backup in self.backups if backup.status in RESTORABLE]

    def needed(self, policy: Policy | None = None) -> Needed:
        return needed(self.backups, self.keeps, policy or Policy())

    def kept(self) -> set[Segment]:
        need = self.needed()
        return {segment for segment in self.archived if need.covers(segment)}

    def without(self, gone: Backup) -> "History":
        return replace(self, backups=[each for each in self.backups if each != gone])


@st.composite
def histories(draw: st.DrawFn, *statuses: Status) -> History:
    """Promotions and recoveries to an earlier point; backups wherever the source then stood."""
    size = draw(st.sampled_from(sorted(SEGMENT_SIZES)))
    branches: dict[int, Branch] = {}
    ends = {1: draw(st.integers(3, 20))}
    for timeline in range(2, draw(st.integers(1, 5)) + 1):
        parent = draw(st.integers(1, timeline - 1))
        least = branches[parent].at if parent in branches else 0
        branches[timeline] = Branch(parent, draw(st.integers(least, ends[parent])))
        ends[timeline] = branches[timeline].at + draw(st.integers(0, 12))
    backups = []
    for number in range(draw(st.integers(0, 6))):
        timeline = draw(st.integers(1, len(ends)))
        least = branches[timeline].at if timeline in branches else 0
        is_standby = draw(st.booleans())
        # A standby's restart point may lie on the timeline before.
        first = draw(st.integers(max(0, least - 2) if is_standby else least, ends[timeline]))
        last = draw(st.integers(max(first, least), ends[timeline]))
        status = draw(st.sampled_from(statuses or tuple(RESTORABLE | {Status.FAILED})))
        backup = made(
            number, timeline, first, last, status=status, size=size, is_standby=is_standby
        )
        backups.append(backup)
    keeps = {
        backup.id: draw(st.sampled_from(Keep)) for backup in backups if draw(st.integers(0, 2)) == 0
    }
    return History(size, branches, ends, backups, keeps)


def replayed(history: History, backup: Backup, timeline: int, end: int) -> set[Segment]:
    """What PostgreSQL reads to recover `backup` to the end of segment `end` of `timeline`."""
    run = backup.needed()
    assert run is not None
    read = set()
    line = history.path(timeline)
    for here, after in zip(line, [*line[1:], None], strict=True):
        until = end if after is None else history.branches[after].at
        for number in range(max(run.first, history.beginning(here)), until + 1):
            read.add(Segment(here, number))
    return read


def wanted_by(history: History, backup: Backup) -> set[Segment]:
    """Slowly, point by point: all that any recovery of `backup` may read."""
    run = backup.needed()
    assert run is not None
    if history.keeps.get(backup.id) is Keep.STANDALONE:
        return replayed(history, backup, run.timeline, run.last)
    wanted: set[Segment] = set()
    for timeline, furthest in history.ends.items():
        line = history.path(timeline)
        if run.timeline not in line:
            continue
        own = line.index(run.timeline)
        if own + 1 < len(line) and history.branches[line[own + 1]].at < run.last:
            continue  # it branched off before the backup was consistent
        for end in range(max(run.last, history.beginning(timeline)), furthest + 1):
            wanted |= replayed(history, backup, timeline, end)
    return wanted


# ------------------------------------------------------------------------------------ properties


@thorough
@given(histories())
def test_all_that_a_recovery_of_any_usable_backup_may_read_stays(history: History) -> None:
    kept = history.kept()
    for backup in history.usable():
        assert wanted_by(history, backup) <= kept


@thorough
@given(histories())
def test_what_stays_is_what_a_slow_look_at_each_segment_says(history: History) -> None:
    """Segment by segment, in words: the rule without its arithmetic."""
    usable = history.usable()
    newest = max((backup.id for backup in usable), default="")

    def stays(segment: Segment) -> bool:
        for backup in usable:
            run = backup.needed()
            assert run is not None
            is_alone = history.keeps.get(backup.id) is Keep.STANDALONE and backup.id != newest
            if segment.number >= run.first and (not is_alone or segment.number <= run.last):
                return True
        return not usable

    assert history.kept() == {segment for segment in history.archived if stays(segment)}


@thorough
@given(histories())
def test_nothing_goes_at_or_behind_the_newest_backups_beginning(history: History) -> None:
    usable = history.usable()
    assume(usable)
    newest = max(usable, key=lambda backup: backup.id).needed()
    assert newest is not None
    gone = history.archived - history.kept()
    assert all(segment.number < newest.first for segment in gone)


@thorough
@given(histories(), st.randoms(use_true_random=False))
def test_a_backup_less_never_makes_more_needed_while_the_newest_is_there(
    history: History, chance: random.Random
) -> None:
    older = sorted(history.usable(), key=lambda backup: backup.id)[:-1]
    chance.shuffle(older)
    for gone in older:
        fewer = history.without(gone)
        assert fewer.kept() <= history.kept()
        history = fewer


@thorough
@given(histories(), st.data())
def test_to_keep_a_backup_whole_never_makes_less_needed(
    history: History, data: st.DataObject
) -> None:
    assume(history.backups)
    backup = data.draw(st.sampled_from(history.backups))
    alone = replace(history, keeps={**history.keeps, backup.id: Keep.STANDALONE})
    whole = replace(history, keeps={**history.keeps, backup.id: Keep.FULL})
    assert alone.kept() <= whole.kept()


@thorough
@given(histories())
def test_the_surplus_is_exactly_what_is_not_covered(history: History) -> None:
    need = history.needed()
    surplus = {
        segment
        for run in need.surplus(history.ends)
        for segment in run.segments()
        if segment in history.archived
    }
    assert surplus == history.archived - history.kept()


@thorough
@given(histories(*Status))
def test_judging_twice_changes_nothing(history: History) -> None:
    """What is left after a removal is all needed, and its runs have no surplus."""
    kept = history.kept()
    need = history.needed()
    again = need.surplus({run.timeline for run, _ in runs_of((each, 1) for each in sorted(kept))})
    assert not any(segment in run for run in again for segment in kept)


@thorough
@given(histories(*Status))
def test_while_a_backup_is_active_nothing_goes(history: History) -> None:
    assume(any(backup.status in ACTIVE for backup in history.backups))
    assert history.kept() == history.archived
    assert history.needed().surplus(history.ends) == []


@thorough
@given(histories(Status.DONE, Status.FAILED, Status.DELETING))
def test_whatever_failed_or_is_being_deleted_needs_nothing_beside_a_usable_one(
    history: History,
) -> None:
    assume(history.usable())
    assert history.needed() == replace(history, backups=history.usable()).needed()


@thorough
@given(histories(Status.FAILED))
def test_without_a_usable_backup_nothing_goes(history: History) -> None:
    assert history.kept() == history.archived
    assert not history.needed().has_surplus


@thorough
@given(histories(*Status))
def test_with_worm_mode_nothing_goes(history: History) -> None:
    need = history.needed(Policy(is_worm=True))
    assert need.surplus(history.ends) == []
    assert need.why_all == "worm_mode is on"


@thorough
@given(histories(), st.randoms(use_true_random=False))
def test_whatever_the_order_of_deletions_no_other_backup_is_robbed(
    history: History, chance: random.Random
) -> None:
    """File by file, as life goes: what went once does not come back."""
    order = list(history.usable())
    chance.shuffle(order)
    held = history.kept()
    for gone in order:
        history = history.without(gone)
        if not history.usable():
            break
        held &= history.kept()
        for backup in history.usable():
            if history.keeps.get(backup.id) is not Keep.STANDALONE:
                assert wanted_by(history, backup) <= held


# --------------------------------------------------------------------------------- single cases


def floor_of(*backups: Backup, **keeps: Keep) -> int:
    return needed(backups, keeps, Policy()).floor


def test_the_beginning_of_the_oldest_usable_backup_is_where_wal_begins_to_stay() -> None:
    assert floor_of(made(1, 1, 10, 12), made(2, 1, 20, 22)) == 10
    assert floor_of(made(1, 1, 10, 12, status=Status.FAILED), made(2, 1, 20, 22)) == 20
    assert floor_of(made(1, 1, 10, 12, status=Status.WAITING_FOR_WALS), made(2, 1, 20, 22)) == 10


def test_backups_of_a_standby_may_begin_at_the_same_point() -> None:
    first = made(1, 1, 10, 12, is_standby=True)
    second = made(2, 1, 10, 15, is_standby=True)
    assert floor_of(replace(first, status=Status.DELETING), second) == 10


def test_a_later_backup_of_a_newer_timeline_that_began_before_the_others_counts() -> None:
    assert floor_of(made(1, 1, 90, 92), made(2, 2, 51, 52)) == 51


def test_a_standalone_one_needs_its_own_segments_only() -> None:
    archival, newest = made(1, 1, 10, 12), made(2, 1, 20, 22)
    need = needed([archival, newest], {archival.id: Keep.STANDALONE}, Policy())
    left = [number for number in range(30) if need.covers(Segment(1, number))]
    assert left == [10, 11, 12, *range(20, 30)]


def test_behind_the_newest_all_stays_though_it_is_kept_standalone() -> None:
    archival, newest = made(1, 1, 10, 12), made(2, 1, 20, 22)
    alone = {archival.id: Keep.STANDALONE, newest.id: Keep.STANDALONE}
    need = needed([archival, newest], alone, Policy())
    assert (need.floor, need.covers(Segment(1, 25)), need.covers(Segment(1, 13))) == (
        20,
        True,
        False,
    )


def test_the_last_backup_of_a_primary_takes_along_what_it_needed_itself() -> None:
    gone = made(1, 2, 10, 12, status=Status.DELETING)
    need = needed([gone], {}, Policy())
    goes = [
        (timeline, number)
        for timeline in (1, 2, 3)
        for number in range(20)
        if not need.covers(Segment(timeline, number))
    ]
    assert goes == [(timeline, number) for timeline in (2, 3) for number in (10, 11, 12)]
    assert need.why_all == "there is no usable backup"


def test_the_last_backup_of_a_standby_takes_nothing_along() -> None:
    gone = made(1, 1, 10, 12, status=Status.DELETING, is_standby=True)
    assert not needed([gone], {}, Policy()).has_surplus


@pytest.mark.parametrize("status", [Status.DONE, Status.WAITING_FOR_WALS])
def test_where_it_is_not_known_where_a_usable_backup_begins_nothing_goes(status: Status) -> None:
    dark = replace(made(1, 1, 10, 12, status=status), copied=None)
    need = needed([dark, made(2, 1, 20, 22)], {}, Policy())
    assert not need.has_surplus
    assert need.why_all == f"it is not known where backup {dark.id} begins"


def test_where_backups_differ_in_the_size_of_segments_nothing_goes() -> None:
    need = needed([made(1, 1, 10, 12), made(2, 1, 20, 22, size=16 * MB)], {}, Policy())
    assert not need.has_surplus
    assert need.why_all == "the backups differ in the size of their WAL segments"
