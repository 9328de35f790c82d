"""The shapes we need from outside; their adapters do not know them, they just fit.

Long because it is a table: each shape once, and what its adapter promises.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from barmand.model.backup import Backup, Cluster, Copied, Damage, Doubt, Tablespace, Told
from barmand.model.compression import Compression
from barmand.model.errors import Stopped
from barmand.model.finding import Finding
from barmand.model.order import Order
from barmand.model.progress import Phase
from barmand.model.proof import WalFlaw
from barmand.storage.manifest import Manifest

Clock = Callable[[], datetime]
"""This moment, with the machine's zone."""

Seconds = Callable[[], float]
"""A clock that never goes back."""

Report = Callable[[Phase, int | None, int | None], None]
"""Told the phase of the work, the bytes done and the bytes expected."""


class Stop(Protocol):
    """A shutdown or a cancel: whatever takes time looks at it. `reason` tells which, and whose."""

    @property
    def reason(self) -> str: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


def heed(stop: Stop) -> None:
    """Raises Stopped, with the reason, once `stop` is set."""
    if stop.is_set():
        raise Stopped(stop.reason)


class Identity(Protocol):
    @property
    def system_id(self) -> str: ...

    @property
    def timeline(self) -> int: ...

    @property
    def flushed_lsn(self) -> int: ...


