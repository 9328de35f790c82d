"""Requests that only look."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from barmand import __version__
from barmand.catalog.memory import Catalog
from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.errors import UsageError
from barmand.model.hook import GOOD
from barmand.model.naming import find
from barmand.model.progress import Progress
from barmand.outside.clock import local_now
from barmand.service import on_disk
from barmand.service.glances import Glances
from barmand.service.hook_views import running, troubles
from barmand.service.house import House, Kit, unknown
from barmand.service.job import Key
from barmand.service.live_facts import live_facts
from barmand.service.receivers import Receivers
from barmand.service.runner import Runner
from barmand.service.views import Known, Standing, backup_view, gap_view, receiver_view
from barmand.wire.messages import (
    PROTOCOL_VERSION,
    AskStatus,
    BackupListReply,
    BackupReply,
    BackupView,
    DaemonStatus,
    LastCheckView,
    ListBackups,
    ListServers,
    Ping,
    Pong,
    Reply,
    ServerDetails,
    ServerDetailsReply,
    ServersReply,
    ServerStatus,
    ServerView,
    ShowBackup,
    ShowServers,
    StatusReply,
)

Look = Ping | AskStatus | ListBackups | ShowBackup | ListServers | ShowServers


@dataclass(frozen=True, slots=True)
class Looking:
    """`next_ring` tells when a server's schedule rings next, `last_check` its last verdict."""

    catalog: Catalog
    runner: Runner
    receivers: Receivers
    next_ring: Callable[[str], datetime | None]
    started_at: datetime
    last_check: Callable[[str], LastCheckView | None] = lambda _server: None
    glances: Glances = field(default_factory=Glances)

    def answer(self, request: Look, house: House) -> Reply:
        match request:
            case Ping():
                return Pong(version=__version__, protocol=PROTOCOL_VERSION, pid=os.getpid())
            case AskStatus():
                return self._status(request, house)
            case ListBackups():
                return self._list_backups(request, house)
            case ShowBackup():
                backup = self._found(request, house)
                return BackupReply(backup=self.view(backup, house))
            case ListServers():
                return ServersReply(
                    servers=[_server_view(name, house) for name in house.told_names]
                )
            case ShowServers():
                return self._show_servers(request, house)

    def expand(self, servers: Sequence[str], house: House) -> list[str]:
        """`all` becomes every server by name; the order given is kept, each name once."""
        if "all" not in servers:
            return list(dict.fromkeys(servers))
        if len(servers) > 1:
            raise UsageError("`all` cannot be given together with names of servers")
        return house.names

    def _found(self, request: ShowBackup, house: House) -> Backup:
        backups = self.catalog.backups.of_server(request.server)
        if not backups:
            self._demand_known([request.server], house)
        return find(backups, request.server, request.backup)

    def _list_backups(self, request: ListBackups, house: House) -> Reply:
        servers = request.servers or self._all_names(house)
        self._demand_known(servers, house)
        views: list[BackupView] = []
        moment = self.runner.moment()
        for server in dict.fromkeys(servers):
            known, backups = Known.of(self.catalog, server), self.catalog.backups.of_server(server)
            standings = self._standings(server, backups, house)
            views += [
                backup_view(
                    backup,
                    self.catalog,
                    moment.get(_key(backup)),
                    known,
                    standings.get(backup.id, Standing()),
                )
                for backup in reversed(backups)
            ]
        return BackupListReply(backups=views)

    def _all_names(self, house: House) -> list[str]:
        """Also those that are in no INI any more but have backups."""
        return sorted({*house.told_names, *self.catalog.backups.servers()})

    def _demand_known(self, servers: Sequence[str], house: House) -> None:
        known = self._all_names(house)
        for server in servers:
            if server not in known:
                raise unknown(server)

    def view(self, backup: Backup, house: House, progress: Progress | None = None) -> BackupView:
        """`progress` of the work with it that is meant; else of the backup itself."""
        all_of_them = self.catalog.backups.of_server(backup.server)
        standings = self._standings(backup.server, all_of_them, house)
        return backup_view(
            backup,
            self.catalog,
            progress or self.runner.progress(_key(backup)),
            standing=standings.get(backup.id, Standing()),
        )

    def _standings(
        self, server: str, backups: Sequence[Backup], house: House
    ) -> dict[str, Standing]:
        """Of all of its backups, by id; nothing where the disk does not answer now."""
        kit = house.kits.get(server)
        if kit is None:
            return {}
        return self.glances.at(server, lambda: on_disk.standings(kit, backups)) or {}

    def _arrived(self, kit: Kit | None) -> tuple[int | None, int | None]:
        """Files that wait, and that were set aside; None where that cannot be told."""
        if kit is None:
            return None, None
        return self.glances.at(kit.name, lambda: on_disk.arrived(kit)) or (None, None)

    def _hook_troubles(self, kit: Kit | None) -> list[str]:
        """Of hooks that are still set."""
        if kit is None or not kit.hooks.runner.commands:
            return []
        set_ones = {hook.option for hook in kit.hooks.runner.commands}
        runs = self.catalog.hook_runs.last_of_each(kit.name)
        return troubles([r for r in runs if r.hook in set_ones and r.outcome not in GOOD])

    def _show_servers(self, request: ShowServers, house: House) -> Reply:
        servers = self.expand(request.servers, house)
        self._demand_known(servers, house)
        live = live_facts(servers, house) if request.live else {}
        details: list[ServerDetails] = []
        for server in servers:
            view = _server_view(server, house)
            kit = house.kits.get(server)
            facts, problem = live.get(server, (None, None))
            last_wal = self.catalog.wal_runs.last_archived(server)
            done = _ids(self.catalog.backups.of_server(server), Status.DONE)
            details.append(
                ServerDetails(
                    server=server,
                    state=view.state,
                    problems=view.problems,
                    settings=dict(kit.told_settings) if kit else {},
                    system_id=self.catalog.servers.system_id(server),
                    backup_directory=view.backup_directory,
                    done_backups=len(done),
                    last_archived_wal=last_wal.name if last_wal else None,
                    facts=facts,
                    facts_problem=problem,
                )
            )
        return ServerDetailsReply(servers=details)

    def _status(self, request: AskStatus, house: House) -> Reply:
        servers = list(dict.fromkeys(request.servers)) or house.told_names
        self._demand_known(servers, house)
        moment = self.runner.moment()
        return StatusReply(
            daemon=DaemonStatus(
                version=__version__,
                protocol=PROTOCOL_VERSION,
                pid=os.getpid(),
                started_at=self.started_at,
                config_file=str(house.config_file),
                config_problems=list(house.problems),
                config_warnings=list(house.warnings),
            ),
            servers=[self._server_status(server, house, moment) for server in servers],
        )

    def _server_status(
        self, server: str, house: House, moment: Mapping[Key, Progress]
    ) -> ServerStatus:
        def view_of(backup: Backup) -> BackupView:
            standing = standings.get(backup.id, Standing())
            return backup_view(backup, self.catalog, moment.get(_key(backup)), standing=standing)

        view = _server_view(server, house)
        backups = self.catalog.backups.of_server(server)
        kit = house.find(server)
        waiting, set_aside = self._arrived(kit)
        last_wal = self.catalog.wal_runs.last_archived(server)
        active = [backup for backup in backups if backup.status in ACTIVE]
        usable = [b for b in backups if b.status in (Status.DONE, Status.WAITING_FOR_WALS)]
        standings = self._standings(server, backups, house) if active or usable else {}
        now = local_now()
        hour = self.catalog.wal_hours.since(server, now - timedelta(hours=1))
        day = self.catalog.wal_hours.since(server, now - timedelta(days=1))
        return ServerStatus(
            server=server,
            state=view.state,
            problems=view.problems,
            active_backup=view_of(active[0]) if active else None,
            last_backup=view_of(usable[-1]) if usable else None,
            waiting_backups=_ids(backups, Status.WAITING_FOR_WALS),
            failed_backups=len(_ids(backups, Status.FAILED)),
            done_backups=len(_ids(backups, Status.DONE)),
            receiver=None
            if kit is None or kit.source is None
            else receiver_view(self.receivers.state(server), kit.source.slot_name),
            last_archived_wal=last_wal.name if last_wal else None,
            last_archived_at=last_wal.at if last_wal else None,
            archived_wals=self.catalog.wal_runs.count(server),
            archived_wal_bytes=self.catalog.wal_runs.bytes(server),
            wals_last_hour=hour.segments,
            wal_bytes_last_hour=hour.bytes,
            wals_last_day=day.segments,
            wal_bytes_last_day=day.bytes,
            waiting_wals=waiting,
            set_aside=set_aside,
            wal_gaps=[gap_view(gap) for gap in self.catalog.wal_gaps.of_server(server)],
            hooks_running=[running(run) for run in self.catalog.hook_runs.under_way(server)],
            hook_troubles=self._hook_troubles(kit),
            next_scheduled_backup=self.next_ring(server),
            last_check=self.last_check(server),
        )


def _key(backup: Backup) -> Key:
    return Key("backup", backup.server, backup.id)


def _ids(backups: Sequence[Backup], status: Status) -> list[str]:
    return [backup.id for backup in backups if backup.status is status]


def _server_view(server: str, house: House) -> ServerView:
    kit = house.find(server)
    state = "unconfigured"
    if server in house.leaving:
        state = "leaving"
    elif server in house.broken:
        state = "broken"
    elif kit is not None:
        state = "active" if kit.is_active else "inactive"
    return ServerView(
        server=server,
        description=kit.description if kit else None,
        state=state,
        problems=list(house.broken.get(server, [])),
        method=kit.method if kit else None,
        backup_directory=str(kit.layout.home) if kit else None,
        conninfo=kit.conninfo if kit else None,
        backup_schedule="; ".join(map(str, kit.schedule)) or None if kit else None,
    )
