"""Every setting, once: name, type, default, meaning.

A field is the option: its name is the INI key, its annotation picks the reader, its default is the
default, its documentation is beside it. Nothing else to edit to add an option. This file is long
because it is a table: the options we carry, and Barman's that we do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

from barmand.model.compression import (
    HIGHEST_LEVEL,
    LOWEST_LEVEL,
    MAX_WORKERS,
    Algorithm,
    Format,
    Location,
)
from barmand.model.masking import without_secrets
from barmand.model.order import Checksums, Reuse
from barmand.model.packing import Effort, Level, Packer
from barmand.settings.schedule_lines import ScheduleLines
from barmand.settings.values import (
    FALSE,
    LEVEL,
    TRUE,
    ApplicationName,
    Bandwidth,
    Bytes,
    Connection,
    Flag,
    Folder,
    Folders,
    GroupName,
    Kind,
    Retention,
    Seconds,
    Size,
    SlotName,
    SocketPath,
    Span,
    TablespaceLimits,
    Text,
    choice,
    seconds,
    whole,
)

# The second overrides the first.
GLOBAL_SECTIONS = ("barman", "barmand")


_SLOT_WAL = Bytes(16 << 30)


@dataclass(frozen=True, slots=True)
class Doc:
    """What an option means; `is_server_only` if the global section cannot give it a default."""

    text: str
    is_server_only: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """A default made of other options, of those above it and of the server's name."""

    template: str

    def text(self, known: Mapping[str, str]) -> str | None:
        """None while something it is made of is missing: that is then the problem to tell."""
        try:
            return self.template.format_map(known)
        except KeyError:
            return None


_UNTIL_AGREED = Doc("The same, but tried again until it says 0 or 62; 63 forbids it.")
_UNTIL_HEARD = Doc("The same, but tried again until it says 0 or 62.")


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class BackupMethod(StrEnum):
    """Barman's methods and, ours, `local`; `snapshot` is not carried."""

    RSYNC = "rsync"
    LOCAL_RSYNC = "local-rsync"
    LOCAL = "local"
    POSTGRES = "postgres"
    SNAPSHOT = "snapshot"


class WalRetention(StrEnum):
    """Barman's one word for it."""

    MAIN = "main"


class RetentionMode(StrEnum):
    """Barman's one word for it."""

    AUTO = "auto"


