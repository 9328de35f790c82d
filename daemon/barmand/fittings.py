"""What one server's settings become: places, connections, ways to copy and to stream."""

from dataclasses import fields
from datetime import timedelta
from enum import Enum
from pathlib import Path

from barmand.catalog.backups import Backups
from barmand.catalog.events import Events
from barmand.model import packing as model_packing
from barmand.model.calendar import ScheduleLine
from barmand.model.compression import Compression
from barmand.model.errors import ConfigInvalid
from barmand.model.hook import HOOKS, Hook, Patience
from barmand.model.masking import secrets_in, without_secrets
from barmand.model.order import Order
from barmand.model.packing import Packer, Packing
from barmand.model.retention_policy import RecoveryWindow, Redundancy
from barmand.model.secret import Conninfo
from barmand.operations.archive import Batches
from barmand.operations.by_files import ByFiles
from barmand.operations.copying import ByPgBasebackup
from barmand.operations.local_files import LocalFiles
from barmand.operations.ports import FileCopier, Method
from barmand.operations.slots import SlotKeeper
from barmand.outside.clock import local_now, monotonic
from barmand.outside.held_backup import HeldBackup
from barmand.outside.hook_program import HookProgram
from barmand.outside.pg_basebackup import PgBasebackup
from barmand.outside.pg_receivewal import PgReceivewal
from barmand.outside.pg_verifybackup import PgVerifybackup
from barmand.outside.pg_waldump import PgWaldump
from barmand.outside.postgres import Postgres, parse_conninfo
from barmand.outside.rsync_files import RsyncFiles
from barmand.outside.ssh import ssh_words
from barmand.settings.schema import BackupMethod, CreateSlot, ServerSettings
from barmand.settings.values import Bytes
from barmand.storage.layout import Layout

LOCAL = "localhost"
"""Of servers that are reached by a Unix socket."""


def order_of(server: ServerSettings) -> Order:
    return Order(
        immediate_checkpoint=server.immediate_checkpoint,
        retry_times=server.basebackup_retry_times,
        retry_sleep=server.basebackup_retry_sleep,
        bandwidth_limit=server.bandwidth_limit,
        reuse=server.reuse_backup,
        jobs=server.parallel_jobs,
        jobs_start_batch_size=server.parallel_jobs_start_batch_size,
        jobs_start_batch_period=server.parallel_jobs_start_batch_period,
        makes_manifest=server.autogenerate_manifest,
        manifest_checksums=server.manifest_checksums,
        keepalive_seconds=server.keepalive_interval,
        check_seconds=server.check_timeout,
    )


def method_of(
    server: ServerSettings, layout: Layout, postgres: Postgres, backups: Backups
) -> Method:
    if server.backup_method is BackupMethod.POSTGRES:
        tool = PgBasebackup(
            server.streaming_conninfo, server.streaming_backup_name, server.path_prefix
        )
        return ByPgBasebackup(layout, tool, local_now, monotonic, compression_of(server))
    return ByFiles(
        layout=layout,
        backups=backups,
        held=HeldBackup(postgres),
        copier=copier_of(server),
        now=local_now,
        monotonic=monotonic,
    )


def layout_of(server: ServerSettings) -> Layout:
    return Layout(
        server=server.name,
        home=server.backup_directory,
        base=server.basebackups_directory,
        wals=server.wals_directory,
        incoming=server.incoming_wals_directory,
        streaming=server.streaming_wals_directory,
        errors=server.errors_directory,
    )


def postgres_of(server: ServerSettings) -> Postgres:
    return Postgres(
        server.name, server.conninfo, server.streaming_conninfo, int(server.check_timeout)
    )


def compression_of(server: ServerSettings) -> Compression | None:
    if server.backup_compression is None:
        return None
    return Compression(
        algorithm=server.backup_compression,
        level=server.backup_compression_level,
        workers=server.backup_compression_workers,
        location=server.backup_compression_location,
        format=server.backup_compression_format,
    )


def packing_of(server: ServerSettings) -> Packing | None:
    """How archived WAL is packed."""
    return model_packing.packing_of(server.compression or Packer.NONE, server.compression_level)


def batches_of(server: ServerSettings) -> Batches:
    return Batches(server.archiver_batch_size, server.streaming_archiver_batch_size)


