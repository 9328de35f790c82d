"""Requests, notifications and results: every shape that crosses the control socket.

The protocol is JSON-RPC 2.0, one message a line. A request's `params` is one of the `Request`
classes, by its method's name; a result is one of the `Reply` classes. `barmanctl -f json` prints a
result as it is, so these are its documented shapes too; `format` counts their versions. This file
is long because it is a table: each shape once, and all of them side by side.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

PROTOCOL_VERSION = 1
FORMAT_VERSION = 1

ServerName = Annotated[str, Meta(min_length=1, max_length=255)]
FolderName = Annotated[str, Meta(min_length=1, max_length=4096)]
SpaceName = Annotated[str, Meta(min_length=1, max_length=255)]
BackupWord = Annotated[str, Meta(min_length=1, max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Jobs = Annotated[int, Meta(ge=1, le=1000)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]


# ------------------------------------------------------------------------------------- requests
class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`method` is its name on the wire; `is_look` marks what members of monitor_group may ask.

    `takes_file`: one open file comes along with it (SCM_RIGHTS).
    """

    method: ClassVar[str]
    is_look: ClassVar[bool] = False
    takes_file: ClassVar[bool] = False
    result: ClassVar[type["Reply"]]


class Reply(Struct, frozen=True, kw_only=True):
    format: int = FORMAT_VERSION


class ErrorView(Struct, frozen=True, kw_only=True):
    """Why something failed: `code` is the class of failure, `exit_code` its number."""

    code: str
    exit_code: int
    message: str
    hint: str | None = None


class Problem(Struct, frozen=True, kw_only=True):
    server: str
    error: ErrorView


class QueuedView(Struct, frozen=True, kw_only=True):
    """`position` of `count` backups in the queue, and why it is not begun yet."""

    position: int
    count: int
    waits_for: str


class ProgressView(Struct, frozen=True, kw_only=True):
    """`bytes_total` is PostgreSQL's estimate; rate and rest are null until known.

    `queued` while the backup waits in the queue.
    """

    phase: str
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    queued: QueuedView | None = None


class TablespaceView(Struct, frozen=True, kw_only=True):
    name: str
    oid: int
    location: str


class DamageView(Struct, frozen=True, kw_only=True):
    """Bad pages in the cluster itself, found by the copy: blocks of a file of PGDATA."""

    path: str
    blocks: list[int]


class FlawView(Struct, frozen=True, kw_only=True):
    """What is wrong with one file of a backup; `blocks` where it is known which."""

    file: str
    what: str
    blocks: list[int]


class VerificationView(Struct, frozen=True, kw_only=True):
    """What a look through a whole backup came to; `verdict`: whole, incomplete or damaged.

    `flaws` names at most 1,000 (100 where it is shown with its backup); `flaw_count` counts all.
    """

    verified_at: datetime
    verdict: str
    flaw_count: int
    flaws: list[FlawView]
    notes: list[str]
    """What could not be proved, and how it was looked at."""
    bytes_read: int
    seconds: float


class GapView(Struct, frozen=True, kw_only=True):
    """Missing WAL; `state`: open, acknowledged, healed or obsolete (nothing older is kept)."""

    id: int
    state: str
    timeline: int
    first_wal: str
    last_wal: str
    first_lsn: str
    """Where the missing WAL begins, and the first byte behind it."""
    end_lsn: str
    segments: int
    why: str
    found_at: datetime
    changed_at: datetime
    acknowledged_by: str | None
    reason: str | None


