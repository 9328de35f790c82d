"""Hooks: names, exit codes, pauses, and what they are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.backup import Backup, Cluster, Copied, Reason, Status
from barmand.model.hook import (
    BARMAN_VERSION,
    HOOKS,
    MOST_TAIL,
    MOST_VALUE,
    Ended,
    Hook,
    HookEvent,
    HookPhase,
    Occasion,
    Outcome,
    Patience,
    capped,
    environment,
    in_order,
    judged,
    meaning,
    neighbours,
    status_word,
)

PRE, POST = HookPhase.PRE, HookPhase.POST
NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
BACKUP = Backup(
    server="main", id="20240501T023000", status=Status.STARTED, method="rsync", queued_at=NOW
)


def hook(option: str) -> Hook:
    return HOOKS[option]


def ended(code: int | None, *, timed_out: bool = False) -> Ended:
    return Ended(code, "it ended", timed_out=timed_out)


# ------------------------------------------------------------------------------------------- names
def test_barmans_twenty_and_our_two() -> None:
    barmans = {
        f"{phase}_{event}{retry}_script"
        for phase in ("pre", "post")
        for event in ("backup", "delete", "archive", "wal_delete", "recovery")
        for retry in ("", "_retry")
    }
    assert set(HOOKS) == barmans | {"post_backup_done_script", "post_backup_done_retry_script"}


def test_a_hooks_word_is_its_option_without_the_phase() -> None:
    assert hook("pre_wal_delete_retry_script").word == "wal_delete_retry_script"
    assert all(option == each.option for option, each in HOOKS.items())


def test_the_retry_hook_is_the_nearer_one() -> None:
    before = [each.option for each in in_order(HookEvent.DELETE, PRE)]
    after = [each.option for each in in_order(HookEvent.DELETE, POST)]
    assert before == ["pre_delete_script", "pre_delete_retry_script"]
    assert after == ["post_delete_retry_script", "post_delete_script"]
    assert list(in_order(HookEvent.BACKUP_DONE, PRE)) == []


# -------------------------------------------------------------------------------------- exit codes
@pytest.mark.parametrize(
    ("code", "standard", "retry"),
    [
        (0, Outcome.OK, Outcome.OK),
        (1, Outcome.FAILED, Outcome.FAILED),
        (62, Outcome.FAILED, Outcome.GAVE_UP),
        (63, Outcome.FAILED, Outcome.FORBADE),
        (126, Outcome.BROKEN, Outcome.BROKEN),
        (127, Outcome.BROKEN, Outcome.BROKEN),
        (-9, Outcome.FAILED, Outcome.FAILED),
        (137, Outcome.FAILED, Outcome.FAILED),
        (None, Outcome.FAILED, Outcome.FAILED),
    ],
)
def test_what_an_exit_code_means(code: int | None, standard: Outcome, retry: Outcome) -> None:
    assert judged(hook("pre_backup_script"), ended(code)) is standard
    assert judged(hook("pre_backup_retry_script"), ended(code)) is retry


def test_what_ran_too_long_is_not_judged_by_its_code() -> None:
    late = ended(None, timed_out=True)
    assert judged(hook("pre_backup_retry_script"), late) is Outcome.TIMED_OUT


@pytest.mark.parametrize("option", sorted(HOOKS))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_end_has_a_meaning_in_words(option: str, outcome: Outcome) -> None:
    assert meaning(hook(option), outcome, 5)


def test_the_meaning_tells_what_becomes_of_the_event() -> None:
    pre, post = hook("pre_delete_retry_script"), hook("post_delete_retry_script")
    assert "forbids what it stands before" in meaning(pre, Outcome.FORBADE, 5)
    assert "is over" in meaning(post, Outcome.FORBADE, 5)
    assert "5 times in all; and without 0 or 62" in meaning(pre, Outcome.FAILED, 5)
    assert "tried again" not in meaning(pre, Outcome.BROKEN, 5).replace("not tried again", "")
    assert "a warning" in meaning(hook("pre_delete_script"), Outcome.FAILED, 5)


# ------------------------------------------------------------------------------------------ pauses
def test_pauses_grow_to_a_minute_and_end() -> None:
    assert list(Patience(10, 7, 3).pauses()) == [3, 6, 12, 24, 48, 60, 60]
    assert list(Patience(10, 0, 3).pauses()) == []
    assert list(Patience(10, 3, 90).pauses()) == [90, 90, 90]
    assert list(Patience(10, 2, 0).pauses()) == [0, 0]


@given(st.integers(0, 50), st.integers(0, 10_000))
def test_pauses_never_shrink_and_are_as_many_as_asked_for(times: int, first: int) -> None:
    pauses = list(Patience(1, times, first).pauses())
    assert len(pauses) == times
    assert all(one <= other for one, other in pairwise(pauses))


# ------------------------------------------------------------------------------------------ output
def test_an_output_is_kept_as_it_is_while_it_is_short() -> None:
    assert capped(b"one\ntwo\n", 8) == "one\ntwo"
    assert capped(b"\xff", 1) == "�"


@given(st.binary(max_size=20_000), st.integers(0, 100))
def test_what_is_cut_says_so_and_is_short(tail: bytes, lost: int) -> None:
    text = capped(tail, len(tail) + lost)
    assert len(text) <= MOST_TAIL + 60
    assert text.startswith("[cut: ") or lost == 0


# ------------------------------------------------------------------------------------- environment
OCCASION = Occasion(HookEvent.BACKUP, BACKUP.id, {"BARMAN_BACKUP_ID": BACKUP.id}, BACKUP.id)


def test_the_environment_has_barmans_words() -> None:
    told = environment(hook("post_backup_retry_script"), "main", {"X": "y"}, OCCASION, "it broke")
    assert told == {
        "BARMAN_VERSION": BARMAN_VERSION,
        "BARMAN_SERVER": "main",
        "X": "y",
        "BARMAN_HOOK": "backup_retry_script",
        "BARMAN_PHASE": "post",
        "BARMAN_RETRY": "1",
        "BARMAN_BACKUP_ID": BACKUP.id,
        "BARMAN_ERROR": "it broke",
    }
    assert tuple(int(part) for part in BARMAN_VERSION.split(".")) >= (3, 0, 0)


@given(st.text(), st.text())
def test_any_value_can_be_passed_on(server: str, error: str) -> None:
    told = environment(hook("pre_backup_script"), server, {}, OCCASION, error)
    for value in told.values():
        assert "\0" not in value
        assert len(value.encode(errors="surrogateescape")) < 128 * 1024
    assert told["BARMAN_ERROR"] == error or "?" in told["BARMAN_ERROR"] or len(error) > MOST_VALUE


def test_the_bytes_of_a_files_name_come_through() -> None:
    name = b"/srv/\xff".decode(errors="surrogateescape")
    occasion = Occasion(HookEvent.ARCHIVE, "x", {"BARMAN_FILE": name + "\ud800"})
    told = environment(hook("pre_archive_script"), "main", {}, occasion)
    assert told["BARMAN_FILE"] == name + "?"


def test_status_is_told_in_barmans_words() -> None:
    cluster = Cluster(system_id="7", version=150018, segment_size=2**20, pgdata="/pg")
    copied = Copied(
        timeline=1,
        begin_lsn=0,
        begin_time=NOW,
        end_lsn=5,
        end_time=NOW,
        backup_label="",
        size=1,
        deduplicated_size=1,
        copy_seconds=1,
    )
    started = replace(BACKUP, status=Status.QUEUED).begun(NOW, cluster)
    waiting = started.with_copy(NOW, copied)
    done, failed = waiting.secured(NOW), started.failed(NOW, Reason("ToolFailed", "no"))
    event = HookEvent.BACKUP
    assert status_word(started, PRE, event) == "EMPTY"
    assert status_word(waiting, POST, event) == "WAITING_FOR_WALS"
    assert status_word(failed, POST, event) == "FAILED"
    for before in (waiting, done, failed):
        assert status_word(before, PRE, HookEvent.DELETE) == before.status
        assert status_word(before.deleting(), POST, HookEvent.DELETE) == before.status


def test_neighbours_by_id() -> None:
    ids = [f"{(NOW + timedelta(days=day)):%Y%m%dT%H%M%S}" for day in range(3)]
    assert neighbours(ids[1], ids) == (ids[0], ids[2])
    assert neighbours(ids[0], ids) == ("", ids[1])
    assert neighbours("x", []) == ("", "")
