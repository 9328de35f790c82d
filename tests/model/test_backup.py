"""A backup's life: every allowed change, no other, and each takes exactly its facts."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.backup import (
    ACTIVE,
    RESTORABLE,
    Backup,
    Cluster,
    Copied,
    Damage,
    Doubt,
    Reason,
    Status,
    damages_of,
)
from barmand.model.errors import PostgresFailed
from barmand.model.wal import Run

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
CLUSTER = Cluster(system_id="7", version=150018, segment_size=16 * 2**20, pgdata="/pg")
COPIED = Copied(
    timeline=3,
    begin_lsn=0x5000028,
    begin_time=NOW,
    end_lsn=0x7000000,
    end_time=NOW,
    backup_label="START WAL LOCATION",
    size=10,
    deduplicated_size=9,
    copy_seconds=1.5,
)
REASON = Reason("ToolFailed", "pg_basebackup failed", "Look.")
QUEUED = Backup(
    server="main", id="20240501T023000", status=Status.QUEUED, method="postgres", queued_at=NOW
)

Move = Callable[[Backup, datetime], Backup]
MOVES: dict[str, Move] = {
    "begun": lambda backup, at: backup.begun(at, CLUSTER),
    "with_copy": lambda backup, at: backup.with_copy(at, COPIED),
    "secured": lambda backup, at: backup.secured(at),
    "failed": lambda backup, at: backup.failed(at, REASON),
    "deleting": lambda backup, _: backup.deleting(),
}
LEADS_TO = {
    "begun": Status.STARTED,
    "with_copy": Status.WAITING_FOR_WALS,
    "secured": Status.DONE,
    "failed": Status.FAILED,
    "deleting": Status.DELETING,
}
LIFE = {
    Status.QUEUED: {"begun", "failed"},
    Status.STARTED: {"with_copy", "failed"},
    Status.WAITING_FOR_WALS: {"secured", "failed", "deleting"},
    Status.DONE: {"deleting"},
    Status.FAILED: {"deleting"},
    Status.DELETING: set[str](),
}


def facts(name: str, at: datetime) -> dict[str, object]:
    """What a move is to change, besides the status."""
    return {
        "begun": {"started_at": at, "cluster": asdict(CLUSTER)},
        "with_copy": {"copied_at": at, "copied": asdict(COPIED)},
        "secured": {"ended_at": at},
        "failed": {"ended_at": at, "reason": asdict(REASON)},
        "deleting": {},
    }[name]


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=12))
def test_any_walk_follows_the_drawing(walk: list[str]) -> None:
    backup = QUEUED
    for step, name in enumerate(walk):
        at = NOW + timedelta(minutes=step)
        if name in LIFE[backup.status]:
            before, backup = backup, MOVES[name](backup, at)
            expected = asdict(before) | facts(name, at) | {"status": LEADS_TO[name]}
            assert asdict(backup) == expected
        else:
            words = f"{backup.id} cannot go from {backup.status} to {LEADS_TO[name]}"
            with pytest.raises(ValueError, match=words):
                MOVES[name](backup, at)


def test_what_a_backup_needs_is_known_once_its_copy_is_whole() -> None:
    started = QUEUED.begun(NOW, CLUSTER)
    assert QUEUED.needed() is None
    assert started.needed() is None
    assert started.with_copy(NOW, COPIED).needed() == Run(3, 5, 6)


def test_the_kinds_of_status_do_not_overlap() -> None:
    assert set(ACTIVE) == {Status.QUEUED, Status.STARTED}
    assert set(RESTORABLE) == {Status.WAITING_FOR_WALS, Status.DONE}


def test_a_failure_is_kept_word_by_word() -> None:
    error = PostgresFailed("cannot reach main", hint="Is it up?")
    assert Reason.of(error) == Reason("PostgresFailed", "cannot reach main", "Is it up?")


def test_any_other_error_is_told_as_our_fault() -> None:
    reason = Reason.of(ZeroDivisionError("division by zero"))
    assert (reason.code, reason.message) == (
        "Bug",
        "unexpected ZeroDivisionError: division by zero",
    )
    assert reason.hint is not None
    assert "journal" in reason.hint


@pytest.mark.parametrize(("number", "release"), [(150_018, "15.18"), (90_624, "9.6.24")])
def test_a_version_is_told_as_people_write_it(number: int, release: str) -> None:
    assert Cluster(system_id="7", version=number, segment_size=1, pgdata="/").release == release


def test_a_page_that_says_it_was_written_after_the_backup_is_bad() -> None:
    found = [
        Damage("base/5/1", (7, 9)),
        Doubt("base/5/1", 8, 1001),
        Doubt("base/5/1", 3, 1000),
        Doubt("base/5/2", 0, 2**64 - 1),
        Doubt("base/5/3", 0, 500),
    ]
    assert damages_of(found, 1000) == (Damage("base/5/1", (7, 8, 9)), Damage("base/5/2", (0,)))
    assert damages_of([], 1000) == ()
