"""Where the rooms meet: settings in, a house of operations out."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.fittings import (
    batches_of,
    folders_of,
    layout_of,
    method_of,
    order_of,
    packing_of,
    postgres_of,
    primary_of,
    receiver_of,
    source_of,
    told,
    wal_server_of,
)
from barmand.operations.archive import Archive
from barmand.operations.backup import TakeBackup
from barmand.operations.check import Check
from barmand.operations.delete import Delete
from barmand.operations.door import Door
from barmand.operations.fetch import Fetch
from barmand.operations.push import Push
from barmand.operations.quarantine import Quarantine
from barmand.operations.rebuild import Rebuild
from barmand.operations.record import Record
from barmand.operations.restart import Restart
from barmand.operations.restore import Restore
from barmand.operations.taking_in import TakeIn
from barmand.outside.clock import local_now, monotonic
from barmand.service.house import House, Kit
from barmand.service.receivers import Receivers
from barmand.settings.schema import ServerSettings, Settings
from barmand.storage.intake import Intake
from barmand.storage.wals import WalArchive


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds houses from settings; `ring_archive` asks for an archiving pass of a server."""

    catalog: Catalog
    receivers: Receivers
    ring_archive: Callable[[str], None]
    guards: dict[str, threading.Lock]
    passes: dict[str, threading.Lock] = field(default_factory=dict)

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
        source = source_of(server, layout)
        record = Record(catalog.backups, layout, local_now)
        method = method_of(server, layout, postgres, catalog.backups)
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
        door = Door(server.name, catalog.servers, catalog.backups, catalog.wal_runs)
        quarantine = Quarantine(server.name, wals, catalog.events, local_now)
        take_in = TakeIn(
            server=server.name,
            door=door,
            quarantine=quarantine,
            wals=wals,
            intake=Intake(layout, packing_of(server)),
            wal_runs=catalog.wal_runs,
            now=local_now,
        )
        archive = Archive(
            server=server.name,
            layout=layout,
            wals=wals,
            wal_runs=catalog.wal_runs,
            backups=catalog.backups,
            take_in=take_in,
            events=catalog.events,
            record=record,
            guard=guard,
            passing=self.passes.setdefault(server.name, threading.Lock()),
            now=local_now,
            batches=batches_of(server),
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
            push=Push(
                server=server.name,
                layout=layout,
                wals=wals,
                door=door,
                quarantine=quarantine,
                ring_archive=lambda: self.ring_archive(server.name),
            ),
            fetch=Fetch(server.name, layout, catalog.servers, catalog.wal_runs),
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
