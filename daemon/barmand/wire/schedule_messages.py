"""Requests and results about what the daemon does by itself: schedules and chores."""

from datetime import datetime

from msgspec import Struct, field

from barmand.wire.messages import Reply, Request, Seconds, ServerName


class ScheduledRun(Struct, frozen=True, kw_only=True):
    """What came of a due time; `outcome`: started, made up, joined, skipped or missed.

    `joined`: another line was due as well, and its backup serves for both. `status`, `error` and
    `seconds` (from its start to the end of its copy) are the backup's; null while unknown.
    """

    due: datetime
    at: datetime
    outcome: str
    why: str | None
    backup_id: str | None
    status: str | None
    error: str | None
    seconds: float | None


class ScheduleLineView(Struct, frozen=True, kw_only=True):
    """One line of backup_schedule. `next_run` has its jitter; null while the server is paused."""

    schedule: str
    next_run: datetime | None
    last: ScheduledRun | None


class ChoreRunView(Struct, frozen=True, kw_only=True):
    """`result`: done, failed (`why` says it), or stopped by a shutdown. `server` is null for the
    daemon's own.
    """

    server: str | None
    chore: str
    began: datetime
    seconds: float
    result: str
    why: str | None


class ChoreView(Struct, frozen=True, kw_only=True):
    """One chore; `running_since` while it is being done."""

    chore: str
    every_seconds: float
    running_since: datetime | None
    last: ChoreRunView | None
    next_run: datetime


class ServerSchedule(Struct, frozen=True, kw_only=True):
    """`state`: active, inactive (paused: nothing rings) or broken (put aside by its settings)."""

    server: str
    state: str
    grace_seconds: float | None
    schedules: list[ScheduleLineView]
    chores: list[ChoreView]


class ScheduleReply(Reply, frozen=True, kw_only=True):
    """`chores` are the daemon's own."""

    servers: list[ServerSchedule]
    chores: list[ChoreView]


class AskSchedule(Request, frozen=True, kw_only=True):
    """No server means all."""

    method = "schedule"
    is_look = True
    result = ScheduleReply
    servers: list[ServerName] = field(default_factory=list)


class CronReply(Reply, frozen=True, kw_only=True):
    """Chores that were rung and have ended, and those that had not when the time was up.

    `exit_code` is that of a failed chore.
    """

    ended: list[ChoreRunView]
    running: list[str]
    exit_code: int = 0


class RunCron(Request, frozen=True, kw_only=True):
    """Ring what is due and wait for its end, for so many seconds."""

    method = "cron"
    result = CronReply
    timeout: Seconds = 50.0


ScheduleRequest = AskSchedule | RunCron
