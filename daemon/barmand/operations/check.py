"""Is this server ready? Every finding, not the first; and nothing is changed by asking."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from barmand.catalog.servers import Servers
from barmand.model.errors import Failure
from barmand.model.finding import Finding, demanded, failed, passed, warned
from barmand.operations.apart_health import ApartHealth
from barmand.operations.backup_health import BackupHealth
from barmand.operations.examining import compatible
from barmand.operations.flow import Flow, flow_finding
from barmand.operations.hook_health import HookHealth
from barmand.operations.inquiry import Group, Item, Lines, ask_all
from barmand.operations.ports import Clock, Method, PostgresServer, Readiness, Stop, Versioned
from barmand.operations.privileges import Wants, privileges
from barmand.operations.retention_health import RetentionHealth
from barmand.operations.schedule_health import ScheduleHealth
from barmand.operations.server_health import Asked, WalWays, room_findings, server_findings
from barmand.operations.slot_health import SlotLimits, SlotWays, slot_findings
from barmand.operations.space_health import FOR_BACKUP, SpaceHealth
from barmand.operations.wal_health import WalHealth
from barmand.storage import backup_info
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout

_PRIMARY, _WAL_SERVER = "primary_conninfo", "wal_conninfo"


@dataclass(frozen=True, slots=True)
class Limits:
    """Ours: how far the clocks may be apart, and what the slot may keep (bytes)."""

    clock_skew: timedelta = timedelta(seconds=30)
    slot_wal: int = 16 << 30


@dataclass(slots=True)
class _Seen:
    """What the questions of one check have found, for those that build on it."""

    readiness: Readiness | None = None
    systems: dict[str, str] = field(default_factory=dict)
    """Where one asks, and which cluster answers there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`receiver` is None where WAL is not streamed; `receiving` tells how it is now.

    `wal_server` is where WAL is streamed from and `primary` where it is switched, None where that
    is the server itself. `seconds` is how long one thing may be waited for.
    """

    server: str
    layout: Layout
    servers: Servers
    postgres: PostgresServer
    wal_server: PostgresServer | None
    primary: PostgresServer | None
    method: Method
    receiver: Versioned | None
    slot_name: str | None
    makes_slot: bool
    receiving: Callable[[], Flow]
    takes_pushed_wal: bool
    wal_health: WalHealth
    backup_health: BackupHealth
    schedule_health: ScheduleHealth
    retention_health: RetentionHealth
    space_health: SpaceHealth
    apart_health: ApartHealth
    hook_health: HookHealth
    limits: Limits
    lines: Lines
    seconds: int
    now: Clock

    def within(self, seconds: int) -> "Check":
        """The same check, with so many seconds for each thing that it waits for."""
        return replace(
            self,
            seconds=seconds,
            postgres=self.postgres.within(seconds),
            wal_server=self.wal_server and self.wal_server.within(seconds),
            primary=self.primary and self.primary.within(seconds),
        )

    def report(self, stop: Stop) -> list[Finding]:
        """All there is to say of the server. Raises Stopped, and nothing else for what it looks
        at: a question that fails, or is not answered, is a finding too.
        """
        seen = _Seen()
        more = [self._catalogue()]
        return self._ask(seen, stop, self._more_disk(), more, self._for_backup(seen), is_full=True)

    def obstacles(self, stop: Stop, *, links: bool | None = None) -> list[Finding]:
        """The same questions, as far as they can keep a backup from being taken; `links` says
        whether this one is to link what is unchanged, None is as the settings say.
        """
        seen = _Seen()
        room = self._for_backup(seen, links=links)
        return self._ask(seen, stop, (), [], room, is_full=False)

    def _ask(
        self,
        seen: _Seen,
        stop: Stop,
        disk: tuple[Item, ...],
        more: list[Group],
        last: Group,
        *,
        is_full: bool,
    ) -> list[Finding]:
        """What waits for different things is asked at the same time; then what builds on it."""
        groups = [*self._first(seen, disk), *more, self._hooks()]
        first = ask_all(groups, self.lines, self.seconds, stop)
        second = ask_all(
            [*self._second(seen, is_full=is_full), last], self.lines, self.seconds, stop
        )
        return [*first, *self._coherence(seen), *second]

    # ------------------------------------------------------------------------ who is asked what
    def _first(self, seen: _Seen, disk: tuple[Item, ...]) -> Iterator[Group]:
        ground = Item("directories", lambda _stop: self._directories(seen), keeps_from_backup=True)
        yield Group("the disk", (ground, *disk))
        postgres = Item("PostgreSQL", lambda _stop: self._postgres(seen), keeps_from_backup=True)
        yield Group("PostgreSQL", (postgres,))
        if self.method.needs_replication or self.receiver is not None:
            name = "PostgreSQL streaming"
            streaming = Item(name, lambda _stop: self._streaming(seen), keeps_from_backup=True)
            yield Group(name, (streaming,))
        if self.receiver is not None:
            yield Group("where WAL comes from", tuple(self._wal_items(seen)))
        if self.primary is not None:
            primary = self.primary
            item = Item(_PRIMARY, lambda _stop: self._primary(primary, seen))
            yield Group("the primary", (item,))

    def _wal_items(self, seen: _Seen) -> Iterator[Item]:
        yield Item("receive-wal running", lambda _stop: self._stream())
        if self.wal_server is not None:
            server = self.wal_server
            yield Item(_WAL_SERVER, lambda _stop: self._wal_server(server, seen))
        if self.slot_name is not None:
            slot = self.slot_name
            name = "replication slot"
            yield Item(name, lambda _stop: self._slot(slot), keeps_from_backup=True)

    def _second(self, seen: _Seen, *, is_full: bool) -> Iterator[Group]:
        name = "pg_basebackup" if self.method.needs_replication else "data directory"
        copies = Item(
            name,
            lambda stop: self.method.findings(seen.readiness, stop, is_full=is_full),
            keeps_from_backup=True,
        )
        yield Group("how it is copied", (copies,))
        apart = self.apart_health.items(seen.readiness, self.postgres.known_tablespaces)
        yield Group("the cluster's directories", apart)
        if self.receiver is not None:
            receiver, name = self.receiver, "pg_receivexlog"
            item = Item(
                name,
                lambda _stop: compatible(name, receiver, seen.readiness),
                keeps_from_backup=True,
            )
            yield Group("pg_receivewal", (item,))

    def _more_disk(self) -> tuple[Item, ...]:
        """What keeps no backup from being taken."""
        return (
            Item("free space", lambda _stop: self.space_health.findings()),
            Item("backups on disk", lambda _stop: self.backup_health.on_disk()),
            Item("archiver errors", lambda _stop: self.wal_health.aside()),
            Item("incoming WALs directory", lambda _stop: self.wal_health.queues()),
        )

    def _for_backup(self, seen: _Seen, *, links: bool | None = None) -> Group:
        def cluster_size() -> int | None:
            if seen.readiness is None:
                return None
            with suppress(Failure):  # what is missing is told where it is asked for
                return self.postgres.facts().size
            return None

        def ask(_stop: Stop) -> Iterator[Finding]:
            return self.space_health.next_backup(cluster_size, links=links)

        return Group("room for a backup", (Item(FOR_BACKUP, ask),))

    def _catalogue(self) -> Group:
        return Group(
            "the catalogue",
            (
                Item("backup maximum age", lambda _stop: self.backup_health.findings()),
                Item("backup schedule", lambda _stop: self.schedule_health.findings()),
                Item("retention", lambda _stop: self.retention_health.findings()),
                Item("WAL archive", lambda _stop: self.wal_health.archive()),
                Item("WAL gaps", lambda _stop: self.wal_health.gaps()),
            ),
        )

    def _hooks(self) -> Group:
        return Group("hooks", (Item("hooks", lambda _stop: self.hook_health.findings()),))

    # --------------------------------------------------------------------------------- the items
    def _directories(self, seen: _Seen) -> Iterator[Finding]:
        known = self.servers.system_id(self.server)
        if known is not None:
            seen.systems["the catalogue"] = known
        why_not = complaint(self.layout, is_known=known is not None)
        yield demanded("directories", why_not or str(self.layout.home), is_ok=why_not is None)
        stored = backup_info.load_identity(self.layout)
        if stored is not None:
            seen.systems[str(self.layout.identity)] = stored[0]

    def _postgres(self, seen: _Seen) -> Iterator[Finding]:
        before = self.now()
        readiness = self.postgres.readiness()
        asked = Asked(readiness=readiness, before=before, after=self.now())
        seen.readiness, seen.systems["conninfo"] = readiness, readiness.system_id
        yield passed("PostgreSQL", f"version {readiness.version}")
        wants = Wants(
            backs_up=True,
            by_files=not self.method.needs_replication,
            switches=True,
            streams=self.receiver is not None and self.wal_server is None,
        )
        yield from privileges(readiness, wants)
        yield from server_findings(asked, self._ways(), self.limits.clock_skew)
        yield from self._room(readiness)

    def _ways(self) -> WalWays:
        is_streamed = self.receiver is not None
        return WalWays(
            is_streamed=is_streamed,
            is_pushed=self.takes_pushed_wal,
            awaits_archiver=self.method.needs_replication or not is_streamed,
        )

    def _room(self, readiness: Readiness) -> Iterator[Finding]:
        streams_here = self.receiver is not None and self.wal_server is None
        senders = int(self.method.needs_replication)
        if streams_here and not self.receiving().is_flowing:
            senders += 1
        yield from room_findings(readiness, senders=senders, wants_slot=False)

    def _streaming(self, seen: _Seen) -> Iterator[Finding]:
        system_id = self.postgres.identify().system_id
        seen.systems["streaming_conninfo"] = system_id
        yield passed("PostgreSQL streaming", f"system {system_id}")

    def _stream(self) -> Iterator[Finding]:
        yield flow_finding(self.receiving(), has_slot=self.slot_name is not None)

    def _wal_server(self, server: PostgresServer, seen: _Seen) -> Iterator[Finding]:
        readiness = server.readiness()
        seen.systems[_WAL_SERVER] = readiness.system_id
        yield passed(_WAL_SERVER, f"version {readiness.version}")
        seen.systems["wal_streaming_conninfo"] = server.identify().system_id
        yield from privileges(readiness, Wants(streams=True), where=_WAL_SERVER)
        senders = int(not self.receiving().is_flowing)
        yield from room_findings(readiness, senders=senders, wants_slot=False, where=_WAL_SERVER)

    def _slot(self, name: str) -> Iterator[Finding]:
        server = self.wal_server or self.postgres
        slot = server.slot(name)
        ways = SlotWays(self.server, self.makes_slot, self.receiving())
        yield from slot_findings(name, slot, SlotLimits(self.limits.slot_wal), ways)
        if slot is None:
            yield from room_findings(server.readiness(), senders=0, wants_slot=True)

    def _primary(self, server: PostgresServer, seen: _Seen) -> Iterator[Finding]:
        """Where a standby's backup has its last segment closed."""
        readiness = server.readiness()
        seen.systems[_PRIMARY] = readiness.system_id
        name = "primary is not standby"
        if readiness.is_standby:
            yield warned(name, f"{_PRIMARY} leads to a standby: name the primary, and reload")
        else:
            yield passed(name, f"version {readiness.version}")
        yield from privileges(readiness, Wants(switches=True), where=_PRIMARY)

    def _coherence(self, seen: _Seen) -> Iterator[Finding]:
        """Is it one and the same cluster, wherever one asks?"""
        name, systems = "systemid coherence", seen.systems
        if seen.readiness is None:
            return
        if len(set(systems.values())) > 1:
            words = ", ".join(f"{where} says {system}" for where, system in sorted(systems.items()))
            yield failed(name, f"not one cluster: {words}", keeps_from_backup=True)
        else:
            yield passed(name, seen.readiness.system_id)
