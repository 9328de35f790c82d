"""How a base backup is to be taken: the server's defaults, and what one request changes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from barmand.model.errors import UsageError

T = TypeVar("T")

MIN_RATE = 32
MAX_RATE = 1024 * 1024
"""KiB/s, the bounds of pg_basebackup's --max-rate."""


class Reuse(StrEnum):
    """What becomes of files that the previous backup has too."""

    OFF = "off"
    COPY = "copy"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class TablespaceLimit:
    """The most that the copy of one tablespace takes, in KiB/s."""

    tablespace: str
    kibibytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`retry_sleep` in seconds; `bandwidth_limit` in KiB/s for the whole backup, None for none."""

    immediate_checkpoint: bool = False
    retry_times: int = 0
    retry_sleep: float = 30.0
    bandwidth_limit: int | None = None
    reuse: Reuse = Reuse.OFF
    jobs: int = 1
    jobs_start_batch_size: int = 10
    jobs_start_batch_period: float = 1.0
    makes_manifest: bool = False
    keepalive_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request says of the order; None where it says nothing."""

    immediate_checkpoint: bool | None = None
    retry_times: int | None = None
    retry_sleep: float | None = None
    bandwidth_limit: int | None = None
    reuse_backup: str | None = None
    jobs: int | None = None
    manifest: bool | None = None
    incremental: str | None = None

    def onto(self, order: Order) -> Order:
        """`order` with what this wish changes; a limit of 0 lifts the server's (Barman)."""
        limit = order.bandwidth_limit if self.bandwidth_limit is None else self.bandwidth_limit
        return Order(
            immediate_checkpoint=_chosen(self.immediate_checkpoint, order.immediate_checkpoint),
            retry_times=_chosen(self.retry_times, order.retry_times),
            retry_sleep=_chosen(self.retry_sleep, order.retry_sleep),
            bandwidth_limit=limit or None,
        )

    def refuse_what_postgres_cannot(self) -> None:
        """Raises UsageError for an option that pg_basebackup cannot honour at all."""
        if self.reuse_backup not in (None, "off"):
            raise UsageError(
                "--reuse-backup works with the rsync methods only, not with "
                "backup_method = postgres"
            )
        if self.manifest is False:
            raise UsageError(
                "--no-manifest is not possible with backup_method = postgres: "
                "its manifest tells which WAL the backup needs"
            )
        if self.bandwidth_limit and not MIN_RATE <= self.bandwidth_limit <= MAX_RATE:
            raise UsageError(
                f"--bwlimit {self.bandwidth_limit}: pg_basebackup takes {MIN_RATE} to {MAX_RATE} "
                "KiB/s, or 0 for no limit"
            )
        if self.incremental is not None:
            raise UsageError("--incremental is not carried by this version of barmand")

    def ignored_by_postgres(self) -> tuple[str, ...]:
        """Sentences for the requester: options that change nothing here, as Barman ignores them."""
        if self.jobs is not None and self.jobs > 1:
            return ("--jobs is ignored: pg_basebackup copies in one stream",)
        return ()


def _chosen(wish: T | None, default: T) -> T:
    return default if wish is None else wish