class Writing(Protocol):
    """What a server tells of itself before WAL is streamed from it."""

    @property
    def system_id(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def segment_size(self) -> int: ...

    @property
    def synchronous_standby_names(self) -> str: ...

    @property
    def lists_wal(self) -> bool:
        """May we ask for `segment_names`?"""


class Slot(Protocol):
    @property
    def is_active(self) -> bool: ...

    @property
    def has_reserved_wal(self) -> bool: ...

    @property
    def wal_status(self) -> str: ...

    @property
    def restart_lsn(self) -> int | None: ...

    @property
    def held_bytes(self) -> int | None: ...

    @property
    def safe_bytes(self) -> int | None: ...


class Readiness(Protocol):
    """What a server tells of a backup's chances; outside.readiness has the meaning of each."""

    @property
    def version(self) -> int: ...
    @property
    def system_id(self) -> str: ...
    @property
    def is_standby(self) -> bool: ...
    @property
    def clock(self) -> datetime: ...
    @property
    def role(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def pgdata(self) -> str | None: ...
    @property
    def data_checksums(self) -> str | None: ...
    @property
    def compressions(self) -> Sequence[str] | None: ...
    @property
    def wal_level(self) -> str: ...
    @property
    def archive_mode(self) -> str: ...
    @property
    def archive_command(self) -> str | None: ...
    @property
    def archive_library(self) -> str: ...
    @property
    def archiving_fails(self) -> bool: ...
    @property
    def last_failed_wal(self) -> str | None: ...
    @property
    def reads_settings(self) -> bool: ...
    @property
    def reads_stats(self) -> bool: ...
    @property
    def checkpoints(self) -> bool | None: ...
    @property
    def forbidden(self) -> Sequence[str]: ...
    @property
    def switches_wal(self) -> bool: ...
    @property
    def starts_backups(self) -> bool: ...
    @property
    def most_senders(self) -> int: ...
    @property
    def senders(self) -> int: ...
    @property
    def most_slots(self) -> int: ...
    @property
    def slots(self) -> int: ...


class SlotServer(Protocol):
    """Replication slots of one server. Every question raises PostgresFailed."""

    def within(self, seconds: int) -> "SlotServer":
        """The same server, whose every answer may take so long; 0 is without end."""

    def slot(self, name: str) -> Slot | None: ...

    def create_slot(self, name: str) -> None: ...

    def drop_slot(self, name: str) -> None: ...


class WalServer(SlotServer, Protocol):
    """The server that WAL is streamed from."""

    def within(self, seconds: int) -> "WalServer": ...

    def identify(self) -> Identity: ...

    def writing(self) -> Writing: ...

    def history(self, timeline: int) -> bytes: ...

    def segment_names(self) -> list[str]: ...


class WalProgram(Protocol):
    """pg_receivewal, or what stands for it."""

    def receive(
        self,
        *,
        stop: Stop,
        on_start: Callable[[], None],
        on_finished: Callable[[int, int], None],
        on_timeline: Callable[[int], None],
        is_synchronous: bool,
    ) -> None: ...


class PostgresServer(Protocol):
    """One PostgreSQL server. Every question raises PostgresFailed."""

    def within(self, seconds: int) -> "PostgresServer":
        """The same server, whose every answer may take so long; 0 is without end."""

    def facts(self) -> Cluster: ...

    def known_tablespaces(self) -> tuple[Tablespace, ...]: ...

    def readiness(self) -> Readiness: ...

    def identify(self) -> Identity: ...

    def slot(self, name: str) -> Slot | None: ...

    def close_segment(self, lsn: int) -> None: ...


class Ended(Protocol):
    """What PostgreSQL gives back at the end of its backup mode."""

    @property
    def lsn(self) -> int: ...

    @property
    def backup_label(self) -> str: ...

    @property
    def tablespace_map(self) -> str: ...

    @property
    def timeline(self) -> int | None:
        """Where the backup ends; None on a primary."""


class HeldSession(Protocol):
    """PostgreSQL's backup mode, held open. `lost` is set when its connection breaks, or when the
    standby was `promoted`.
    """

    @property
    def start_lsn(self) -> int: ...

    @property
    def lost(self) -> Event: ...

    @property
    def promoted(self) -> Event: ...

    def end(self) -> Ended: ...


class HeldBackup(Protocol):
    def begun(
        self, label: str, *, is_fast: bool, keepalive_seconds: int, stop: Stop
    ) -> AbstractContextManager[HeldSession]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJob:
    """One copy of a cluster, file by file."""

    backup: Backup
    cluster: Cluster
    order: Order
    home: Path
    """base/<ID>; the data directory's copy is `data` below, a tablespace's is named by its oid."""
    verify_before: int | None
    """Pages written before this LSN must have a right checksum; None where there are none."""
    reference: Backup | None
    """The backup whose unchanged files serve again."""
    reference_home: Path | None
    manifest: Manifest | None


class FileCopier(Protocol):
    """A way to bring a cluster's files here. Raises StorageFailed, ToolFailed, Stopped."""

    def copy(self, job: CopyJob, *, stop: Stop, report: Report) -> list[Damage | Doubt]:
        """All of them, pg_control last: what is wrong with their pages."""

    def findings(
        self, pgdata: str | None, stop: Stop, *, is_full: bool = True
    ) -> Iterator[Finding]:
        """Can it read the cluster's files? `pgdata` is None where nobody told. Raises Failure.

        Unless `is_full`, what cannot keep a backup from being taken is not asked.
        """


class Versioned(Protocol):
    """A program of PostgreSQL's. Raises ToolFailed when it is missing."""

    def version(self) -> int: ...


class VerifyTool(Versioned, Protocol):
    """pg_verifybackup, or what stands for it."""

    def verify(
        self,
        data: Path,
        *,
        ignored: Sequence[str],
        stop: Stop,
        on_flaw: Callable[[str, str], None],
        on_bytes: Callable[[int], None],
    ) -> None: ...


class WalReader(Versioned, Protocol):
    """pg_waldump, or what stands for it."""

    def read(
        self, segments: Sequence[Path], *, timeline: int, begin: int, end: int, stop: Stop
    ) -> WalFlaw | None: ...


class Method(Protocol):
    """A way to copy a cluster. The copy is whole and synced when it returns."""

    @property
    def needs_replication(self) -> bool:
        """Does it copy over a replication connection?"""

    @property
    def stored_compression(self) -> str | None:
        """Barman's word for how the backup is packed; None for plain files."""

    def findings(
        self, readiness: Readiness | None, stop: Stop, *, is_full: bool = True
    ) -> Iterator[Finding]:
        """Is what it needs here? `readiness` is None where nobody told. Raises Failure.

        Unless `is_full`, what cannot keep a backup from being taken is not asked.
        """

    def take(self, backup: Backup, order: Order, *, stop: Stop, report: Report) -> Copied: ...


class CopyTool(Protocol):
    """pg_basebackup, or what stands for it."""

    def version(self) -> int: ...

    def refusal_of(self, compression: Compression) -> str | None:
        """Why this build of it cannot pack or unpack so; None when it can."""

    def copy(
        self,
        *,
        data: Path,
        tablespaces: Sequence[Tablespace],
        label: str,
        order: Order,
        compression: Compression | None,
        stop: Stop,
        report: Report,
    ) -> Told:
        """Copy the cluster into `data`, plain or as archives."""
