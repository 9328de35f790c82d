"""Where the rooms meet: settings in, a house of operations out."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.fittings import (
    folders_of,
    keeper_of,
    layout_of,
    method_of,
    order_of,
    postgres_of,
    primary_of,
    receiver_of,
    told,
    wal_server_of,
)
from barmand.operations.archive import Archive
from barmand.operations.backup import TakeBackup
from barmand.operations.check import Check
from barmand.operations.delete import Delete
from barmand.operations.lost import LostWal
from barmand.operations.rebuild import Rebuild
from barmand.operations.record import Record
from barmand.operations.restart import Restart
from barmand.operations.restore import Restore
from barmand.operations.stream_place import StreamPlace
from barmand.operations.streaming import Streaming
from barmand.outside.clock import local_now, monotonic
from barmand.outside.wal_source import WalSource
from barmand.service.house import House, Kit, WalKit
from barmand.service.receivers import Receivers, Source
from barmand.service.views import receiving_words
from barmand.settings.schema import ServerSettings, Settings
from barmand.storage.closing import Closing
from barmand.storage.wals import WalArchive


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds houses from settings; `ring_archive` asks for an archiving pass of a server."""

    catalog: Catalog
    receivers: Receivers
    ring_archive: Callable[[str], None]
    guards: dict[str, threading.Lock]
    closings: dict[str, Closing] = field(default_factory=dict)

    def house(self, settings: Settings) -> House:
        forbidden = tuple(
            {settings.daemon.barman_home, settings.daemon.state_directory}
            | {folder for each in settings.servers.values() for folder in folders_of(each)}
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
        closing = self.closings.setdefault(server.name, Closing())
        keeper = keeper_of(server, catalog.events)
        streaming = None
        if server.streaming_archiver:
            streaming = Streaming(
                server=server.name,
                source=WalSource(wal_server_of(server)),
                program=receiver_of(server, layout),
                keeper=keeper,
                layout=layout,
                wals=wals,
                place=StreamPlace(
                    server=server.name,
                    layout=layout,
                    wals=wals,
                    wal_runs=catalog.wal_runs,
                    keeper=keeper,
                    events=catalog.events,
                    now=local_now,
                ),
                servers=catalog.servers,
                events=catalog.events,
                application_name=server.streaming_archiver_name,
                closing=closing,
                ring_archive=self.ring_archive,
                on_lost=LostWal(catalog.events, local_now),
                now=local_now,
            )
        record = Record(catalog.backups, layout, local_now)
        method = method_of(server, layout, postgres, catalog.backups)
        check = Check(
            server=server.name,
            layout=layout,
            servers=catalog.servers,
            postgres=postgres,
            wal_server=wal_server_of(server),
            method=method,
            receiver=None if streaming is None else receiver_of(server, layout),
            slot_name=server.slot_name if server.streaming_archiver else None,
            receiving=lambda: receiving_words(self.receivers.state(server.name)),
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
            closing=closing,
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
            order=order_of(server),
            schedule=server.backup_schedule,
            schedule_grace=server.backup_schedule_grace,
            layout=layout,
            source=None
            if streaming is None or not server.active
            else Source(server.name, streaming, server.slot_name),
            wal_kit=WalKit(
                source=WalSource(wal_server_of(server)),
                backup_host=WalSource(postgres),
                switcher=WalSource(primary_of(server) or wal_server_of(server)),
                keeper=keeper,
                streaming=streaming,
            ),
            take=TakeBackup(
                layout=layout,
                servers=catalog.servers,
                record=record,
                check=check,
                postgres=postgres,
                primary=primary_of(server),
                method=method,
                ring_archive=lambda: self.ring_archive(server.name),
                demand_slot=_nothing if streaming is None else streaming.demand_slot,
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


def _nothing() -> None:
    """WAL that is pushed needs no slot."""
