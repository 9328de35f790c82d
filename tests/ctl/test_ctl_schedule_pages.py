"""What runs by itself, as a person sees it: paused, skipped and made-up runs are told as such."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from barmand.ctl import plain, schedule_pages
from barmand.wire.schedule_messages import (
    ChoreRunView,
    ChoreView,
    CronReply,
    ScheduledRun,
    ScheduleLineView,
    ScheduleReply,
    ServerSchedule,
)

DUE = datetime(2026, 1, 16, 2, tzinfo=UTC)
RUN = ScheduledRun(
    due=DUE,
    at=DUE,
    outcome="started",
    why=None,
    backup_id="20260116T020000",
    status="DONE",
    error=None,
    seconds=75.0,
)
ARCHIVED = ChoreRunView(
    server="main", chore="archive", began=DUE, seconds=0.2, result="done", why=None
)
ARCHIVE = ChoreView(
    chore="archive", every_seconds=30, running_since=None, last=ARCHIVED, next_run=DUE
)


def server(name: str = "main", state: str = "active", *runs: ScheduledRun | None) -> ServerSchedule:
    return ServerSchedule(
        server=name,
        state=state,
        grace_seconds=43_200,
        schedules=[
            ScheduleLineView(
                schedule="@daily", next_run=DUE if state == "active" else None, last=run
            )
            for run in runs
        ],
        chores=[ARCHIVE] if state == "active" else [],
    )


def page(*servers: ServerSchedule, chores: tuple[ChoreView, ...] = ()) -> str:
    reply = ScheduleReply(servers=list(servers), chores=list(chores))
    shown = schedule_pages.schedule(msgspec.to_builtins(reply))
    return "\n".join(plain.lines(shown))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (None, "never ran"),
        (RUN, "20260116T020000 DONE"),
        (msgspec.structs.replace(RUN, status=None), "20260116T020000 deleted"),
        (msgspec.structs.replace(RUN, status="FAILED", error="no disk"), "FAILED: no disk"),
        (msgspec.structs.replace(RUN, outcome="made up"), "DONE (made up 2026-01-16"),
        (
            msgspec.structs.replace(RUN, outcome="joined", why="with @weekly"),
            "DONE (joined with @weekly)",
        ),
        (
            msgspec.structs.replace(RUN, outcome="skipped", backup_id=None, why="it is busy"),
            "skipped: it is busy",
        ),
    ],
)
def test_what_came_of_the_last_run_is_told(run: ScheduledRun | None, words: str) -> None:
    assert words in page(server("main", "active", run))


def test_a_server_that_is_switched_off_is_shown_as_paused() -> None:
    shown = page(server("resting", "inactive", RUN))
    assert "resting: paused (active = false): nothing rings" in shown
    assert "chores" not in shown.replace("barmand: chores of its own", "")


def test_servers_without_a_schedule_and_with_wrong_settings_are_shown_too() -> None:
    assert "none" in page(server())
    assert "put aside" in page(server("bad", "broken"))


def test_chores_tell_how_they_went() -> None:
    failed = msgspec.structs.replace(ARCHIVED, result="failed", why="no disk")
    chores = (
        ARCHIVE,
        msgspec.structs.replace(ARCHIVE, chore="compare", last=None),
        msgspec.structs.replace(ARCHIVE, chore="prune", last=failed),
        msgspec.structs.replace(ARCHIVE, chore="check", running_since=DUE),
    )
    shown = page(chores=chores)
    for words in ("30 s", "not yet", "failed: no disk", "running since"):
        assert words in shown


def test_of_many_servers_only_the_schedules_are_told() -> None:
    shown = page(*(server(f"server{number}", "active", RUN) for number in range(9)))
    assert shown.count("20260116T020000 DONE") == 9
    assert "archive" not in shown


def told(reply: CronReply) -> list[str]:
    view: dict[str, Any] = msgspec.to_builtins(reply)
    return schedule_pages.cron(view)


def test_cron_tells_what_it_did() -> None:
    failed = msgspec.structs.replace(ARCHIVED, result="failed", why="no disk")
    own = msgspec.structs.replace(failed, chore="watch", server=None)
    assert told(CronReply(ended=[ARCHIVED], running=[])) == ["1 chores done, none failed"]
    assert told(CronReply(ended=[ARCHIVED, failed, own], running=["archive slow"])) == [
        "3 chores done, 2 failed",
        "archive main: failed: no disk",
        "watch: failed: no disk",
        "archive slow: still running",
    ]
