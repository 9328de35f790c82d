"""WAL and its stream as plain text."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from barmand.wire.messages import ReceiverView
from barmand.wire.stream_messages import CheckWalArchiveReply, SlotView, SwitchWalReply
from barmand.wire.wal_messages import ArchivedReply
from ctl import samples

Tell = Callable[..., tuple[int, str, str]]
SEGMENT = "000000010000000000000003"


def test_archived_segments_are_counted(tell: Tell) -> None:
    _, out, _ = tell("archive-wal main", ArchivedReply(server="main", archived=3))
    assert out == "3 segments of main archived\n"


@pytest.mark.parametrize(
    ("closed", "archived", "words"),
    [
        (True, None, f"main: {SEGMENT} closed"),
        (True, True, f"main: {SEGMENT} closed and archived"),
        (False, None, f"main: nothing was written since {SEGMENT} was closed"),
    ],
)
def test_a_switch_says_what_it_closed(
    tell: Tell, *, closed: bool, archived: bool | None, words: str
) -> None:
    reply = SwitchWalReply(server="main", segment=SEGMENT, closed=closed, archived=archived)
    assert tell("switch-wal main", reply)[1] == f"{words}\n"


@pytest.mark.parametrize(("code", "verdict"), [(0, "ok"), (5, "FAILED")])
def test_an_archive_is_free_or_not(tell: Tell, code: int, verdict: str) -> None:
    reply = CheckWalArchiveReply(
        server="main",
        ok=not code,
        timeline=None,
        segments=0,
        histories=[],
        hint="as it is",
        exit_code=code,
    )
    assert tell("check-wal-archive main", reply)[:2] == (code, f"main: {verdict}: as it is\n")


def test_a_stream_is_its_receiver_and_its_slot(tell: Tell) -> None:
    assert tell("receive-wal main", samples.receive_wal())[1].splitlines() == [
        "main: receiver streaming, restarted 2 times",
        "main: slot barman active, reserved, 16.0 MiB kept for it since 0/3000000",
    ]


def test_a_receiver_that_pauses_says_why_and_for_how_long(tell: Tell) -> None:
    receiver = ReceiverView(
        state="pausing", slot_name=None, restarts=3, next_attempt_seconds=4.0, last_error="it broke"
    )
    reply = samples.receive_wal(receiver=receiver, slot=None)
    _, out, _ = tell("receive-wal main", reply)
    assert out == "main: receiver pausing, restarted 3 times, next attempt in 4.0 s: it broke\n"


def slot(**changes: Any) -> SlotView:
    found = samples.receive_wal().slot
    assert found is not None
    return msgspec.structs.replace(found, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slot": slot(exists=False)}, "main: slot barman does not exist"),
        ({"slot": None, "problem": "nobody answers"}, "main: slot not examined: nobody answers"),
        (
            {"slot": slot(active=False, wal_status="extended", safe_bytes=1 << 20)},
            (
                "main: slot barman not active, extended, 16.0 MiB kept for it since 0/3000000, "
                "lost after 1.0 MiB more"
            ),
        ),
    ],
)
def test_a_slot_tells_what_it_keeps(tell: Tell, changes: dict[str, Any], words: str) -> None:
    _, out, _ = tell("receive-wal main", samples.receive_wal(**changes))
    assert out.splitlines()[1:] == [words]


@pytest.mark.parametrize(
    ("action", "changes", "words"),
    [
        ("stop", {}, "main: stopped until `receive-wal main --start`"),
        ("start", {}, "main: it was not stopped"),
        (
            "reset",
            {"begins_at": SEGMENT, "lost_segments": 4},
            f"main: begins anew at {SEGMENT}; 4 segments are lost before it",
        ),
        ("create-slot", {"changed": True}, "main: slot made"),
        ("create-slot", {}, "main: the slot was there already"),
        ("drop-slot", {"changed": True}, "main: slot dropped"),
    ],
)
def test_an_action_says_first_what_it_did(
    tell: Tell, action: str, changes: dict[str, Any], words: str
) -> None:
    reply = samples.receive_wal(action=action, **changes)
    assert tell(f"receive-wal main --{action}", reply)[1].splitlines()[0] == words


def test_a_started_receiver_is_shown_without_more_words(tell: Tell) -> None:
    _, out, _ = tell("receive-wal main --start", samples.receive_wal(action="start", changed=True))
    assert out.startswith("main: receiver streaming")


def test_if_not_exists_goes_with_create_slot_only(tell: Tell) -> None:
    code, _, err = tell("receive-wal main --stop --if-not-exists", samples.receive_wal())
    assert (code, "--create-slot" in err) == (2, True)


def test_a_replica_tells_each_of_its_positions(tell: Tell) -> None:
    _, out, _ = tell("replication-status main", samples.replication())
    assert out.startswith("main at 0/3000060\n\nbarman_receive_wal\n")
    told = dict(line.strip().split(":", 1) for line in out.splitlines() if line.startswith("  "))
    assert told["kind"].strip() == "wal-streamer"
    assert told["address"].strip() == "a local socket"
    assert told["flush"].strip() == "0/3000000, 96 B behind, 2.5 s"
    assert told["replay"].strip() == "-"


def test_replicas_in_brief_are_a_line_each(tell: Tell) -> None:
    _, out, _ = tell("replication-status main --minimal", samples.replication(minimal=True))
    assert [line.split() for line in out.splitlines()] == [
        ["main", "at", "0/3000060"],
        ["PID", "APPLICATION", "KIND", "STATE", "SYNC", "BEHIND"],
        ["4711", "barman_receive_wal", "wal-streamer", "streaming", "async", "96", "B"],
    ]


def test_a_server_without_replicas_is_told_so(tell: Tell) -> None:
    _, out, _ = tell("replication-status main", samples.replication(replicas=[]))
    assert out == "main streams WAL to nobody\n"