class BackupView(Struct, frozen=True, kw_only=True):
    """One backup. `missing_wals` names at most 1,000 segments; `missing_wal_count` counts all."""

    server: str
    backup_id: str
    name: str | None
    status: str
    method: str
    requester: str | None
    queued_at: datetime
    started_at: datetime | None
    begin_time: datetime | None
    end_time: datetime | None
    copied_at: datetime | None
    ended_at: datetime | None
    begin_lsn: str | None
    end_lsn: str | None
    begin_wal: str | None
    end_wal: str | None
    timeline: int | None
    size_bytes: int | None
    deduplicated_size_bytes: int | None
    cluster_size_bytes: int | None
    wal_segment_size_bytes: int | None
    copy_seconds: float | None
    system_id: str | None
    postgres_version: int | None
    """`server_version_num`, as 150018."""
    postgres_release: str | None
    """The same in PostgreSQL's own words, as 15.18."""
    pgdata: str | None
    data_checksums: str | None
    tablespaces: list[TablespaceView]
    parent_backup_id: str | None
    keep: str | None
    """Barman's mark: full or standalone; null where there is none, and while a backup is followed.
    """
    keep_reason: str | None
    keep_until: datetime | None
    retention: str | None
    """Barman's word: VALID, OBSOLETE, OBSOLETE*, KEEP:FULL, KEEP:STANDALONE or -; null where it is
    not judged, as while a backup is followed. `retention` the command tells why.
    """
    retention_why: str | None
    is_on_disk: bool | None
    """False where its copy is gone; null while it is followed."""
    missing_wals: list[str] | None
    missing_wal_count: int | None
    wal_gaps: list[GapView]
    """Missing WAL that a replay of this backup would come to."""
    damages: list[DamageView]
    hook_troubles: list[str] | None
    """A line for each hook that did not go well; null in a list of backups."""
    verification: VerificationView | None
    """The last one; null for a backup that was never verified."""
    progress: ProgressView | None
    error: ErrorView | None


class Pong(Reply, frozen=True, kw_only=True):
    version: str
    protocol: int
    pid: int


class Ping(Request, frozen=True, kw_only=True):
    method = "ping"
    is_look = True
    result = Pong


class ReceiverView(Struct, frozen=True, kw_only=True):
    """`state`: streaming, starting, pausing or stopped; `next_attempt_seconds` while pausing."""

    state: str
    slot_name: str | None
    restarts: int
    next_attempt_seconds: float | None
    last_error: str | None


class ServerView(Struct, frozen=True, kw_only=True):
    """One server; `state`: active, inactive (by its settings), broken (see `problems`), leaving
    (not served any more once its backups have ended) or unconfigured.
    """

    server: str
    description: str | None
    state: str
    problems: list[str]
    method: str | None
    backup_directory: str | None
    conninfo: str | None
    backup_schedule: str | None


LevelWord = Literal["OK", "WARNING", "FAILED"]


class LastCheckView(Struct, frozen=True, kw_only=True):
    """What the last check of a server found, whoever asked for it; names of findings."""

    level: LevelWord
    at: datetime
    failed: list[str]
    warnings: list[str]


class ServerStatus(Struct, frozen=True, kw_only=True):
    server: str
    state: str
    problems: list[str]
    active_backup: BackupView | None
    last_backup: BackupView | None
    waiting_backups: list[str]
    failed_backups: int
    done_backups: int
    receiver: ReceiverView | None
    last_archived_wal: str | None
    last_archived_at: datetime | None
    archived_wals: int
    archived_wal_bytes: int
    wals_last_hour: int
    """Since the beginning of the hour before this one, as are the bytes."""
    wal_bytes_last_hour: int
    wals_last_day: int
    wal_bytes_last_day: int
    waiting_wals: int | None
    """Files that have arrived and are not archived yet; null where that cannot be told."""
    set_aside: int | None
    """Files in errors/; null where that cannot be told."""
    wal_gaps: list[GapView]
    hooks_running: list[str]
    hook_troubles: list[str]
    """A line for each hook that did not go well when it was run last."""
    next_scheduled_backup: datetime | None
    last_check: LastCheckView | None = None
    """Null before the first one since the daemon's start."""


class DaemonStatus(Struct, frozen=True, kw_only=True):
    version: str
    protocol: int
    pid: int
    started_at: datetime
    config_file: str
    config_problems: list[str]
    config_warnings: list[str]