class CreateSlot(StrEnum):
    MANUAL = "manual"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """[barmand], or Barman's [barman]."""

    barman_home: Annotated[Folder, Doc("Where backups and WAL of every server lie.")]
    configuration_files_directory: Annotated[
        Folder | None,
        Doc("Every *.conf in this folder is read as well, for more servers."),
    ] = None
    log_level: Annotated[
        LogLevel, choice(LogLevel), Doc("Messages below this level are not written.")
    ] = LogLevel.INFO
    state_directory: Annotated[
        Folder,
        Doc(
            "barmand only: where the catalogue's database lies, on a local disk, apart from the "
            "directories of servers."
        ),
    ] = Path("/var/lib/barmand")
    control_socket: Annotated[
        SocketPath, Doc("barmand only: where barmanctl finds the daemon.")
    ] = Path("/run/barmand/barmand.sock")
    control_group: Annotated[
        GroupName | None,
        Doc(
            "barmand only: members of this group may give every command. None: only root "
            "and the daemon's own user may."
        ),
    ] = None
    monitor_group: Annotated[
        GroupName | None,
        Doc("barmand only: members of this group may ask, but change nothing."),
    ] = None
    max_parallel_backups: Annotated[
        int,
        whole(1, 1000),
        Doc("barmand only: how many servers are backed up at the same time; the rest queue."),
    ] = 4
    check_interval: Annotated[
        int,
        whole(0, 86_400, "seconds"),
        Doc(
            "barmand only: how often every active server is checked; a change is an event and a "
            "line in the log. 0 is never."
        ),
    ] = 900
    max_parallel_backups_per_host: Annotated[
        int,
        whole(0, 1000),
        Doc("barmand only: as above, of the servers on one database host; 0 is no limit."),
    ] = 0
    wal_poll_interval: Annotated[
        int,
        seconds(1),
        Doc(
            "barmand only: how often incoming WAL is looked for. File-system events tell at "
            "once; this is the safety net behind them."
        ),
    ] = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One section per server; what the global section may give is inherited from there."""

    name: str
    active: Annotated[
        Flag, Doc("Off for maintenance: nothing is done for this server.", is_server_only=True)
    ] = True
    description: Annotated[Text | None, Doc("A line for people to read.", is_server_only=True)] = (
        None
    )

    conninfo: Annotated[
        Connection,
        Doc(
            "How to connect to PostgreSQL. A password is better kept in a pgpass file.",
            is_server_only=True,
        ),
    ]
    streaming_conninfo: Annotated[
        Connection,
        Derived("{conninfo}"),
        Doc(
            "How to connect for replication: the base backup and the WAL stream.",
            is_server_only=True,
        ),
    ]
    wal_conninfo: Annotated[
        Connection | None,
        Doc(
            "How to connect to the server that WAL comes from, if it is another one.",
            is_server_only=True,
        ),
    ] = None
    wal_streaming_conninfo: Annotated[
        Connection | None,
        Doc(
            "How to connect for replication to the server that WAL comes from, if it is "
            "another one.",
            is_server_only=True,
        ),
    ] = None
    primary_conninfo: Annotated[
        Connection | None,
        Doc(
            "How to connect to the primary when conninfo points to a standby: there, WAL "
            "segments can be closed.",
            is_server_only=True,
        ),
    ] = None
    path_prefix: Annotated[
        Folders, Doc("Where PostgreSQL's programs are looked for, before PATH.")
    ] = ()

    backup_method: Annotated[
        BackupMethod,
        choice(BackupMethod),
        Doc(
            "How a base backup is copied: postgres (pg_basebackup), rsync (over ssh), "
            "local-rsync, or local (barmand only: the kernel copies, for a daemon on the "
            "database's machine). snapshot is not carried."
        ),
    ] = BackupMethod.RSYNC
    ssh_command: Annotated[
        Text | None,
        Doc(
            "How rsync reaches the database's machine, such as: ssh postgres@db1. Its host key "
            "must be known.",
            is_server_only=True,
        ),
    ] = None
    database_host: Annotated[
        Text | None,
        Doc(
            "barmand only: the machine that max_parallel_backups_per_host counts this server to; "
            "any word. None: the host of ssh_command with rsync, else that of conninfo.",
            is_server_only=True,
        ),
    ] = None
    reuse_backup: Annotated[
        Reuse,
        choice(Reuse),
        Doc(
            "What becomes of files that did not change since the last backup, with the file "
            "methods: copied anew, copied here, or linked. With local, copy is as off: the "
            "cluster's disk is as near as the backup's."
        ),
    ] = Reuse.OFF
    autogenerate_manifest: Annotated[
        Flag, Doc("Write a backup_manifest with the file methods; pg_basebackup always does.")
    ] = False
    manifest_checksums: Annotated[
        Checksums,
        choice(Checksums),
        Doc(
            "How a backup_manifest sums its files, pg_basebackup's too (barmand only): crc32c is "
            "fast and finds accidents, sha256 takes a core several times longer and also finds "
            "what was changed on purpose."
        ),
    ] = Checksums.CRC32C
    network_compression: Annotated[Flag, Doc("Compress what rsync sends over ssh.")] = False
    backup_compression: Annotated[
        Algorithm | None,
        choice(Algorithm),
        Doc(
            "How pg_basebackup packs a base backup, with backup_method = postgres; with none, "
            "archives that are not compressed. Without a value, plain files."
        ),
    ] = None
    backup_compression_format: Annotated[
        Format,
        choice(Format),
        Doc(
            "What lies on disk: tar archives, or plain files; then only what the server sends "
            "is compressed."
        ),
    ] = Format.TAR
    backup_compression_level: Annotated[
        int | None,
        whole(LOWEST_LEVEL, HIGHEST_LEVEL),
        Doc("gzip has 1 to 9, lz4 1 to 12, zstd -131072 to 22; without a value, the packer's own."),
    ] = None
    backup_compression_location: Annotated[
        Location,
        choice(Location),
        Doc("Who compresses: pg_basebackup here, or PostgreSQL (15 and later) before it sends."),
    ] = Location.CLIENT
    backup_compression_workers: Annotated[
        int | None, whole(0, MAX_WORKERS), Doc("Threads that compress, with zstd.")
    ] = None
    backup_schedule: Annotated[
        ScheduleLines,
        Doc(
            "barmand only: when to take a backup without being asked, such as 0 2 * * * or "
            "@daily; then perhaps zone=Europe/Rome, jitter=10m, and options of this backup such "
            "as reuse_backup=link or name=nightly. Without a value: only when asked."
        ),
    ] = ()
    backup_schedule_grace: Annotated[
        Span,
        Doc(
            "barmand only: scheduled backups missed while the daemon was down are made up for "
            "by one, if the last of them was due no longer ago than this."
        ),
    ] = timedelta(hours=12)
    immediate_checkpoint: Annotated[
        Flag, Doc("Start a backup with a fast checkpoint: sooner, but with a burst of writes.")
    ] = False
    bandwidth_limit: Annotated[Bandwidth, Doc("The most a base backup takes from the network.")] = (
        None
    )
    parallel_jobs: Annotated[
        int, whole(1, 1000), Doc("Copies side by side; pg_basebackup is always one stream.")
    ] = 1
    parallel_jobs_start_batch_size: Annotated[
        int,
        whole(1, 1000),
        Doc("At most so many workers (rsync processes, or threads of local) start in one period."),
    ] = 10
    parallel_jobs_start_batch_period: Annotated[
        int, seconds(1), Doc("How long that period is.")
    ] = 1
    tablespace_bandwidth_limit: Annotated[
        TablespaceLimits,
        Doc(
            "The most that single tablespaces take, within bandwidth_limit, with the file methods."
        ),
    ] = ()
    basebackup_retry_times: Annotated[
        int, whole(0, 1000), Doc("How often a failed copy is tried again.")
    ] = 0
    basebackup_retry_sleep: Annotated[Seconds, Doc("The pause before a copy's next try.")] = 30
    keepalive_interval: Annotated[
        Seconds,
        Doc(
            "How often an idle connection is kept awake during a backup; 0 is never.",
            is_server_only=True,
        ),
    ] = 60
    check_timeout: Annotated[
        Seconds,
        Doc(
            "How long a check waits for one thing (PostgreSQL, the disk, ssh ...), all at the "
            "same time; 0 is without end."
        ),
    ] = 30
    minimum_redundancy: Annotated[
        int, whole(0, 1_000_000), Doc("Backups that deletion must leave.")
    ] = 0
    retention_policy: Annotated[
        Retention | None,
        Doc(
            "Which backups stay: the newest n, or those from which every moment of the last days, "
            "weeks or months (31 days) can be recovered. The others go by themselves. None: all "
            "stay."
        ),
    ] = None
    retention_policy_mode: Annotated[
        RetentionMode,
        choice(RetentionMode),
        Doc("With auto, the only one there is, barmand carries the policy out by itself."),
    ] = RetentionMode.AUTO
    failed_backup_maximum_age: Annotated[
        Span | None,
        Doc(
            "barmand only: a backup that failed is deleted after this time, with or without a "
            "policy; the last one stays until another is DONE. Without a value, never."
        ),
    ] = timedelta(days=30)

    max_incoming_wals_queue: Annotated[
        Annotated[int, whole(0, 1_000_000)] | None,
        Doc("The check fails with more WAL files than this waiting to be archived."),
    ] = None
    last_wal_maximum_age: Annotated[
        Span | None, Doc("The check fails when the last archived WAL is older than this.")
    ] = None
    last_backup_maximum_age: Annotated[
        Span | None, Doc("The check fails when the last backup that is DONE began longer ago.")
    ] = None
    last_backup_minimum_size: Annotated[
        Size | None, Doc("The check fails when the last backup that is DONE is smaller.")
    ] = None
    waiting_backup_maximum_age: Annotated[
        Span,
        Doc("barmand only: the check fails when a backup waits for its WAL longer than this."),
    ] = timedelta(days=1)
    clock_maximum_skew: Annotated[
        Span,
        Doc("barmand only: the check warns when the server's clock is further from ours."),
    ] = timedelta(seconds=30)
    slot_maximum_wal: Annotated[
        Size,
        Doc(
            "barmand only: the check fails when our slot makes the server keep four fifths of "
            "this, and warns at half of it; its own max_slot_wal_keep_size counts instead where "
            "it is set."
        ),
    ] = _SLOT_WAL
    wal_retention_policy: Annotated[
        WalRetention,
        choice(WalRetention),
        Doc(
            "Which WAL stays: with main, the only one there is, what a backup needs that stays "
            "itself, and all behind the newest. The rest goes by itself."
        ),
    ] = WalRetention.MAIN
    worm_mode: Annotated[
        Flag,
        Doc(
            "For storage that refuses removals for a time: WAL is not removed by itself then, "
            "only with a backup that is deleted."
        ),
    ] = False

    archiver: Annotated[
        Flag, Doc("PostgreSQL's archive_command brings WAL. On if both archivers are off.")
    ] = False
    streaming_archiver: Annotated[Flag, Doc("barmand fetches WAL with pg_receivewal.")] = False
    streaming_archiver_name: Annotated[
        ApplicationName, Doc("The application_name of the WAL stream.")
    ] = "barman_receive_wal"
    streaming_backup_name: Annotated[
        ApplicationName, Doc("The application_name of a base backup's connection.")
    ] = "barman_streaming_backup"
    slot_name: Annotated[
        SlotName | None,
        Doc("The replication slot that makes PostgreSQL keep WAL until it has been received."),
    ] = None
    create_slot: Annotated[
        CreateSlot, choice(CreateSlot), Doc("With auto, a missing slot is made.")
    ] = CreateSlot.MANUAL

    compression: Annotated[
        Packer | None,
        choice(Packer),
        Doc(
            "How archived WAL is packed; what arrives packed stays as it is. pigz, pygzip and "
            "pybzip2 are other words for gzip and bzip2; custom is not carried."
        ),
    ] = Packer.NONE
    compression_level: Annotated[
        Level,
        LEVEL,
        Doc("gzip, bzip2 and xz have 1 to 9, zstd -22 to 22, lz4 0 to 16; snappy has none."),
    ] = Effort.MEDIUM
    archiver_batch_size: Annotated[
        int, whole(0, 1_000_000), Doc("How many pushed files one pass archives; 0 is all.")
    ] = 0
    streaming_archiver_batch_size: Annotated[
        int, whole(0, 1_000_000), Doc("How many streamed files one pass archives; 0 is all.")
    ] = 0

    backup_directory: Annotated[
        Folder,
        Derived("{barman_home}/{name}"),
        Doc(
            "Where everything of this server lies, unless one of the next five says otherwise. "
            "None of those may lie in another, or another server's, wherever links lead; nothing "
            "may lie in the cluster's data directory or tablespaces.",
            is_server_only=True,
        ),
    ]
    basebackups_directory: Annotated[
        Folder, Derived("{backup_directory}/base"), Doc("Base backups.", is_server_only=True)
    ]
    wals_directory: Annotated[
        Folder, Derived("{backup_directory}/wals"), Doc("The WAL archive.", is_server_only=True)
    ]
    incoming_wals_directory: Annotated[
        Folder,
        Derived("{backup_directory}/incoming"),
        Doc("Where archive_command leaves WAL.", is_server_only=True),
    ]
    streaming_wals_directory: Annotated[
        Folder,
        Derived("{backup_directory}/streaming"),
        Doc("Where pg_receivewal writes.", is_server_only=True),
    ]
    errors_directory: Annotated[
        Folder,
        Derived("{backup_directory}/errors"),
        Doc("Files that are no WAL, or not the same WAL twice.", is_server_only=True),
    ]

    # Hooks: commands for /bin/sh. See docs/hooks.md.
    pre_backup_script: Annotated[
        Text | None,
        Doc("Run before a backup is copied."),
    ] = None
    pre_backup_retry_script: Annotated[Text | None, _UNTIL_AGREED] = None
    post_backup_script: Annotated[Text | None, Doc("Run after a backup was copied, or failed.")] = (
        None
    )
    post_backup_retry_script: Annotated[Text | None, _UNTIL_HEARD] = None
    post_backup_done_script: Annotated[
        Text | None,
        Doc(
            "Run when a backup has become DONE, however long it waited for its WAL (barmand only)."
        ),
    ] = None
    post_backup_done_retry_script: Annotated[Text | None, _UNTIL_HEARD] = None
    pre_delete_script: Annotated[
        Text | None,
        Doc("Run before a backup is deleted."),
    ] = None
    pre_delete_retry_script: Annotated[Text | None, _UNTIL_AGREED] = None
    post_delete_script: Annotated[
        Text | None,
        Doc("Run after a backup was deleted, or could not be."),
    ] = None
    post_delete_retry_script: Annotated[Text | None, _UNTIL_HEARD] = None
    pre_archive_script: Annotated[
        Text | None,
        Doc("Run before a WAL file is archived."),
    ] = None
    pre_archive_retry_script: Annotated[Text | None, _UNTIL_AGREED] = None
    post_archive_script: Annotated[
        Text | None,
        Doc("Run after a WAL file was archived, or could not be."),
    ] = None
    post_archive_retry_script: Annotated[Text | None, _UNTIL_HEARD] = None
    pre_wal_delete_script: Annotated[
        Text | None,
        Doc("Run before a WAL file is removed."),
    ] = None
    pre_wal_delete_retry_script: Annotated[Text | None, _UNTIL_AGREED] = None
    post_wal_delete_script: Annotated[
        Text | None,
        Doc("Run after a WAL file was removed, or could not be."),
    ] = None
    post_wal_delete_retry_script: Annotated[Text | None, _UNTIL_HEARD] = None
    pre_recovery_script: Annotated[
        Text | None,
        Doc("Run before a backup is restored."),
    ] = None
    pre_recovery_retry_script: Annotated[Text | None, _UNTIL_AGREED] = None
    post_recovery_script: Annotated[
        Text | None,
        Doc("Run after a backup was restored, or could not be."),
    ] = None
    post_recovery_retry_script: Annotated[Text | None, _UNTIL_HEARD] = None
    hook_timeout: Annotated[
        int,
        seconds(1),
        Doc("barmand only: a hook that runs longer is ended, with all that it started."),
    ] = 43_200
    wal_hook_timeout: Annotated[
        int,
        seconds(1),
        Doc("barmand only: the same for archive and wal_delete hooks, if it is shorter."),
    ] = 600
    hook_retry_times: Annotated[
        int,
        whole(0, 1000),
        Doc("barmand only: how often a retry hook that failed is tried again."),
    ] = 10
    hook_retry_sleep: Annotated[
        Seconds,
        Doc(
            "barmand only: the pause before its next try; each further one is twice as long, up to "
            "a minute."
        ),
    ] = 3


# ------------------------------------------------------------------------------ what the fields say


@dataclass(frozen=True, slots=True)
class Option:
    """One field, as a reader of INI files sees it."""

    key: str
    kind: Kind
    doc: Doc
    is_optional: bool
    default: object
    derived: Derived | None

    @property
    def is_required(self) -> bool:
        return self.default is MISSING and self.derived is None

    def read(self, text: str) -> object:
        """An empty text is the absence of an optional value: it undoes what is inherited."""
        return None if self.is_optional and not text else self.kind.read(text)


@cache
def options(section: type[DaemonSettings | ServerSettings]) -> Mapping[str, Option]:
    """The options of a kind of section by key, in their order in the file."""
    hints = get_type_hints(section, include_extras=True)
    found = (_option(field, hints[field.name]) for field in fields(section))
    return {option.key: option for option in found if option is not None}


def _option(field: "Field[object]", hint: object) -> Option | None:
    marks = tuple(_marks(hint))
    docs = [mark for mark in marks if isinstance(mark, Doc)]
    if not docs:  # the server's name: a section's header, not an option
        return None
    return Option(
        key=field.name,
        kind=next(mark for mark in marks if isinstance(mark, Kind)),
        doc=docs[0],
        is_optional=type(None) in get_args(get_args(hint)[0]),
        default=field.default,
        derived=next((mark for mark in marks if isinstance(mark, Derived)), None),
    )


def _marks(hint: object) -> Iterator[object]:
    """What stands beside the type in Annotated, and beside the parts of `Annotated | None`."""
    yield from getattr(hint, "__metadata__", ())
    for part in get_args(get_args(hint)[0]) if get_args(hint) else ():
        yield from getattr(part, "__metadata__", ())


# ---------------------------------------------------------------------------- Barman's, not carried


@dataclass(frozen=True, slots=True)
class NotCarried:
    """Why, or what happens instead; harmless with the words that change nothing.

    With `is_unsafe`, a server whose file asks for it must not run as if it had not.
    """

    reason: str
    harmless: frozenset[str] = frozenset()
    is_unsafe: bool = False

    def is_harmless(self, text: str, known: Mapping[str, str]) -> bool:
        """Is this Barman's own default, or no value at all?"""
        words = {Derived(word).text(known) for word in self.harmless}
        return not text or text in words or text.lower() in words


