"""`backup_method = rsync` and `local-rsync`: a cluster's files through rsync, over ssh or not."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from barmand.model.backup import Backup, Cluster, Damage, Doubt
from barmand.model.errors import Failure, ToolFailed
from barmand.model.finding import Finding, demanded
from barmand.model.order import Order, Reuse
from barmand.model.pgdata import CONTROL_FILE, TABLESPACE_LINKS
from barmand.model.progress import Phase
from barmand.outside.rsync import Rsync
from barmand.outside.rsync_limits import UNLIMITED, Halting, Limits, Shares
from barmand.outside.rsync_loads import Attempts, Loads
from barmand.outside.rsync_past import Past
from barmand.outside.rsync_trees import (
    LOAD_BYTES,
    Listing,
    Load,
    Sorting,
    judge_of,
    loads_of,
)
from barmand.outside.rsync_ways import Ways, ways_of
from barmand.outside.rsync_work import Halt, Progress, Report, spread
from barmand.outside.ssh_health import ssh_findings
from barmand.storage.brought import Reading
from barmand.storage.checksums import NO_CHECKSUMS, checksums_in
from barmand.storage.control_file import bring_whole
from barmand.storage.data_tree import Tree, outside_of, trees_of
from barmand.storage.disk import at_the_disk
from barmand.storage.manifest import Manifest
from barmand.storage.pace import Starts
from barmand.storage.seen import Looks

_BESIDE = ".rsync"
_EMPTY = "empty"
_SLACK_NS = 2 * 10**9
"""Clocks of files are coarse: what changed so shortly before a copy began is compared."""
_KIBIBYTE = 1024
_LIMITED_SECONDS = 10
_LIMITED_LOADS = 20
"""Under a limit loads are short, so that a share that was given back is soon in use again."""


class CopyJob(Protocol):
    """One copy of a cluster; operations.ports tells what its fields mean."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def order(self) -> Order: ...

    @property
    def home(self) -> Path: ...

    @property
    def verify_before(self) -> int | None: ...

    @property
    def reference(self) -> Backup | None: ...

    @property
    def reference_home(self) -> Path | None: ...

    @property
    def manifest(self) -> Manifest | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RsyncFiles:
    """`ssh`: Barman's `ssh_command` in words, None copies on this machine.

    `tablespace_limits` in KiB/s, by the tablespace's name. A connection on which nothing comes for
    `silence_seconds` is taken for dead.
    """

    ssh: tuple[str, ...] | None = None
    path_prefix: Sequence[Path] = ()
    network_compression: bool = False
    tablespace_limits: Mapping[str, int] = field(default_factory=dict)
    connect_seconds: int = 15
    silence_seconds: int = 60

    def findings(
        self, pgdata: str | None, stop: Halting, *, is_full: bool = True
    ) -> Iterator[Finding]:
        """Does ssh get through, and does rsync see the data directory? Raises Failure."""
        error = None if pgdata is None else self._rsync.look_at(Path(pgdata), stop).error
        is_through = pgdata is not None and error is None
        # Where rsync gets through, nothing that ssh itself is asked keeps from a backup.
        if self.ssh is not None and (is_full or not is_through):
            yield from ssh_findings(
                self.ssh, self.connect_seconds, stop, is_rsync_through=is_through
            )
        if pgdata is not None:
            name = "local PGDATA" if self.ssh is None else "data directory"
            yield demanded(name, pgdata if error is None else _words(error), is_ok=error is None)

    def copy(self, job: CopyJob, *, stop: Halting, report: Report) -> list[Damage | Doubt]:
        """Tablespaces and data directory together, balanced by bytes over the workers.

        Raises ToolFailed, StorageFailed, Stopped.
        """
        halt = Halt(stop)
        attempts = _attempts(job, halt, lambda: report(Phase.RETRYING, None, None))
        past = _past(job, halt)
        with _beside(job.home) as beside, ways_of(self._rsync, halt) as ways:
            listings = [
                listing
                for tree in trees_of(job.cluster, job.home)
                for listing in _list(ways, tree, past, attempts, beside)
            ]
            _link_tablespaces(job)
            loads = loads_of(listings, job.order.jobs, self._most(job, listings))
            by_name = Loads(
                ways=ways,
                attempts=attempts,
                looks=Looks(job.verify_before, job.manifest.algorithm if job.manifest else None),
                reuse=job.order.reuse,
                past=None,
                manifest=job.manifest,
                beside=beside,
                limits=UNLIMITED,
                add_bytes=lambda _bytes: None,
            )
            progress = Progress(sum(load.bytes for load in loads), report)
            listed = replace(
                by_name, past=past, limits=self._limits(job, loads), add_bytes=progress.add
            )
            found = spread(loads, job.order.jobs, listed.fetch, halt)
            _copy_outside(job, by_name)
            _copy_control_file(job, by_name, halt)
        return found

    @property
    def _rsync(self) -> Rsync:
        return Rsync(
            ssh=self.ssh,
            path_prefix=self.path_prefix,
            network_compression=self.network_compression,
            connect_seconds=self.connect_seconds,
            silence_seconds=self.silence_seconds,
        )

    def _most(self, job: CopyJob, listings: Sequence[Listing]) -> Callable[[Listing], float]:
        """The bytes of a load of such a listing, at most."""
        total = sum(listing.weight for listing in listings)
        by_target = {
            job.home / str(space.oid): self.tablespace_limits.get(space.name)
            for space in job.cluster.tablespaces
        }

        def most(listing: Listing) -> float:
            limits = [job.order.bandwidth_limit, by_target.get(listing.tree.target)]
            known = [limit for limit in limits if limit]
            if not known or job.order.jobs == 1:
                return LOAD_BYTES
            in_time = min(known) * _KIBIBYTE * _LIMITED_SECONDS
            return min(LOAD_BYTES, max(in_time, total / (_LIMITED_LOADS * job.order.jobs)))

        return most

    def _limits(self, job: CopyJob, loads: Sequence[Load]) -> Limits:
        jobs, limit = job.order.jobs, job.order.bandwidth_limit
        whole = Shares(limit, jobs, sum(load.bytes for load in loads)) if limit else None
        spaces: dict[str, Shares] = {}
        for space in job.cluster.tablespaces:
            own = self.tablespace_limits.get(space.name)
            if own:
                prefix = f"{TABLESPACE_LINKS}/{space.oid}/"
                queued = sum(load.bytes for load in loads if load.tree.prefix == prefix)
                spaces[prefix] = Shares(own, jobs, queued)
        return Limits(whole, spaces)


