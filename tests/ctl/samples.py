"""One of each shape on the wire, filled as a daemon would."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from barmand.wire.check_messages import CheckReply, FindingView, MeasureView, ServerCheck
from barmand.wire.messages import (
    BackupNote,
    BackupView,
    DaemonStatus,
    ErrorView,
    LevelWord,
    ProgressNote,
    ProgressView,
    ReceiverView,
    ServerStatus,
    ServerView,
    TablespaceView,
)
from barmand.wire.stream_messages import ReceiveWalReply, ReplicationReply, ReplicaView, SlotView

GIB = 1 << 30
ID = "20260116T020500"


def at(minute: int) -> datetime:
    return datetime(2026, 1, 16, 1, minute, 0, tzinfo=UTC)


FULL_DISK = ErrorView(
    code="StorageFailed",
    exit_code=8,
    message="cannot write base/16384",
    hint="No space left on device.\nFree some.",
)
COPYING = ProgressView(
    phase="copying",
    bytes_done=GIB,
    bytes_total=4 * GIB,
    bytes_per_second=120.0 * (1 << 20),
    seconds_left=25.6,
)

_DONE = BackupView(
    server="main",
    backup_id=ID,
    name=None,
    status="DONE",
    method="postgres",
    requester="uid 0 (root)",
    queued_at=at(5),
    started_at=at(5),
    begin_time=at(5),
    end_time=at(9),
    copied_at=at(9),
    ended_at=at(10),
    begin_lsn="0/2000028",
    end_lsn="0/2000100",
    begin_wal="000000010000000000000002",
    end_wal="000000010000000000000002",
    timeline=1,
    size_bytes=4 * GIB,
    deduplicated_size_bytes=4 * GIB,
    cluster_size_bytes=4 * GIB,
    wal_segment_size_bytes=16 << 20,
    copy_seconds=184.0,
    system_id="7400000000000000001",
    postgres_version=150020,
    postgres_release="15.20",
    pgdata="/var/lib/postgresql/15/main",
    data_checksums="on",
    tablespaces=[TablespaceView(name="fast", oid=16385, location="/srv/fast")],
    parent_backup_id=None,
    keep=None,
    keep_reason=None,
    keep_until=None,
    retention="VALID",
    retention_why="is one of the newest 2",
    is_on_disk=True,
    missing_wals=[],
    missing_wal_count=0,
    wal_gaps=[],
    hook_troubles=[],
    damages=[],
    verification=None,
    progress=None,
    error=None,
)


def backup(**changes: Any) -> BackupView:
    return msgspec.structs.replace(_DONE, **changes)


def queued(**changes: Any) -> BackupView:
    known = {"server", "backup_id", "name", "status", "method", "queued_at", "tablespaces"}
    unknown = dict.fromkeys(set(BackupView.__struct_fields__) - known)
    empty: dict[str, Any] = {"tablespaces": [], "damages": [], "wal_gaps": []}
    return backup(**{**unknown, **empty, "status": "QUEUED", **changes})


def waiting(missing: int = 1) -> BackupView:
    names = [f"0000000100000000000000{number:02X}" for number in range(2, 2 + missing)]
    return backup(
        status="WAITING_FOR_WALS", ended_at=None, missing_wals=names, missing_wal_count=missing
    )


def failed(**changes: Any) -> BackupView:
    return queued(**{"status": "FAILED", "ended_at": at(6), "error": FULL_DISK, **changes})


def becomes(view: BackupView) -> BackupNote:
    return BackupNote(backup=view)


def progress(view: ProgressView = COPYING, **changes: Any) -> ProgressNote:
    return ProgressNote(
        server="main", backup_id=ID, progress=msgspec.structs.replace(view, **changes)
    )


def server(**changes: Any) -> ServerView:
    view = ServerView(
        server="main",
        description="the shop",
        state="active",
        problems=[],
        method="postgres",
        backup_directory="/var/lib/barmand/main",
        conninfo="host=db",
        backup_schedule="0 2 * * *",
    )
    return msgspec.structs.replace(view, **changes)


DAEMON = DaemonStatus(
    version="0.1.0",
    protocol=1,
    pid=42,
    started_at=at(0),
    config_file="/etc/barmand.ini",
    config_problems=[],
    config_warnings=[],
)


def server_status(**changes: Any) -> ServerStatus:
    status = ServerStatus(
        server="main",
        state="active",
        problems=[],
        active_backup=None,
        last_backup=backup(),
        waiting_backups=[],
        failed_backups=1,
        done_backups=7,
        receiver=ReceiverView(
            state="streaming",
            slot_name="barman",
            restarts=0,
            next_attempt_seconds=None,
            last_error=None,
        ),
        last_archived_wal="000000010000000000000009",
        last_archived_at=at(30),
        archived_wals=9,
        archived_wal_bytes=9 << 24,
        wals_last_hour=2,
        wal_bytes_last_hour=2 << 24,
        wals_last_day=8,
        wal_bytes_last_day=8 << 24,
        waiting_wals=1,
        set_aside=2,
        wal_gaps=[],
        hooks_running=[],
        hook_troubles=[],
        next_scheduled_backup=at(59),
    )
    return msgspec.structs.replace(status, **changes)


def finding(
    name: str = "wal_level",
    level: LevelWord = "FAILED",
    hint: str = "set it to replica",
    measure: MeasureView | None = None,
) -> FindingView:
    return FindingView(
        name=name,
        level=level,
        ok=level == "OK",
        keeps_from_backup=level == "FAILED",
        hint=hint,
        measure=measure,
    )


def server_check(*findings: FindingView, server: str = "main") -> ServerCheck:
    levels = [each.level for each in findings]
    level: LevelWord = "FAILED" if "FAILED" in levels else "OK"
    if "FAILED" not in levels and "WARNING" in levels:
        level = "WARNING"
    return ServerCheck(
        server=server, ok=level != "FAILED", level=level, findings=list(findings), seconds=0.25
    )


def check() -> CheckReply:
    return CheckReply(servers=[server_check(finding())], daemon=[], seconds=0.5)


def receive_wal(**changes: Any) -> ReceiveWalReply:
    reply = ReceiveWalReply(
        server="main",
        action="show",
        changed=False,
        receiver=ReceiverView(
            state="streaming",
            slot_name="barman",
            restarts=2,
            next_attempt_seconds=None,
            last_error=None,
        ),
        slot=SlotView(
            name="barman",
            exists=True,
            active=True,
            wal_status="reserved",
            restart_lsn="0/3000000",
            held_bytes=16 << 20,
            safe_bytes=None,
        ),
        problem=None,
    )
    return msgspec.structs.replace(reply, **changes)


def replication(**changes: Any) -> ReplicationReply:
    streamer = ReplicaView(
        kind="wal-streamer",
        pid=4711,
        application_name="barman_receive_wal",
        user="barman",
        address=None,
        state="streaming",
        sync_state="async",
        slot_name="barman",
        since=at(0),
        sent_lsn="0/3000060",
        write_lsn="0/3000060",
        flush_lsn="0/3000000",
        replay_lsn=None,
        sent_behind=0,
        write_behind=0,
        flush_behind=96,
        replay_behind=None,
        write_lag=None,
        flush_lag=2.5,
        replay_lag=None,
    )
    reply = ReplicationReply(
        server="main",
        target="all",
        minimal=False,
        current_lsn="0/3000060",
        replicas=[streamer],
    )
    return msgspec.structs.replace(reply, **changes)
