"""A backup and its life.

                 begun            copied                    secured
      QUEUED ───────────▶ STARTED ───────▶ WAITING_FOR_WALS ───────▶ DONE
         │ failed            │ failed          │ failed                │
         └───────────────────┴────────▶ FAILED ◀┘                      │ deleting
                                          └──────────▶ DELETING ◀──────┘

A change is a named method on a frozen value: it checks the table and takes exactly the facts that
become known with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from barmand.model.errors import Failure
from barmand.model.masking import without_secrets
from barmand.model.wal import Run, needed_between


class Status(StrEnum):
    QUEUED = "QUEUED"
    STARTED = "STARTED"
    WAITING_FOR_WALS = "WAITING_FOR_WALS"
    DONE = "DONE"
    FAILED = "FAILED"
    DELETING = "DELETING"


ACTIVE = frozenset({Status.QUEUED, Status.STARTED})
RESTORABLE = frozenset({Status.WAITING_FOR_WALS, Status.DONE})

_ALLOWED: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.STARTED, Status.FAILED}),
    Status.STARTED: frozenset({Status.WAITING_FOR_WALS, Status.FAILED}),
    Status.WAITING_FOR_WALS: frozenset({Status.DONE, Status.FAILED, Status.DELETING}),
    Status.DONE: frozenset({Status.DELETING}),
    Status.FAILED: frozenset({Status.DELETING}),
    Status.DELETING: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a backup failed, in the words its requester reads: a Failure, stored whole."""

    code: str
    message: str
    hint: str | None = None

    @staticmethod
    def of(error: BaseException) -> "Reason":
        if isinstance(error, Failure):
            hint = None if error.hint is None else without_secrets(error.hint)
            return Reason(error.kind, without_secrets(error.message), hint)
        return Reason(
            "Bug",
            f"unexpected {type(error).__name__}: {without_secrets(str(error))}",
            "This is a fault of barmand; its journal has the traceback.",
        )


SHUT_DOWN = "barmand was shut down"
INTERRUPTED = Reason(
    "Stopped",
    "interrupted: barmand ended while this backup was under way",
    "PostgreSQL ended its backup mode with the lost connection. Take the backup again.",
)
DAEMON_ENDED = (SHUT_DOWN, INTERRUPTED.message)
"""What a Stopped backup says that ended with the daemon; one that was cancelled says by whom."""


@dataclass(frozen=True, slots=True)
class Tablespace:
    name: str
    oid: int
    location: str

    @property
    def is_in_place(self) -> bool:
        """Made with `allow_in_place_tablespaces`: a directory where others have a link."""
        return not self.location.startswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a PostgreSQL cluster says of itself when a backup begins. Sizes in bytes."""

    system_id: str
    version: int
    """`server_version_num`, as 150018."""
    segment_size: int
    pgdata: str
    config_file: str | None = None
    hba_file: str | None = None
    ident_file: str | None = None
    included_files: tuple[str, ...] = ()
    tablespaces: tuple[Tablespace, ...] = ()
    size: int | None = None
    data_checksums: str | None = None
    summarize_wal: str | None = None
    is_standby: bool = False

    @property
    def release(self) -> str:
        """Its version as people write it: 150018 is 15.18, and 90624 was 9.6.24."""
        first, rest = divmod(self.version, 10_000)
        return f"{first}.{rest}" if first >= 10 else f"{first}.{rest // 100}.{rest % 100}"


@dataclass(frozen=True, slots=True)
class Damage:
    """Blocks of a relation file whose checksum is wrong in the cluster itself, not in the copy."""

    path: str
    """Relative to the data directory."""
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A block whose checksum is wrong, and that says it was written after the backup's start.

    If it was, it was read while it was written, and its WAL makes it whole.
    """

    path: str
    block: int
    lsn: int


def damages_of(found: Iterable[Damage | Doubt], end_lsn: int) -> tuple[Damage, ...]:
    """What is bad now that the backup's end is known: no page of it was written behind that."""
    blocks: dict[str, set[int]] = {}
    for each in found:
        match each:
            case Damage(path, bad):
                blocks.setdefault(path, set()).update(bad)
            case Doubt(path, block, lsn) if lsn > end_lsn:
                blocks.setdefault(path, set()).add(block)
    return tuple(Damage(path, tuple(sorted(bad))) for path, bad in blocks.items())


@dataclass(frozen=True, slots=True)
class Told:
    """What the copying program itself told: the backup's end point (LSN), bad pages."""

    end_point: str | None = None
    damages: tuple[Damage, ...] = ()
    """Not empty: it ended with an error, and the copy may be whole all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What is known once the copy is whole and synced. LSN in bytes, sizes in bytes."""

    timeline: int
    begin_lsn: int
    begin_time: datetime
    end_lsn: int
    end_time: datetime
    backup_label: str
    size: int
    deduplicated_size: int
    copy_seconds: float
    workers: int = 1
    damages: tuple[Damage, ...] = ()
    """Bad pages found while copying: the backup is kept, and never passes for clean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    server: str
    id: str
    status: Status
    method: str
    name: str | None = None
    requester: str = ""
    queued_at: datetime
    started_at: datetime | None = None
    copied_at: datetime | None = None
    ended_at: datetime | None = None
    """When it became DONE or FAILED."""
    cluster: Cluster | None = None
    copied: Copied | None = None
    reason: Reason | None = None
    compression: str | None = None
    encryption: str | None = None
    parent_id: str | None = None
    children_ids: tuple[str, ...] = ()
    snapshots: str | None = None
    """Barman's cloud snapshot facts, kept as they came."""

    def begun(self, now: datetime, cluster: Cluster, *, compression: str | None = None) -> "Backup":
        return self._moved(Status.STARTED, started_at=now, cluster=cluster, compression=compression)

    def with_copy(self, now: datetime, copied: Copied) -> "Backup":
        return self._moved(Status.WAITING_FOR_WALS, copied_at=now, copied=copied)

    def secured(self, now: datetime) -> "Backup":
        return self._moved(Status.DONE, ended_at=now)

    def failed(self, now: datetime, reason: Reason) -> "Backup":
        return self._moved(Status.FAILED, ended_at=now, reason=reason)

    def deleting(self) -> "Backup":
        return self._moved(Status.DELETING)

    def needed(self) -> Run | None:
        """The segments without which it cannot be restored; None before its copy is whole."""
        if self.copied is None or self.cluster is None:
            return None
        return needed_between(
            self.copied.timeline,
            self.copied.begin_lsn,
            self.copied.end_lsn,
            self.cluster.segment_size,
        )

    def _moved(self, status: Status, **facts: object) -> "Backup":
        if status not in _ALLOWED[self.status]:
            raise ValueError(f"backup {self.id} cannot go from {self.status} to {status}")
        return replace(self, status=status, **facts)  # type: ignore[arg-type] # facts are named by the methods above