def _except(*words: str) -> frozenset[str]:
    return frozenset(words)


_OWN_FILTERS = "filters of your own are not run"
_BY_SYSTEMD = "the service manager decides this for a daemon"
_NO_LOCKS = "one daemon needs no lock files"
_AT_RESTORE = "not used by this version's restore"
_NO_MODELS = "models are not carried"

NOT_CARRIED: Mapping[str, NotCarried] = {
    # without these, a server would be less safe than its file says
    "encryption": NotCarried(
        "backups and WAL would lie here unencrypted", _except("none"), is_unsafe=True
    ),
    "primary_ssh_command": NotCarried(
        "a passive node that copies from another Barman is not carried", is_unsafe=True
    ),
    # the daemon itself
    "barman_user": NotCarried(_BY_SYSTEMD, _except("barman")),
    "barman_lock_directory": NotCarried(_NO_LOCKS, _except("{barman_home}")),
    "lock_directory_cleanup": NotCarried(_NO_LOCKS, TRUE),
    "log_file": NotCarried("messages go to the journal, or to standard error"),
    "log_format": NotCarried("messages go to the journal as fields"),
    "config_changes_queue": NotCarried(
        "edit the files and reload", _except("{barman_home}/cfg_changes.queue")
    ),
    "forward_config_path": NotCarried("there are no child commands to pass it to", FALSE),
    # models
    "cluster": NotCarried(_NO_MODELS, _except("{name}")),
    "model": NotCarried(_NO_MODELS, FALSE),
    # base backups
    "backup_options": NotCarried("backups are concurrent", _except("concurrent_backup")),
    "encryption_key_id": NotCarried("nothing is encrypted"),
    "encryption_passphrase_command": NotCarried("nothing is decrypted"),
    "primary_checkpoint_timeout": NotCarried("no checkpoint is forced on the primary", FALSE),
    "cloud_staging_directory": NotCarried("backups go to a local disk only"),
    "cloud_staging_max_size": NotCarried("backups go to a local disk only"),
    # WAL
    "xlogdb_directory": NotCarried(
        "the archive needs no index file; run `barman rebuild-xlogdb` when you go back to Barman",
        _except("{wals_directory}"),
    ),
    "custom_compression_filter": NotCarried(_OWN_FILTERS),
    "custom_compression_magic": NotCarried(_OWN_FILTERS),
    "custom_decompression_filter": NotCarried(_OWN_FILTERS),
    # keeping
    # restoring
    "combine_mode": NotCarried(_AT_RESTORE, _except("copy")),
    "recovery_options": NotCarried(_AT_RESTORE),
    "custom_restore_command": NotCarried(_AT_RESTORE),
    "staging_path": NotCarried(_AT_RESTORE, _except("/tmp")),  # noqa: S108 - Barman's default
    "staging_location": NotCarried(_AT_RESTORE, _except("local")),
    "local_staging_path": NotCarried(_AT_RESTORE),
    "recovery_staging_path": NotCarried(_AT_RESTORE),
}
CLOUD_PREFIXES = ("aws_", "azure_", "gcp_", "snapshot_")
_CLOUD = NotCarried("cloud snapshots are not carried")


def find_not_carried(key: str) -> NotCarried | None:
    return _CLOUD if key.startswith(CLOUD_PREFIXES) else NOT_CARRIED.get(key)


# ------------------------------------------------------------------------------------- what we read


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where to edit."""

    file: Path
    section: str | None
    key: str | None
    message: str

    def __str__(self) -> str:
        section = "" if self.section is None else f" [{_printable(self.section)}]"
        key = "" if self.key is None else f" {_printable(self.key)}"
        place = f"{section}{key}"
        message = without_secrets(self.message)
        return f"{self.file}:{place}: {message}" if place else f"{self.file}: {message}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the files say: servers to work for by name, and what is wrong with the others."""

    path: Path
    daemon: DaemonSettings
    servers: Mapping[str, ServerSettings]
    files: Mapping[str, Path]
    """Where each of `servers` stands."""
    broken: Mapping[str, tuple[Problem, ...]]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
