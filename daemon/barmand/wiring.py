"""Where the rooms meet: settings in, a house of operations out."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.model.calendar import CronSchedule
from barmand.model.order import Order
from barmand.model.secret import Conninfo
from barmand.operations.archive import Archive
from barmand.operations.backup import TakeBackup
from barmand.operations.by_files import ByFiles
from barmand.operations.check import Check
from barmand.operations.copying import ByPgBasebackup
from barmand.operations.delete import Delete
from barmand.operations.local_files import LocalFiles
from barmand.operations.ports import Method
from barmand.operations.rebuild import Rebuild
from barmand.operations.record import Record
from barmand.operations.restart import Restart
from barmand.operations.restore import Restore
from barmand.outside.clock import local_now, monotonic
from barmand.outside.held_backup import HeldBackup
from barmand.outside.pg_basebackup import PgBasebackup
from barmand.outside.pg_receivewal import PgReceivewal
from barmand.outside.postgres import Postgres
from barmand.service.house import House, Kit
from barmand.service.receivers import Receivers, Source
from barmand.settings.schema import BackupMethod, CreateSlot, ServerSettings, Settings
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds houses from settings; `ring_archive` asks for an archiving pass of a server."""

    catalog: Catalog
    receivers: Receivers
    ring_archive: Callable[[str], None]
    guards: dict[str, threading.Lock]

    def house(self, settings: Settings) -> House:
        forbidden = tuple(
            {settings.daemon.barman_home, settings.daemon.state_directory}
            | {folder for each in settings.servers.values() for folder in _folders(each)}
        )
        return House(
            config_file=settings.path,
            kits={name: self._kit(server, forbidden) for name, server in settings.servers.items()},
            broken={
                name: [str(problem) for problem in problems]
                for name, problems in settings.broken.items()
            },
            problems=[str(problem) for problem in settings.problems],
            warnings=[str(warning) for warning in settings.warnings],
        )

    def _kit(self, server: ServerSettings, forbidden: tuple[Path, ...]) -> Kit:
        catalog = self.catalog
        layout = layout_of(server)
        wals = WalArchive(layout)
        # One guard a server for the daemon's whole life: a reload must not make a second one.
        guard = self.guards.setdefault(server.name, threading.Lock())
        postgres = postgres_of(server)
        source = source_of(server, layout)
        record = Record(catalog.backups, layout, local_now)
        method = self._method(server, layout, postgres)
        check = Check(
            server=server.name,
            layout=layout,
            servers=catalog.servers,
            postgres=postgres,
            wal_server=wal_server_of(server),
            method=method,
            receiver=None if source is None else receiver_of(server, layout),
            slot_name=server.slot_name if server.streaming_archiver else None,
            is_receiving=lambda: self.receivers.is_streaming(server.name),
            takes_pushed_wal=server.archiver,
        )
        archive = Archive(
            server=server.name,
            layout=layout,
            wals=wals,
            wal_runs=catalog.wal_runs,
            backups=catalog.backups,
            servers=catalog.servers,
            events=catalog.events,
            record=record,
            guard=guard,
            now=local_now,
        )
        delete = Delete(
            layout=layout,
            wals=wals,
            backups=catalog.backups,
            wal_runs=catalog.wal_runs,
            minimum_redundancy=server.minimum_redundancy,
            guard=guard,
            now=local_now,
        )
        return Kit(
            name=server.name,
            description=server.description,
            is_active=server.active,
            method=server.backup_method.value,
            conninfo=server.conninfo.masked,
            told_settings=told(server),
            order=Order(
                immediate_checkpoint=server.immediate_checkpoint,
                retry_times=server.basebackup_retry_times,
                retry_sleep=server.basebackup_retry_sleep,
                bandwidth_limit=server.bandwidth_limit,
                reuse=server.reuse_backup,
                jobs=server.parallel_jobs,
                jobs_start_batch_size=server.parallel_jobs_start_batch_size,
                jobs_start_batch_period=server.parallel_jobs_start_batch_period,
                makes_manifest=server.autogenerate_manifest,
                keepalive_seconds=server.keepalive_interval,
                check_seconds=server.check_timeout,
            ),
            schedule=server.backup_schedule,
            schedule_grace=server.backup_schedule_grace,
            layout=layout,
            source=source,
            take=TakeBackup(
                layout=layout,
                servers=catalog.servers,
                record=record,
                check=check,
                postgres=postgres,
                primary=primary_of(server),
                method=method,
                ring_archive=lambda: self.ring_archive(server.name),
                demand_slot=_nothing if source is None else source.demand_slot,
                now=local_now,
                monotonic=monotonic,
            ),
            archive=archive,
            delete=delete,
            restore=Restore(
                layout=layout,
                wals=wals,
                wal_runs=catalog.wal_runs,
                holds=catalog.holds,
                forbidden=forbidden,
                now=local_now,
                monotonic=monotonic,
            ),
            check=check,
            restart=Restart(catalog.backups, record, archive, delete),
            rebuild=Rebuild(
                server=server.name,
                layout=layout,
                wals=wals,
                backups=catalog.backups,
                servers=catalog.servers,
                wal_runs=catalog.wal_runs,
                now=local_now,
            ),
        )

    def _method(self, server: ServerSettings, layout: Layout, postgres: Postgres) -> Method:
        if server.backup_method is BackupMethod.POSTGRES:
            tool = PgBasebackup(
                server.streaming_conninfo, server.streaming_backup_name, server.path_prefix
            )
            return ByPgBasebackup(layout, tool, local_now, monotonic)
        return ByFiles(
            layout=layout,
            backups=self.catalog.backups,
            held=HeldBackup(postgres),
            copier=LocalFiles(),
            now=local_now,
            monotonic=monotonic,
        )


def _nothing() -> None:
    """WAL that is pushed needs no slot."""


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


def source_of(server: ServerSettings, layout: Layout) -> Source | None:
    """Where WAL is streamed from: another server than the backups', if the settings say so."""
    if not server.streaming_archiver or not server.active:
        return None
    return Source(
        server=server.name,
        program=receiver_of(server, layout),
        keeper=wal_server_of(server),
        slot_name=server.slot_name,
        makes_slot=server.create_slot is CreateSlot.AUTO,
        directory=layout.streaming,
    )


def receiver_of(server: ServerSettings, layout: Layout) -> PgReceivewal:
    return PgReceivewal(
        server.wal_streaming_conninfo or server.streaming_conninfo,
        server.streaming_archiver_name,
        server.slot_name,
        layout.streaming,
        server.path_prefix,
    )


def told(server: ServerSettings) -> dict[str, object]:
    """Every option in force, in words that JSON has; a connection shows no password."""
    return {each.name: _word(getattr(server, each.name)) for each in fields(server)}


def _word(value: object) -> object:
    match value:
        case Conninfo():
            return value.masked
        case CronSchedule():
            return value.text
        case Enum():
            return value.value
        case Path():
            return str(value)
        case timedelta():
            return value.total_seconds()
        case tuple():
            return [_word(each) for each in value]
        case _:
            return value


def _folders(server: ServerSettings) -> list[Path]:
    return [
        server.backup_directory,
        server.basebackups_directory,
        server.wals_directory,
        server.incoming_wals_directory,
        server.streaming_wals_directory,
        server.errors_directory,
    ]
