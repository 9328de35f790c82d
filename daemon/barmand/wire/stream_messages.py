"""Requests and results about the WAL stream: its receiver, its slot, who else is served."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from barmand.wire.messages import ReceiverView, Reply, Request, Seconds, ServerName

Timeline = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]


class SlotView(Struct, frozen=True, kw_only=True):
    """`wal_status` is PostgreSQL's word; `safe_bytes`: how much more WAL until the slot is lost."""

    name: str
    exists: bool
    active: bool
    wal_status: str | None
    restart_lsn: str | None
    held_bytes: int | None
    safe_bytes: int | None


class ReceiveWalReply(Reply, frozen=True, kw_only=True):
    """`slot` is null where none is named, or PostgreSQL could not be asked; see `problem`.

    After a reset, `begins_at` is the segment at which the stream begins anew, and `lost_segments`
    how many are lost before it.
    """

    server: str
    action: str
    changed: bool
    receiver: ReceiverView
    slot: SlotView | None
    problem: str | None
    begins_at: str | None = None
    lost_segments: int = 0


class ReceiveWal(Request, frozen=True, kw_only=True):
    """`show` only looks. `stop` holds until `start`, also over a restart of the daemon."""

    method = "receive-wal"
    result = ReceiveWalReply
    server: ServerName
    action: Literal["show", "start", "stop", "reset", "create-slot", "drop-slot"] = "show"
    if_not_exists: bool = False


class SwitchWalReply(Reply, frozen=True, kw_only=True):
    """`segment` is the last closed one; `closed` if this switch closed it; `archived`: null where
    nobody waited for it.
    """

    server: str
    segment: str
    closed: bool
    archived: bool | None


class SwitchWal(Request, frozen=True, kw_only=True):
    """`force`: after a checkpoint, so that there is something to close."""

    method = "switch-wal"
    result = SwitchWalReply
    server: ServerName
    force: bool = False
    archive: bool = False
    archive_timeout: Seconds = 30


class CheckWalArchiveReply(Reply, frozen=True, kw_only=True):
    """`segments` of the archive on `timeline` or a later one, of all timelines if it is null."""

    server: str
    ok: bool
    timeline: int | None
    segments: int
    histories: list[str]
    hint: str
    exit_code: int


class CheckWalArchive(Request, frozen=True, kw_only=True):
    method = "check-wal-archive"
    is_look = True
    result = CheckWalArchiveReply
    server: ServerName
    timeline: Timeline | None = None


class ReplicaView(Struct, frozen=True, kw_only=True):
    """One that the server streams WAL to; `kind`: hot-standby or wal-streamer.

    What is `_behind` is in bytes, what is `_lag` in seconds.
    """

    kind: str
    pid: int
    application_name: str
    user: str | None
    address: str | None
    state: str | None
    sync_state: str | None
    slot_name: str | None
    since: datetime | None
    sent_lsn: str | None
    write_lsn: str | None
    flush_lsn: str | None
    replay_lsn: str | None
    sent_behind: int | None
    write_behind: int | None
    flush_behind: int | None
    replay_behind: int | None
    write_lag: float | None
    flush_lag: float | None
    replay_lag: float | None


class ReplicationReply(Reply, frozen=True, kw_only=True):
    server: str
    target: str
    minimal: bool
    current_lsn: str | None
    replicas: list[ReplicaView]


class AskReplication(Request, frozen=True, kw_only=True):
    """`source`: the server that is backed up, or the one that WAL comes from. `minimal` is for
    people: a line for each.
    """

    method = "replication-status"
    is_look = True
    result = ReplicationReply
    server: ServerName
    target: Literal["all", "hot-standby", "wal-streamer"] = "all"
    source: Literal["backup-host", "wal-host"] = "backup-host"
    minimal: bool = False


StreamRequest = ReceiveWal | SwitchWal | CheckWalArchive | AskReplication
