"""Is this server ready for a backup? Every finding, not the first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from barmand.catalog.servers import Servers
from barmand.model.errors import Failure, PostgresFailed
from barmand.model.finding import Finding
from barmand.operations.ports import PostgresServer, Readiness, Versioned
from barmand.storage import backup_info
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout

OLDEST_VERSION = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`receiver` is None where WAL is not streamed; `is_receiving` asks whether it flows now."""

    server: str
    layout: Layout
    servers: Servers
    postgres: PostgresServer
    copy_program: Versioned
    receiver: Versioned | None
    slot_name: str | None
    is_receiving: Callable[[], bool]
    takes_pushed_wal: bool

    def findings(self) -> list[Finding]:
        """Never raises for what it looks at: a question that fails is a finding too."""
        found = [self._directories()]
        readiness = self._readiness(found)
        found += self._replication_connection()
        if readiness is not None:
            found += _server(readiness)
            found.append(_compatible("pg_basebackup", self.copy_program, readiness.version))
            found += self._wal(readiness)
        return found

    def _directories(self) -> Finding:
        is_known = self.servers.system_id(self.server) is not None
        why_not = complaint(self.layout, is_known=is_known)
        return Finding("directories", why_not is None, why_not or str(self.layout.home))

    def _readiness(self, found: list[Finding]) -> Readiness | None:
        try:
            readiness = self.postgres.readiness()
        except PostgresFailed as error:
            found.append(_failed("PostgreSQL", error))
            return None
        found.append(Finding("PostgreSQL", True, f"version {readiness.version}"))
        return readiness

    def _replication_connection(self) -> Iterator[Finding]:
        try:
            identity = self.postgres.identify()
            seen = {"the replication connection": identity.system_id}
            yield Finding("PostgreSQL streaming", True, f"system {identity.system_id}")
            seen["the connection"] = self.postgres.facts().system_id
        except PostgresFailed as error:
            yield _failed("PostgreSQL streaming", error)
            return
        stored = backup_info.load_identity(self.layout)
        if stored is not None:
            seen[str(self.layout.identity)] = stored[0]
        known = self.servers.system_id(self.server)
        if known is not None:
            seen["the catalogue"] = known
        is_one = len(set(seen.values())) == 1
        words = ", ".join(f"{where} says {system}" for where, system in seen.items())
        yield Finding("system identifier", is_one, "" if is_one else f"two clusters: {words}")

    def _wal(self, readiness: Readiness) -> Iterator[Finding]:
        if self.takes_pushed_wal and self.receiver is None:
            is_on = readiness.archive_mode in ("on", "always")
            yield Finding("archive_mode", is_on, f"archive_mode is {readiness.archive_mode}")
        if self.receiver is not None:
            yield _compatible("pg_receivewal", self.receiver, readiness.version)
            yield self._slot() if self.slot_name is not None else self._receiving()

    def _slot(self) -> Finding:
        name = "replication slot"
        try:
            slot = self.postgres.slot(self.slot_name or "")
        except PostgresFailed as error:
            return _failed(name, error)
        if slot is None:
            hint = f"slot {self.slot_name} does not exist; `create_slot = auto` makes it"
            return Finding(name, False, hint)
        if not slot.has_reserved_wal:
            return Finding(name, False, f"slot {self.slot_name} reserves no WAL")
        return Finding(name, True, f"{self.slot_name} is {'' if slot.is_active else 'not '}active")

    def _receiving(self) -> Finding:
        is_flowing = self.is_receiving()
        hint = "" if is_flowing else "WAL is not streamed now, and no slot keeps it (`slot_name`)"
        return Finding("receive-wal running", is_flowing, hint)


def _server(readiness: Readiness) -> Iterator[Finding]:
    yield Finding(
        "PostgreSQL version",
        readiness.version >= OLDEST_VERSION,
        f"{readiness.version}, of at least {OLDEST_VERSION}",
    )
    yield Finding("wal_level", readiness.wal_level != "minimal", readiness.wal_level)
    yield _granted(
        "reads settings",
        readiness.reads_settings,
        f"GRANT pg_read_all_settings TO {readiness.role}",
    )
    if not readiness.is_standby:
        grant = f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {readiness.role}"
        yield _granted("switches WAL", readiness.switches_wal, grant)


def _granted(name: str, is_granted: bool, grant: str) -> Finding:
    return Finding(name, is_granted, "" if is_granted else f"the role may not; run: {grant}")


def _compatible(name: str, program: Versioned, server_version: int) -> Finding:
    server_major = server_version // 10_000
    try:
        major = program.version()
    except Failure as error:
        return _failed(name, error)
    is_new_enough = major >= server_major
    words = f"version {major}, server version {server_major}"
    hint = words if is_new_enough else f"{words}: too old; name a newer one's folder in path_prefix"
    return Finding(name, is_new_enough, hint)


def _failed(name: str, error: Failure) -> Finding:
    return Finding(
        name, False, error.message if not error.hint else f"{error.message} ({error.hint})"
    )
