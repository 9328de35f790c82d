"""How a base backup is to be taken: the server's defaults, and what one request changes."""

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from barmand.model.errors import UsageError

MIN_RATE = 32
MAX_RATE = 1024 * 1024
"""KiB/s, the bounds of pg_basebackup's --max-rate."""


class Reuse(StrEnum):
    """What becomes of files that the previous backup has too."""

    OFF = "off"
    COPY = "copy"
    LINK = "link"


class Checksums(StrEnum):
    """How a manifest sums the files that it names."""

    CRC32C = "crc32c"
    SHA256 = "sha256"


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
    manifest_checksums: Checksums = Checksums.CRC32C
    keepalive_seconds: int = 60
    check_seconds: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a request says of the order; None where it says nothing."""

    immediate_checkpoint: bool | None = None
    retry_times: int | None = None
    retry_sleep: float | None = None
    bandwidth_limit: int | None = None
    reuse: Reuse | None = None
    jobs: int | None = None
    jobs_start_batch_size: int | None = None
    jobs_start_batch_period: float | None = None
    makes_manifest: bool | None = None
    manifest_checksums: Checksums | None = None
    keepalive_seconds: int | None = None
    check_seconds: int | None = None
    incremental: str | None = None

    def onto(self, order: Order) -> Order:
        """`order` with what this wish changes; a limit of 0 lifts the server's (Barman).

        Who says how the manifest is to be summed wants one.
        """
        said = {
            each.name: value
            for each in fields(Order)
            if (value := getattr(self, each.name)) is not None
        }
        wanted = {"makes_manifest": True} if self.manifest_checksums is not None else {}
        changed = replace(order, **(wanted | said))
        return replace(changed, bandwidth_limit=changed.bandwidth_limit or None)

    def refuse_for(self, method: str) -> None:
        """Raises UsageError for an option that the method cannot honour at all."""
        if self.incremental is not None:
            raise UsageError("--incremental is not carried by this version of barmand")
        if self.manifest_checksums is not None and self.makes_manifest is False:
            raise UsageError("--manifest-checksums and --no-manifest exclude each other")
        if method != "postgres":
            return
        if self.reuse not in (None, Reuse.OFF):
            raise UsageError(
                "--reuse-backup works with the methods that copy files, not with "
                "backup_method = postgres"
            )
        if self.makes_manifest is False:
            raise UsageError(
                "--no-manifest is not possible with backup_method = postgres: "
                "its manifest tells which WAL the backup needs"
            )
        if self.bandwidth_limit and not MIN_RATE <= self.bandwidth_limit <= MAX_RATE:
            raise UsageError(
                f"--bwlimit {self.bandwidth_limit}: pg_basebackup takes {MIN_RATE} to {MAX_RATE} "
                "KiB/s, or 0 for no limit"
            )

    def ignored_by(self, method: str) -> tuple[str, ...]:
        """Sentences for the requester: options that change nothing here, as Barman ignores them."""
        if method == "postgres" and self.jobs is not None and self.jobs > 1:
            return ("--jobs is ignored: pg_basebackup copies in one stream",)
        if method == "local" and self.reuse is Reuse.COPY:
            return ("--reuse-backup copy changes nothing: a local copy reads this disk anyway",)
        return ()