def _words(error: Exception) -> str:
    """With the way out, where one is known; what rsync said besides is not for a list."""
    hint = error.hint if isinstance(error, Failure) else None
    first = (hint or "").partition("\n")[0]
    return f"{error} {first}" if first and "rsync: " not in first else str(error)


def _attempts(
    job: CopyJob, halt: Halt, report_pause: Callable[[], None] = lambda: None
) -> Attempts:
    order = job.order
    starts = Starts(order.jobs_start_batch_size, order.jobs_start_batch_period, halt)
    return Attempts(order, starts, halt, report_pause)


def _past(job: CopyJob, halt: Halt) -> Past | None:
    if job.reference is None or job.reference_home is None or job.order.reuse is Reuse.OFF:
        return None
    copied = job.reference.copied
    if copied is None:
        return None
    begin_ns = int(copied.begin_time.timestamp() * 10**9)
    checksums = NO_CHECKSUMS
    if job.manifest is not None:
        checksums = checksums_in(job.reference_home / "data", job.manifest.algorithm, halt)
    return Past(job.reference_home, job.home, begin_ns - _SLACK_NS, checksums)


def _list(
    ways: Ways, tree: Tree, past: Past | None, attempts: Attempts, beside: Path
) -> list[Listing]:
    sorting = Sorting(tree, (lambda _tree, _entry: False) if past is None else past.doubts)
    with at_the_disk("make directory", tree.target):
        tree.target.mkdir(0o700, exist_ok=True)
    with ways.one() as rsync:
        attempts.run(
            lambda: rsync.list_tree(
                tree.source,
                beside / _EMPTY,
                # All of them are trees of their own, and links are followed.
                left_out=() if tree.prefix else (f"/{TABLESPACE_LINKS}/*",),
                judge=judge_of(tree),
                on_entry=sorting.take,
                stop=attempts.stop,
            ),
            facts={"source": str(tree.source), "lists": True},
            again=sorting.clear,
        )
    return [sorting.certain, sorting.doubtful]


def _link_tablespaces(job: CopyJob) -> None:
    for space in job.cluster.tablespaces:
        link = job.home / "data" / TABLESPACE_LINKS / str(space.oid)
        with at_the_disk("link", link):
            link.symlink_to(job.home / str(space.oid))


def _copy_outside(job: CopyJob, loads: Loads) -> None:
    """Configuration that lies outside the data directory comes into it, as with Barman."""
    for file in outside_of(job.cluster):
        try:
            _fetch_one(loads, file.parent, file.name, job.home)
        except ToolFailed:
            if str(file) != job.cluster.ident_file:
                raise


def _copy_control_file(job: CopyJob, loads: Loads, stop: Halting) -> None:
    # Told to the manifest when it is whole, not each time that it comes.
    untold = replace(loads, manifest=None)
    copy = job.home / "data" / CONTROL_FILE
    bring_whole(
        lambda: _fetch_one(untold, Path(job.cluster.pgdata), CONTROL_FILE, job.home), copy, stop
    )
    if job.manifest is not None:
        with closing(Reading(copy, None, loads.looks, stop)) as reading:
            seen = reading.finish()
        job.manifest.add(CONTROL_FILE, seen.size, seen.changed_ns, str(seen.checksum))


def _fetch_one(loads: Loads, folder: Path, path: str, home: Path) -> None:
    """A file that must be there, always anew."""
    target = home / "data"
    with at_the_disk("remove", target / path):
        (target / path).unlink(missing_ok=True)
    loads.fetch(Load(Tree(folder, target), (path,), 0, is_required=True))


@contextmanager
def _beside(home: Path) -> Iterator[Path]:
    """A folder for half files and lists, gone with all that a killed rsync left there."""
    folder = home / _BESIDE
    with at_the_disk("make directory", folder):
        (folder / _EMPTY).mkdir(0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
