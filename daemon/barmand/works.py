"""One server: its settings in, its operations out, with what these share.

Long because it is a table: each operation once, with its parts.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.checks import check_of
from barmand.fittings import (
    batches_of,
    hook_program_of,
    hooks_of,
    host_of,
    keeper_of,
    layout_of,
    method_of,
    order_of,
    packing_of,
    patiences_of,
    postgres_of,
    primary_of,
    receiver_of,
    secrets_of,
    told,
    verifier_of,
    wal_reader_of,
    wal_server_of,
)
from barmand.model.backup import Backup
from barmand.model.hook import HookEvent
from barmand.model.retention import Policy
from barmand.model.verdict import Rules
from barmand.operations.absent import ForgetGone
from barmand.operations.accounts import Accounts
from barmand.operations.archive import Archive
from barmand.operations.backup import TakeBackup
from barmand.operations.branches import Branches
from barmand.operations.check import Check
from barmand.operations.closing import Closing
from barmand.operations.delete import Alone, Delete
from barmand.operations.door import Door
from barmand.operations.expire import Expire
from barmand.operations.fetch import Fetch
from barmand.operations.forecast import Forecast
from barmand.operations.hands import Hands
from barmand.operations.hook_health import HookHealth
from barmand.operations.hook_runner import HookRunner
from barmand.operations.hooked_intake import HookedTakeIn
from barmand.operations.hooks import Hooks
from barmand.operations.inquiry import Lines
from barmand.operations.judging import Judging
from barmand.operations.keep import KeepBackup
from barmand.operations.list_files import ListFiles
from barmand.operations.lost import LostWal
from barmand.operations.make_manifest import MakeManifest
from barmand.operations.noticed import Noticed
from barmand.operations.prune import Prune
from barmand.operations.push import Push
from barmand.operations.quarantine import Quarantine
from barmand.operations.rebuild import Rebuild
from barmand.operations.record import Record
from barmand.operations.restart import Restart
from barmand.operations.restore import Restore
from barmand.operations.restore_wal import RestoreWal
from barmand.operations.retention_health import RetentionHealth
from barmand.operations.stream_place import StreamPlace
from barmand.operations.streaming import Streaming
from barmand.operations.taking_in import WORKERS, TakeIn
from barmand.operations.verify import Verify
from barmand.outside.clock import local_now, monotonic, reading
from barmand.outside.wal_source import WalSource
from barmand.service.house import Kit, WalKit
from barmand.service.receivers import Receivers, Source
from barmand.service.stopping import StopFlag
from barmand.settings.schema import ServerSettings
from barmand.storage.in_hand import InHand
from barmand.storage.intake import Intake
from barmand.storage.wals import WalArchive


@dataclass(frozen=True, slots=True)
class Locks:
    """Of one server, for the daemon's whole life: a reload must not make second ones."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    passing: threading.Lock = field(default_factory=threading.Lock)
    in_hand: InHand = field(default_factory=InHand)
    lines: Lines = field(default_factory=Lines)


def _nobody(_server: str) -> None:
    """Nobody hears."""


@dataclass(frozen=True, slots=True)
class Bells:
    """What asks for work on a server: an archiving pass; what no backup needs and what is obsolete
    to be removed; hooks that are owed. What tells of it as it is now, and of its receiver; that all
    is to stop; the hands that all share.
    """

    ring_archive: Callable[[str], None]
    ring_retention: Callable[[str], None]
    find_kit: Callable[[str], Kit | None]
    delete_alone: Alone
    works_on_deletion: Callable[[Backup], bool]
    receivers: Receivers
    ring_hooks: Callable[[str], None] = _nobody
    stopping: StopFlag = field(default_factory=StopFlag)
    hands: Hands = field(default_factory=lambda: Hands(WORKERS))


