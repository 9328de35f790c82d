"""Requests and results about what stays and what goes: retention, kept backups, the clock."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from barmand.wire.messages import BackupWord, Reply, Request, ServerName

KeepReason = Annotated[str, Meta(min_length=1, max_length=1000)]


class KeepReply(Reply, frozen=True, kw_only=True):
    """How the backup is kept now; `target` is null where it is not. `changed`: by this request."""

    server: str
    backup_id: str
    target: str | None
    reason: str | None
    until: datetime | None
    kept_by: str | None
    changed: bool
    warning: str | None


class Keep(Request, frozen=True, kw_only=True):
    """`set` needs a target; reason and end date are of it alone."""

    method = "keep"
    result = KeepReply
    server: ServerName
    backup: BackupWord
    action: Literal["set", "release", "status"]
    target: Literal["full", "standalone"] | None = None
    reason: KeepReason | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


class VerdictView(Struct, frozen=True, kw_only=True):
    """`retention` is Barman's word. `until`: the earliest moment at which it may go, if backups go
    on; null where that cannot be told. `goes`: with the next pass, if nothing hinders that.
    """

    backup_id: str
    name: str | None
    status: str
    retention: str
    why: str
    until: datetime | None
    goes: bool


class ForecastView(Struct, frozen=True, kw_only=True):
    """What the next pass would delete, in its order, and what that frees. `size_bytes`: of files
    that no other backup has a hard link to.
    """

    backup_ids: list[str]
    size_bytes: int
    wals: int
    wal_bytes: int


class RetentionReply(Reply, frozen=True, kw_only=True):
    """Newest first. `hindrance`: why nothing at all is deleted now."""

    server: str
    policy: str | None
    minimum_redundancy: int
    failed_backup_maximum_age_seconds: float | None
    hindrance: str | None
    backups: list[VerdictView]
    forecast: ForecastView | None


class AskRetention(Request, frozen=True, kw_only=True):
    """With `dry_run` the forecast is made: every file of what would go is looked at."""

    method = "retention"
    is_look = True
    result = RetentionReply
    server: ServerName
    dry_run: bool = False


class ClockReply(Reply, frozen=True, kw_only=True):
    """The moment that is now believed."""

    at: datetime


class TrustClock(Request, frozen=True, kw_only=True):
    """The machine's clock is right, whatever it did: retention may go by it."""

    method = "trust-clock"
    result = ClockReply


KeepRequest = Keep | AskRetention | TrustClock