def copier_of(server: ServerSettings) -> FileCopier:
    """What brings the files: the kernel, or rsync with or without ssh."""
    limits = {each.tablespace: each.kibibytes for each in server.tablespace_bandwidth_limit}
    if server.backup_method is BackupMethod.LOCAL:
        return LocalFiles(tablespace_limits=limits)
    is_remote = server.backup_method is BackupMethod.RSYNC
    return RsyncFiles(
        ssh=ssh_words(server.ssh_command or "") if is_remote else None,
        path_prefix=server.path_prefix,
        network_compression=server.network_compression,
        tablespace_limits=limits,
    )


def host_of(server: ServerSettings) -> str:
    """Whose disks and network a backup of this server loads, in one spelling."""
    if server.database_host is not None:
        return server.database_host
    if server.backup_method is BackupMethod.RSYNC and server.ssh_command:
        return ssh_words(server.ssh_command)[-1].rpartition("@")[2].casefold()
    try:
        found = parse_conninfo(server.conninfo)
    except ConfigInvalid:  # told where it is connected with
        return server.name
    host = str(found.get("host") or found.get("hostaddr") or LOCAL)
    return LOCAL if host.startswith(("/", "@")) else host.casefold()


def primary_of(server: ServerSettings) -> Postgres | None:
    """Where WAL is switched when the backup is a standby's."""
    conninfo = server.primary_conninfo
    if conninfo is None:
        return None
    return Postgres(server.name, conninfo, conninfo, server.check_timeout)


def wal_server_of(server: ServerSettings) -> Postgres:
    """Where WAL is streamed from."""
    return Postgres(
        server.name,
        server.wal_conninfo or server.conninfo,
        server.wal_streaming_conninfo or server.streaming_conninfo,
        int(server.check_timeout),
    )


def keeper_of(server: ServerSettings, events: Events) -> SlotKeeper:
    return SlotKeeper(
        server=server.name,
        source=wal_server_of(server),
        name=server.slot_name,
        makes=server.create_slot is CreateSlot.AUTO,
        events=events,
        now=local_now,
    )


def receiver_of(server: ServerSettings, layout: Layout) -> PgReceivewal:
    return PgReceivewal(
        server.wal_streaming_conninfo or server.streaming_conninfo,
        server.streaming_archiver_name,
        server.slot_name,
        layout.streaming,
        server.path_prefix,
    )


def hooks_of(server: ServerSettings) -> dict[Hook, str]:
    """The commands that are set."""
    given = {hook: getattr(server, option) for option, hook in HOOKS.items()}
    return {hook: command for hook, command in given.items() if command is not None}


def hook_program_of(server: ServerSettings) -> HookProgram:
    return HookProgram(server.path_prefix)


def patiences_of(server: ServerSettings) -> tuple[Patience, Patience]:
    """With hooks in general, and with those that run for each file of WAL."""
    most = server.hook_timeout
    times, pause = server.hook_retry_times, server.hook_retry_sleep
    return (
        Patience(most, times, pause),
        Patience(min(most, server.wal_hook_timeout), times, pause),
    )


def verifier_of(server: ServerSettings) -> PgVerifybackup:
    return PgVerifybackup(server.path_prefix)


def wal_reader_of(server: ServerSettings) -> PgWaldump:
    return PgWaldump(server.path_prefix)


def told(server: ServerSettings) -> dict[str, object]:
    """Every option in force, in words that JSON has; a connection shows no password."""
    return {each.name: _word(getattr(server, each.name)) for each in fields(server)}


def secrets_of(server: ServerSettings) -> frozenset[str]:
    """Every secret that its options hold: not to be shown by anybody."""
    return frozenset().union(*(_secrets(getattr(server, each.name)) for each in fields(server)))


def _secrets(value: object) -> frozenset[str]:
    if isinstance(value, Conninfo):
        return value.secrets
    return secrets_in(value) if isinstance(value, str) else frozenset()


def _word(value: object) -> object:
    match value:
        case Conninfo():
            return value.masked
        case str() if not isinstance(value, Enum):
            return without_secrets(value, secrets_in(value))
        case ScheduleLine():
            return value.text
        case Enum():
            return value.value
        case Path() | Bytes() | Redundancy() | RecoveryWindow():
            return str(value)
        case timedelta():
            return value.total_seconds()
        case tuple():
            return [_word(each) for each in value]
        case _:
            return value


def folders_of(server: ServerSettings) -> list[Path]:
    return [
        server.backup_directory,
        server.basebackups_directory,
        server.wals_directory,
        server.incoming_wals_directory,
        server.streaming_wals_directory,
        server.errors_directory,
    ]
