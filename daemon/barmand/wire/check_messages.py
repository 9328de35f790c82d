"""What is asked and answered about the health of servers."""

from typing import Annotated

from msgspec import Meta, Struct

from barmand.wire.messages import LevelWord, Reply, Request, Seconds, ServerName


class MeasureView(Struct, frozen=True, kw_only=True):
    """A number for who watches it over time; `unit` is "s", "B" or empty.

    Beyond `warning` and `critical` the finding becomes WARNING and FAILED, below them if `least`;
    null where it does not.
    """

    label: str
    value: float
    unit: str
    warning: float | None
    critical: float | None
    least: bool


class FindingView(Struct, frozen=True, kw_only=True):
    """One item of a check. `ok`: its level is OK."""

    name: str
    level: LevelWord
    ok: bool
    keeps_from_backup: bool
    """No backup is begun before it is mended."""
    hint: str
    measure: MeasureView | None = None


class ServerCheck(Struct, frozen=True, kw_only=True):
    """`level` is that of the worst finding; `ok`: nothing FAILED."""

    server: str
    ok: bool
    level: LevelWord
    findings: list[FindingView]
    seconds: float


class CheckReply(Reply, frozen=True, kw_only=True):
    """`daemon` is about barmand's own state, which all servers share. `seconds`: from the request
    to this answer, by the clock on the wall.
    """

    servers: list[ServerCheck]
    daemon: list[FindingView]
    seconds: float
    exit_code: int = 0


class CheckServer(Request, frozen=True, kw_only=True):
    """`check_timeout`: how many seconds one thing is waited for, instead of the setting."""

    method = "check"
    is_look = True
    result = CheckReply
    servers: Annotated[list[ServerName], Meta(min_length=1, max_length=10_000)]
    check_timeout: Seconds | None = None