class StatusReply(Reply, frozen=True, kw_only=True):
    daemon: DaemonStatus
    servers: list[ServerStatus]


class AskStatus(Request, frozen=True, kw_only=True):
    method = "status"
    is_look = True
    result = StatusReply
    servers: list[ServerName] = field(default_factory=list)


class BackupsReply(Reply, frozen=True, kw_only=True):
    """What `backup` came to: `exit_code` is what barmanctl ends with."""

    backups: list[BackupView]
    problems: list[Problem]
    exit_code: int = 0


class StartBackup(Request, frozen=True, kw_only=True):
    """Take base backups, as many side by side as the limits allow. `follow`: until when replies
    come. `wait_timeout`: of the wait for WAL, from the end of the copy on.
    """

    method = "backup"
    result = BackupsReply
    servers: Annotated[list[ServerName], Meta(min_length=1, max_length=10_000)]
    follow: Literal["queued", "copied", "done"] = "copied"
    wait_timeout: Seconds | None = None
    name: Annotated[str, Meta(max_length=1024)] | None = None
    immediate_checkpoint: bool | None = None
    retry_times: Count | None = None
    retry_sleep: Seconds | None = None
    bwlimit: Count | None = None
    reuse_backup: Literal["off", "copy", "link"] | None = None
    jobs: Jobs | None = None
    jobs_start_batch_size: Jobs | None = None
    jobs_start_batch_period: PositiveSeconds | None = None
    manifest: bool | None = None
    manifest_checksums: Literal["crc32c", "sha256"] | None = None
    keepalive_interval: Count | None = None
    check_timeout: Count | None = None
    incremental: BackupWord | None = None


class BackupReply(Reply, frozen=True, kw_only=True):
    """`exit_code`: of `check-backup`, 5 while the backup is not safe yet."""

    backup: BackupView
    exit_code: int = 0


class Cancel(Request, frozen=True, kw_only=True):
    """Stop the server's active backup, or the one named."""

    method = "cancel"
    result = BackupReply
    server: ServerName
    backup: BackupWord | None = None


class BackupListReply(Reply, frozen=True, kw_only=True):
    backups: list[BackupView]


class ListBackups(Request, frozen=True, kw_only=True):
    """Newest first; no server means all."""

    method = "list-backups"
    is_look = True
    result = BackupListReply
    servers: list[ServerName] = field(default_factory=list)


class ShowBackup(Request, frozen=True, kw_only=True):
    method = "show-backup"
    is_look = True
    result = BackupReply
    server: ServerName
    backup: BackupWord


class CheckBackup(Request, frozen=True, kw_only=True):
    """Look for the backup's segments now; makes it DONE when all are there."""

    method = "check-backup"
    result = BackupReply
    server: ServerName
    backup: BackupWord


class DeletedReply(Reply, frozen=True, kw_only=True):
    server: str
    backup_id: str
    removed_wals: int


class Delete(Request, frozen=True, kw_only=True):
    method = "delete"
    result = DeletedReply
    server: ServerName
    backup: BackupWord


class RestoredReply(Reply, frozen=True, kw_only=True):
    server: str
    backup_id: str
    destination: str
    target: str
    size_bytes: int
    wal_segments: int
    seconds: float


class Restore(Request, frozen=True, kw_only=True):
    """`tablespaces` maps a tablespace's name, or its OID, to the folder that it shall have.

    A backup that a verification found damaged is refused, unless `accept_damage`.
    """

    method = "restore"
    result = RestoredReply
    server: ServerName
    backup: BackupWord
    destination: FolderName
    target_immediate: bool = False
    accept_damage: bool = False
    tablespaces: dict[SpaceName, FolderName] = field(default_factory=dict)


class ServersReply(Reply, frozen=True, kw_only=True):
    servers: list[ServerView]


class ListServers(Request, frozen=True, kw_only=True):
    method = "list-servers"
    is_look = True
    result = ServersReply


