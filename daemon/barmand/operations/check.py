"""Is this server ready for a backup? Every finding, not the first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from barmand.catalog.servers import Servers
from barmand.model.backup import Cluster
from barmand.model.errors import Failure, PostgresFailed
from barmand.model.finding import Finding
from barmand.operations.examining import compatible, failed, granted, slot_findings
from barmand.operations.hook_health import HookHealth
from barmand.operations.ports import Method, PostgresServer, Readiness, Versioned
from barmand.operations.wal_health import WalHealth
from barmand.storage import backup_info
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout

OLDEST_VERSION = 130_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`receiver` is None where WAL is not streamed; `receiving` tells whether it flows now, and
    in words how it is.

    `wal_server` is where it is streamed from: for a standby's backup, the primary perhaps.
    """

    server: str
    layout: Layout
    servers: Servers
    postgres: PostgresServer
    wal_server: PostgresServer
    method: Method
    receiver: Versioned | None
    slot_name: str | None
    receiving: Callable[[], tuple[bool, str]]
    takes_pushed_wal: bool
    wal_health: WalHealth
    hook_health: HookHealth

    def within(self, seconds: int) -> "Check":
        """The same check, with so many seconds for each question to PostgreSQL."""
        return replace(
            self,
            postgres=self.postgres.within(seconds),
            wal_server=self.wal_server.within(seconds),
        )

    def report(self) -> list[Finding]:
        """All there is to say of the server; what does not keep it from a backup comes last."""
        return [*self.findings(), *self.wal_health.findings(), *self.hook_health.findings()]

    def findings(self) -> list[Finding]:
        """Can a backup be taken? Never raises for what it looks at: a question that fails is a
        finding too.
        """
        found = [self._directories()]
        readiness = self._readiness(found)
        seen: dict[str, str] = {}
        if self.method.needs_replication or self.receiver is not None:
            found.append(self._replication_connection(seen))
        if readiness is not None:
            cluster = self._cluster(found, seen)
            found += _server(readiness)
            found += self.method.findings(readiness, cluster.pgdata if cluster else None)
            found += self._wal(readiness)
        return found

    def _directories(self) -> Finding:
        is_known = self.servers.system_id(self.server) is not None
        why_not = complaint(self.layout, is_known=is_known)
        return Finding("directories", why_not or str(self.layout.home), is_ok=why_not is None)

    def _readiness(self, found: list[Finding]) -> Readiness | None:
        try:
            readiness = self.postgres.readiness()
        except PostgresFailed as error:
            found.append(failed("PostgreSQL", error))
            return None
        found.append(Finding("PostgreSQL", f"version {readiness.version}"))
        return readiness

    def _replication_connection(self, seen: dict[str, str]) -> Finding:
        try:
            identity = self.postgres.identify()
        except PostgresFailed as error:
            return failed("PostgreSQL streaming", error)
        seen["the replication connection"] = identity.system_id
        return Finding("PostgreSQL streaming", f"system {identity.system_id}")

    def _cluster(self, found: list[Finding], seen: dict[str, str]) -> Cluster | None:
        """What the cluster says of itself; and is it one and the same, wherever one asks?"""
        name = "system identifier"
        try:
            cluster = self.postgres.facts()
            stored = backup_info.load_identity(self.layout)
        except Failure as error:
            found.append(failed(name, error))
            return None
        seen["the connection"] = cluster.system_id
        if stored is not None:
            seen[str(self.layout.identity)] = stored[0]
        known = self.servers.system_id(self.server)
        if known is not None:
            seen["the catalogue"] = known
        if len(set(seen.values())) == 1:
            found.append(Finding(name, cluster.system_id))
        else:
            words = ", ".join(f"{where} says {system}" for where, system in seen.items())
            found.append(Finding(name, f"not one cluster: {words}", is_ok=False))
        return cluster

    def _wal(self, readiness: Readiness) -> Iterator[Finding]:
        if self.takes_pushed_wal and self.receiver is None:
            is_on = readiness.archive_mode in ("on", "always")
            yield Finding("archive_mode", f"it is {readiness.archive_mode}", is_ok=is_on)
        if readiness.archive_mode != "off" and readiness.archiving_fails:
            yield self._failing_archive()
        if self.receiver is not None:
            yield compatible("pg_receivewal", self.receiver, readiness.version)
            yield from self._stream()

    def _failing_archive(self) -> Finding:
        """pg_basebackup waits for it on a primary; a copy by files with streamed WAL does not."""
        name, words = "archive_command", "it fails; see PostgreSQL's log"
        if self.receiver is not None and not self.method.needs_replication:
            return Finding(name, words)
        hint = f"{words}: the end of a backup would wait for it"
        return Finding(name, hint, is_ok=False)

    def _stream(self) -> Iterator[Finding]:
        is_flowing, words = self.receiving()
        if self.slot_name is None:
            hint = words if is_flowing else f"{words}; and no slot keeps WAL (`slot_name`)"
            yield Finding("receive-wal running", hint, is_ok=is_flowing)
            return
        yield Finding("receive-wal running", words, is_ok=is_flowing, is_vital=False)
        try:
            slot = self.wal_server.slot(self.slot_name)
        except PostgresFailed as error:
            yield failed("replication slot", error)
            return
        yield from slot_findings(self.slot_name, slot)


def _server(readiness: Readiness) -> Iterator[Finding]:
    yield Finding(
        "PostgreSQL version",
        f"{readiness.version}, of at least {OLDEST_VERSION}",
        is_ok=readiness.version >= OLDEST_VERSION,
    )
    yield Finding("wal_level", readiness.wal_level, is_ok=readiness.wal_level != "minimal")
    yield granted(
        "reads settings",
        readiness.reads_settings,
        f"GRANT pg_read_all_settings TO {readiness.role}",
    )
    if not readiness.is_standby:
        grant = f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {readiness.role}"
        yield granted("switches WAL", readiness.switches_wal, grant)
