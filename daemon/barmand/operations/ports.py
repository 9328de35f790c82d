"""The shapes we need from outside; their adapters do not know them, they just fit."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from barmand.model.backup import Backup, Cluster, Copied, Tablespace
from barmand.model.errors import Stopped
from barmand.model.order import Order
from barmand.model.progress import Phase

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


class Slot(Protocol):
    @property
    def is_active(self) -> bool: ...

    @property
    def has_reserved_wal(self) -> bool: ...


class Readiness(Protocol):
    @property
    def version(self) -> int: ...

    @property
    def is_standby(self) -> bool: ...

    @property
    def wal_level(self) -> str: ...

    @property
    def archive_mode(self) -> str: ...

    @property
    def archiving_fails(self) -> bool: ...

    @property
    def reads_settings(self) -> bool: ...

    @property
    def switches_wal(self) -> bool: ...

    @property
    def role(self) -> str: ...


class PostgresServer(Protocol):
    """One PostgreSQL server. Every method raises PostgresFailed."""

    def facts(self) -> Cluster: ...

    def readiness(self) -> Readiness: ...

    def identify(self) -> Identity: ...

    def slot(self, name: str) -> Slot | None: ...

    def close_segment(self, lsn: int) -> None: ...


class Versioned(Protocol):
    """A program of PostgreSQL's. Raises ToolFailed when it is missing."""

    def version(self) -> int: ...


class Method(Protocol):
    """A way to copy a cluster. The copy is whole and synced when it returns."""

    def take(self, backup: Backup, order: Order, *, stop: Stop, report: Report) -> Copied: ...


class CopyTool(Protocol):
    """pg_basebackup, or what stands for it."""

    def copy(
        self,
        *,
        data: Path,
        tablespaces: Sequence[Tablespace],
        label: str,
        order: Order,
        stop: Stop,
        report: Report,
    ) -> str | None:
        """Copy the cluster into `data`; the end point (LSN) that the tool told, if it did."""