class ServerFacts(Struct, frozen=True, kw_only=True):
    """What PostgreSQL tells of itself at this moment; null is what it did not tell."""

    postgres_version: int
    postgres_release: str
    is_standby: bool
    current_lsn: str | None
    current_wal: str | None
    timeline: int | None
    system_id: str | None
    data_directory: str | None
    config_file: str | None
    hba_file: str | None
    ident_file: str | None
    cluster_size_bytes: int | None
    wal_segment_size_bytes: int | None
    data_checksums: str | None
    tablespaces: list[TablespaceView]
    wal_level: str
    archive_mode: str
    archiving_fails: bool
    role: str
    reads_settings: bool
    switches_wal: bool
    starts_backups: bool
    problems: list[str]


class ServerDetails(Struct, frozen=True, kw_only=True):
    """`settings` has every option in force, passwords masked.

    `facts` is null where PostgreSQL was not asked or did not answer; then `facts_problem` says why.
    """

    server: str
    state: str
    problems: list[str]
    settings: dict[str, Any]
    system_id: str | None
    backup_directory: str | None
    done_backups: int
    last_archived_wal: str | None
    facts: ServerFacts | None
    facts_problem: str | None


class ServerDetailsReply(Reply, frozen=True, kw_only=True):
    servers: list[ServerDetails]


class ShowServers(Request, frozen=True, kw_only=True):
    method = "show-servers"
    is_look = True
    result = ServerDetailsReply
    live: bool = True
    """Ask PostgreSQL too."""
    servers: Annotated[list[ServerName], Meta(min_length=1, max_length=10_000)]


class OptionChangeView(Struct, frozen=True, kw_only=True):
    """Values as they are written, secrets masked; an empty one is none."""

    option: str
    before: str
    after: str
    counts_from_next_start: bool


class ServerChangeView(Struct, frozen=True, kw_only=True):
    """`became`: added, removed, changed, put aside, or back in service.

    `unfinished_backups` are served to their end, although the server is not served any more;
    `backups_left` of one that was removed stay on disk.
    """

    server: str
    became: str
    options: list[OptionChangeView]
    problems: list[str]
    unfinished_backups: list[str]
    backups_left: int = 0


class ReloadReply(Reply, frozen=True, kw_only=True):
    """`changes` has the servers that changed; `unchanged` counts the others.

    `exit_code`: 9 while a server is broken; the others are served by what was read.
    """

    exit_code: int = 0
    servers: list[str]
    broken: list[str]
    problems: list[str]
    warnings: list[str]
    changes: list[ServerChangeView]
    daemon_changes: list[OptionChangeView]
    unchanged: int


class Reload(Request, frozen=True, kw_only=True):
    method = "reload"
    result = ReloadReply


# -------------------------------------------------------------------------------- notifications
class Note(Struct, frozen=True, kw_only=True):
    """Comes before the result of a long request; `method` is its name on the wire."""

    method: ClassVar[str]


class ProgressNote(Note, frozen=True, kw_only=True):
    method = "progress"
    server: str
    backup_id: str
    progress: ProgressView


class BackupNote(Note, frozen=True, kw_only=True):
    """A backup changed its status."""

    method = "backup"
    backup: BackupView


class ProblemNote(Note, frozen=True, kw_only=True):
    """One of several servers cannot be served; the rest go on."""

    method = "problem"
    server: str
    error: ErrorView


class WarningNote(Note, frozen=True, kw_only=True):
    method = "warning"
    server: str | None
    message: str


class FilesNote(Note, frozen=True, kw_only=True):
    """A part of a list of files that may be long; the parts come in order."""

    method = "files"
    server: str
    backup_id: str
    paths: list[str]


class VerificationNote(Note, frozen=True, kw_only=True):
    """One of several backups is verified."""

    method = "verification"
    server: str
    backup_id: str
    verification: VerificationView


AnyNote = ProgressNote | BackupNote | ProblemNote | WarningNote | FilesNote | VerificationNote
NOTES: tuple[type[AnyNote], ...] = AnyNote.__args__
