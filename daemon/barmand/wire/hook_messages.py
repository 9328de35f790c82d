"""Requests and results about hooks."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from barmand.wire.messages import Reply, Request, ServerName

HookName = Annotated[str, Meta(min_length=1, max_length=64)]


class HookRunView(Struct, frozen=True, kw_only=True):
    """One run. `outcome`: running, ok, failed, timed out, broken (126, 127), gave up (62), forbade
    (63), stopped or interrupted; `output` is the end of what it printed.
    """

    server: str
    hook: str
    subject: str
    """What it stood around: a backup's id, a file's name."""
    backup_id: str | None
    attempt: int
    test: bool
    started_at: datetime
    seconds: float | None
    exit_code: int | None
    outcome: str
    words: str
    output: str


class HookRunsReply(Reply, frozen=True, kw_only=True):
    server: str
    runs: list[HookRunView]


class HookRuns(Request, frozen=True, kw_only=True):
    """Newest first; of each hook the last 100 are kept."""

    method = "hook-runs"
    is_look = True
    result = HookRunsReply
    server: ServerName
    hook: HookName | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 20


class HookTestedReply(Reply, frozen=True, kw_only=True):
    """`environment` is what it was told, beside what the daemon itself has; `meaning` in words what
    such an end means for the event.
    """

    server: str
    hook: str
    command: str
    environment: dict[str, str]
    seconds: float
    exit_code_of_hook: int | None
    outcome: str
    words: str
    meaning: str
    output: str
    exit_code: int = 0


class HookTest(Request, frozen=True, kw_only=True):
    """Run one hook, once, with sample values; nothing else happens."""

    method = "hook-test"
    result = HookTestedReply
    server: ServerName
    hook: HookName


HookRequest = HookRuns | HookTest