class Works:
    """The operations of one server, and what they share."""

    def __init__(
        self,
        catalog: Catalog,
        bells: Bells,
        server: ServerSettings,
        locks: Locks,
        surroundings: Mapping[str, str],
    ) -> None:
        """`surroundings`: what every hook is told of the daemon."""
        self._bells = bells
        self._catalog = catalog
        self._server = server
        self._name = server.name
        self._locks = locks
        self._layout = layout_of(server)
        self._wals = WalArchive(self._layout)
        self._postgres = postgres_of(server)
        self._keeper = keeper_of(server, self._catalog.events)
        self._door = Door(self._name, catalog.servers, catalog.backups, catalog.wal_runs)
        self._quarantine = Quarantine(self._name, self._wals, catalog.events, local_now)
        self._branches = Branches(
            self._name, self._wals, catalog.wal_runs, catalog.wal_gaps, local_now
        )
        self._noticed = Noticed(
            self._name,
            self._wals,
            catalog.servers,
            catalog.wal_runs,
            catalog.events,
            locks.guard,
            local_now,
        )
        self._hooks = self._make_hooks(surroundings)
        self._record = Record(
            self._catalog.backups,
            self._layout,
            local_now,
            when_done=self._when_done,
            owes_hook=self._hooks.has_after(HookEvent.BACKUP_DONE),
        )
        self._method = method_of(server, self._layout, self._postgres, self._catalog.backups)
        self._streaming = self._make_streaming() if server.streaming_archiver else None

    def kit(self, forbidden: tuple[Path, ...]) -> Kit:
        """`forbidden` are the folders that no restore may touch."""
        server, streaming = self._server, self._streaming
        archive, prune = self._archive(), self._prune()
        receivers, lines = self._bells.receivers, self._locks.lines
        judging = self._judging()
        check = check_of(
            server,
            self._catalog,
            self._method,
            receivers,
            lines,
            hook_health=HookHealth(self._hooks.runner),
            works_on_deletion=self._bells.works_on_deletion,
            retention_health=RetentionHealth(judging),
        )
        delete, keep = self._delete(prune), self._keep()
        kit = Kit(
            name=self._name,
            description=server.description,
            is_active=server.active,
            method=server.backup_method.value,
            conninfo=server.conninfo.masked,
            told_settings=told(server),
            secrets=secrets_of(server),
            host=host_of(server),
            order=order_of(server),
            schedule=server.backup_schedule,
            schedule_grace=server.backup_schedule_grace,
            layout=self._layout,
            source=None
            if streaming is None or not server.active
            else Source(self._name, streaming, server.slot_name),
            wal_kit=WalKit(
                source=WalSource(wal_server_of(server)),
                backup_host=WalSource(self._postgres),
                switcher=WalSource(primary_of(server) or wal_server_of(server)),
                keeper=self._keeper,
                streaming=streaming,
            ),
            take=self._take(check),
            archive=archive,
            push=Push(
                server=self._name,
                layout=self._layout,
                wals=self._wals,
                door=self._door,
                quarantine=self._quarantine,
                ring_archive=partial(self._bells.ring_archive, self._name),
                takes_pushed=server.archiver,
            ),
            fetch=Fetch(
                self._name,
                self._layout,
                self._catalog.servers,
                self._catalog.wal_runs,
                self._catalog.wal_gaps,
                self._noticed,
            ),
            delete=delete,
            expire=self._expire(judging, delete, keep),
            forecast=Forecast(
                self._name,
                self._layout,
                self._wals,
                self._catalog.wal_runs,
                self._catalog.backups,
                judging,
            ),
            keep=keep,
            prune=prune,
            list_files=ListFiles(
                self._layout, self._wals, self._catalog.wal_runs, self._catalog.backups
            ),
            restore=self._restore(forbidden),
            check=check,
            restart=Restart(
                self._catalog.backups, self._record, archive, delete, self._bells.delete_alone
            ),
            rebuild=self._rebuild(),
            accounts=self._accounts(),
            wal_health=check.wal_health,
            hooks=self._hooks,
            is_current=lambda: self._bells.find_kit(self._name) is kit,
            verify=self._verify(),
            make_manifest=MakeManifest(
                self._layout, self._catalog.backups, self._catalog.holds, local_now, monotonic
            ),
        )
        return kit

    def _when_done(self) -> None:
        self._bells.ring_retention(self._name)
        self._bells.ring_hooks(self._name)

    def _make_hooks(self, surroundings: Mapping[str, str]) -> Hooks:
        patience, wal_patience = patiences_of(self._server)
        runner = HookRunner(
            server=self._name,
            commands=hooks_of(self._server),
            surroundings=surroundings,
            program=hook_program_of(self._server),
            runs=self._catalog.hook_runs,
            events=self._catalog.events,
            patience=patience,
            wal_patience=wal_patience,
            now=local_now,
            monotonic=monotonic,
            secrets=secrets_of(self._server),
        )
        return Hooks(runner, self._layout, self._catalog.backups, self._catalog.holds)

    def _make_streaming(self) -> Streaming:
        server, catalog = self._server, self._catalog
        return Streaming(
            server=self._name,
            source=WalSource(wal_server_of(server)),
            program=receiver_of(server, self._layout),
            keeper=self._keeper,
            layout=self._layout,
            wals=self._wals,
            place=StreamPlace(
                server=self._name,
                layout=self._layout,
                wals=self._wals,
                quarantine=self._quarantine,
                wal_runs=catalog.wal_runs,
                keeper=self._keeper,
            ),
            servers=catalog.servers,
            events=catalog.events,
            application_name=server.streaming_archiver_name,
            in_hand=self._locks.in_hand,
            ring_archive=self._bells.ring_archive,
            on_lost=LostWal(catalog.events, catalog.wal_gaps, local_now),
            now=local_now,
        )

    def _archive(self) -> Archive:
        catalog = self._catalog
        take_in = TakeIn(
            server=self._name,
            door=self._door,
            quarantine=self._quarantine,
            wals=self._wals,
            intake=Intake(self._layout, packing_of(self._server)),
            wal_runs=catalog.wal_runs,
            branches=self._branches,
            now=local_now,
            hands=self._bells.hands,
        )
        return Archive(
            server=self._name,
            layout=self._layout,
            wals=self._wals,
            wal_runs=catalog.wal_runs,
            backups=catalog.backups,
            take_in=HookedTakeIn(take_in, self._hooks, self._bells.stopping)
            if self._hooks.has(HookEvent.ARCHIVE)
            else take_in,
            events=catalog.events,
            record=self._record,
            guard=self._locks.guard,
            passing=self._locks.passing,
            in_hand=self._locks.in_hand,
            now=local_now,
            batches=batches_of(self._server),
        )

    def _prune(self) -> Prune:
        catalog = self._catalog
        return Prune(
            server=self._name,
            layout=self._layout,
            wals=self._wals,
            wal_runs=catalog.wal_runs,
            backups=catalog.backups,
            servers=catalog.servers,
            holds=catalog.holds,
            events=catalog.events,
            policy=Policy(is_worm=self._server.worm_mode),
            hooks=self._hooks,
            guard=self._locks.guard,
            now=local_now,
        )

    def _delete(self, prune: Prune) -> Delete:
        return Delete(
            layout=self._layout,
            backups=self._catalog.backups,
            prune=prune,
            hooks=self._hooks,
            minimum_redundancy=self._server.minimum_redundancy,
            guard=self._locks.guard,
            now=local_now,
        )

    def _keep(self) -> KeepBackup:
        return KeepBackup(
            layout=self._layout,
            backups=self._catalog.backups,
            events=self._catalog.events,
            guard=self._locks.guard,
            now=local_now,
            when_changed=partial(self._bells.ring_retention, self._name),
        )

    def _judging(self) -> Judging:
        server, catalog = self._server, self._catalog
        return Judging(
            server=self._name,
            layout=self._layout,
            backups=catalog.backups,
            wal_runs=catalog.wal_runs,
            holds=catalog.holds,
            servers=catalog.servers,
            proofs=catalog.proofs,
            clock_watches=catalog.clock_watches,
            rules=Rules(
                policy=server.retention_policy,
                minimum_redundancy=server.minimum_redundancy,
                failed_age=server.failed_backup_maximum_age,
            ),
            now=local_now,
            reading=reading,
            ask_postgres=self._postgres.moment,
        )

    def _expire(self, judging: Judging, delete: Delete, keep: KeepBackup) -> Expire:
        return Expire(
            server=self._name,
            judging=judging,
            keeping=keep,
            delete=delete,
            alone=self._bells.delete_alone,
            backups=self._catalog.backups,
            events=self._catalog.events,
            now=local_now,
        )

    def _take(self, check: Check) -> TakeBackup:
        primary = primary_of(self._server)
        return TakeBackup(
            layout=self._layout,
            servers=self._catalog.servers,
            record=self._record,
            check=check,
            postgres=self._postgres,
            closing=Closing(self._catalog.events, self._postgres, primary, local_now),
            method=self._method,
            hooks=self._hooks,
            ring_archive=partial(self._bells.ring_archive, self._name),
            demand_slot=self._demand_slot,
            now=local_now,
            monotonic=monotonic,
        )

    def _demand_slot(self, seconds: int) -> None:
        """While an operator has stopped the receiver, a slot would keep what nobody fetches."""
        if self._streaming is not None and not self._bells.receivers.is_held(self._name):
            self._streaming.demand_slot(seconds)

    def _restore(self, forbidden: tuple[Path, ...]) -> Restore:
        return Restore(
            layout=self._layout,
            wals=self._wals,
            wal=RestoreWal(
                self._wals, self._catalog.wal_runs, self._catalog.wal_gaps, self._noticed
            ),
            holds=self._catalog.holds,
            hooks=self._hooks,
            proofs=self._catalog.proofs,
            forbidden=forbidden,
            now=local_now,
            monotonic=monotonic,
        )

    def _accounts(self) -> Accounts:
        return Accounts(
            self._name,
            self._wals,
            self._catalog.wal_runs,
            self._branches,
            self._locks.guard,
            local_now,
        )

    def _verify(self) -> Verify:
        return Verify(
            layout=self._layout,
            wals=self._wals,
            backups=self._catalog.backups,
            holds=self._catalog.holds,
            proofs=self._catalog.proofs,
            noticed=self._noticed,
            program=verifier_of(self._server),
            wal_reader=wal_reader_of(self._server),
            accounts=self._accounts(),
            now=local_now,
            monotonic=monotonic,
        )

    def _rebuild(self) -> Rebuild:
        return Rebuild(
            server=self._name,
            layout=self._layout,
            wals=self._wals,
            backups=self._catalog.backups,
            servers=self._catalog.servers,
            wal_runs=self._catalog.wal_runs,
            wal_gaps=self._catalog.wal_gaps,
            forget_gone=ForgetGone(
                self._name,
                self._layout,
                self._catalog.backups,
                self._catalog.servers,
                self._locks.guard,
                local_now,
            ),
            now=local_now,
        )
