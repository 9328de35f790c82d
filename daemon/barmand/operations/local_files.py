"""`backup_method = local`: the kernel copies, for a daemon on the database's own machine."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from barmand.model.backup import Cluster, Damage
from barmand.model.errors import StorageFailed
from barmand.model.finding import Finding
from barmand.model.order import Reuse
from barmand.model.pgdata import CONTROL_FILE, TABLESPACE_LINKS, tablespace_version_folder
from barmand.model.progress import Phase
from barmand.operations.ports import CopyJob, Report, Stop
from barmand.storage.data_tree import Survey, Tree, survey, system_id_of, unreadable
from barmand.storage.live_copy import LiveCopy, Looks
from barmand.storage.local_copy import LocalCopy, Reference
from barmand.storage.manifest import read_checksums
from barmand.storage.pace import Pace

_SLACK_NS = 2 * 10**9
"""Clocks of files are coarse: what changed so shortly before a copy began is compared."""
_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class LocalFiles:
    def findings(self, pgdata: str | None) -> Iterator[Finding]:
        name = "local data directory"
        if pgdata is None:
            return
        why_not = unreadable(Path(pgdata))
        yield Finding(name, why_not or pgdata, is_ok=why_not is None)

    def copy(self, job: CopyJob, *, stop: Stop, report: Report) -> list[Damage]:
        """Tablespaces and data directory together, balanced by bytes over the workers."""
        _demand_same_cluster(job)
        found = survey(trees_of(job))
        report(Phase.COPYING, 0, found.bytes)
        for space in job.cluster.tablespaces:
            link = job.home / "data" / TABLESPACE_LINKS / str(space.oid)
            link.symlink_to(job.home / str(space.oid))
        damages = self._copier(job, found, stop, report).run(found, job.order.jobs)
        self._copy_outside(job, stop)
        return damages

    def copy_control_file(self, job: CopyJob, *, stop: Stop) -> None:
        self._one(job, Path(job.cluster.pgdata) / CONTROL_FILE, CONTROL_FILE, stop)

    def _copier(self, job: CopyJob, found: Survey, stop: Stop, report: Report) -> LocalCopy:
        limit = job.order.bandwidth_limit
        lock = threading.Lock()
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            with lock:
                done += count
                report(Phase.COPYING, done, max(done, found.bytes))

        return LocalCopy(
            looks=looks_of(job),
            reference=_reference(job),
            manifest=job.manifest,
            stop=stop,
            progress=progress,
            pace=Pace(None if limit is None else limit * _KIBIBYTE),
            home=job.home,
        )

    def _copy_outside(self, job: CopyJob, stop: Stop) -> None:
        """Configuration that lies outside the data directory comes into it, as with Barman."""
        for file in _outside(job.cluster):
            try:
                self._one(job, file, file.name, stop)
            except StorageFailed:
                if str(file) != job.cluster.ident_file:
                    raise

    def _one(self, job: CopyJob, source: Path, path: str, stop: Stop) -> None:
        looks = Looks(None, None if job.manifest is None else job.manifest.algorithm)
        target = job.home / "data" / path
        target.unlink(missing_ok=True)
        seen = LiveCopy(looks, stop, lambda _count: None).copy(source, target, None)
        if job.manifest is not None and seen.checksum is not None:
            job.manifest.add(path, seen.size, seen.changed_ns, seen.checksum)


def trees_of(job: CopyJob) -> list[Tree]:
    """Each tablespace, then the data directory without those that lie inside it."""
    pgdata = Path(job.cluster.pgdata)
    real = pgdata.resolve()
    spaces = [
        Tree(
            source=Path(space.location),
            target=job.home / str(space.oid),
            prefix=f"{TABLESPACE_LINKS}/{space.oid}/",
            version_folder=tablespace_version_folder(job.cluster.version),
        )
        for space in job.cluster.tablespaces
    ]
    places = (tree.source.resolve() for tree in spaces)
    left_out = {str(place.relative_to(real)) for place in places if place.is_relative_to(real)}
    # What comes from outside takes the name of what lies here unused.
    left_out |= {file.name for file in _outside(job.cluster)}
    return [*spaces, Tree(source=pgdata, target=job.home / "data", left_out=frozenset(left_out))]


def _outside(cluster: Cluster) -> list[Path]:
    """Configuration files that do not lie in the data directory."""
    files = (cluster.config_file, cluster.hba_file, cluster.ident_file)
    return [Path(file) for file in files if file and not Path(file).is_relative_to(cluster.pgdata)]


def _demand_same_cluster(job: CopyJob) -> None:
    """The server may run elsewhere, and another one's data lie here at the same path."""
    found, expected = system_id_of(Path(job.cluster.pgdata)), job.cluster.system_id
    if found != expected:
        raise StorageFailed(
            f"{job.cluster.pgdata} on this machine is not {job.backup.server}'s data directory: "
            f"its system identifier is {found}, not {expected}",
            hint="backup_method = local is for a daemon on the database's own machine.",
        )


def looks_of(job: CopyJob) -> Looks:
    return Looks(job.verify_before, None if job.manifest is None else job.manifest.algorithm)


def _reference(job: CopyJob) -> Reference | None:
    if job.reference is None or job.reference_home is None or job.order.reuse is not Reuse.LINK:
        return None
    copied = job.reference.copied
    if copied is None:
        return None
    begin_ns = int(copied.begin_time.timestamp() * 10**9)
    checksums = (
        {}
        if job.manifest is None
        else read_checksums(job.reference_home / "data", job.manifest.algorithm)
    )
    return Reference(job.reference_home, begin_ns - _SLACK_NS, checksums)
