"""`backup_method = local`: the kernel copies, for a daemon on the database's own machine."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from barmand.model.backup import Damage, Doubt
from barmand.model.errors import StorageFailed
from barmand.model.finding import Finding, demanded
from barmand.model.order import Reuse
from barmand.model.pgdata import CONTROL_FILE, TABLESPACE_LINKS
from barmand.model.progress import Phase
from barmand.operations.ports import CopyJob, Report, Stop
from barmand.storage.attempts import Attempts
from barmand.storage.checksums import NO_CHECKSUMS, checksums_in
from barmand.storage.control_file import bring_whole
from barmand.storage.data_tree import outside_of, system_id_of, trees_of, unreadable
from barmand.storage.disk import at_the_disk
from barmand.storage.linking import Reference
from barmand.storage.live_copy import LiveCopy
from barmand.storage.local_copy import Crew, LocalCopy
from barmand.storage.pace import Pace, Paces
from barmand.storage.seen import Looks, Seen
from barmand.storage.survey import Survey, survey

_SLACK_NS = 2 * 10**9
"""Clocks of files are coarse: what changed so shortly before a copy began is compared."""
_KIBIBYTE = 1024
_TOLD_BYTES = 1024 * 1024
"""Progress is not told for less: a cluster has many small files."""


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """`tablespace_limits` in KiB/s, by the tablespace's name.

    `retry_times` of an order is for each file, and each directory that is looked through: what is
    copied stays. storage.attempts tells which failures are worth another attempt.
    """

    tablespace_limits: Mapping[str, int] = field(default_factory=dict)

    def findings(
        self, pgdata: str | None, stop: Stop, *, is_full: bool = True
    ) -> Iterator[Finding]:
        del stop, is_full
        if pgdata is not None:
            why_not = unreadable(Path(pgdata))
            yield demanded("local PGDATA", why_not or pgdata, is_ok=why_not is None)

    def copy(self, job: CopyJob, *, stop: Stop, report: Report) -> list[Damage | Doubt]:
        """Tablespaces and data directory together, balanced by bytes over the workers."""
        _demand_same_cluster(job)
        attempts = _attempts(job, stop, lambda: report(Phase.RETRYING, None, None))
        files = survey(trees_of(job.cluster, job.home, real=Path.resolve), attempts)
        report(Phase.COPYING, 0, files.bytes)
        _link_tablespaces(job)
        crew = Crew(
            job.order.jobs, job.order.jobs_start_batch_size, job.order.jobs_start_batch_period
        )
        found = self._copier(job, files, attempts, report).run(files, crew)
        _copy_outside(job, attempts)
        _copy_control_file(job, attempts)
        return found

    def _copier(self, job: CopyJob, found: Survey, attempts: Attempts, report: Report) -> LocalCopy:
        lock = threading.Lock()
        done = told = 0

        def progress(count: int) -> None:
            nonlocal done, told
            with lock:
                done += count
                if done - told >= _TOLD_BYTES or done >= found.bytes:
                    told = done
                    report(Phase.COPYING, done, max(done, found.bytes))

        return LocalCopy(
            looks=_looks(job),
            reference=_reference(job, attempts.stop),
            manifest=job.manifest,
            attempts=attempts,
            progress=progress,
            paces=self._paces(job),
            home=job.home,
        )

    def _paces(self, job: CopyJob) -> Paces:
        limit = job.order.bandwidth_limit
        spaces = {
            f"{TABLESPACE_LINKS}/{space.oid}/": Pace(own * _KIBIBYTE)
            for space in job.cluster.tablespaces
            if (own := self.tablespace_limits.get(space.name))
        }
        return Paces(Pace(None if limit is None else limit * _KIBIBYTE), spaces)


def _attempts(job: CopyJob, stop: Stop, report_pause: Callable[[], None]) -> Attempts:
    return Attempts(stop, job.order.retry_times, job.order.retry_sleep, report_pause)


def _link_tablespaces(job: CopyJob) -> None:
    for space in job.cluster.tablespaces:
        link = job.home / "data" / TABLESPACE_LINKS / str(space.oid)
        with at_the_disk("link", link):
            link.symlink_to(job.home / str(space.oid))


def _copy_outside(job: CopyJob, attempts: Attempts) -> None:
    """Configuration that lies outside the data directory comes into it, as with Barman."""
    for file in outside_of(job.cluster):
        try:
            _tell(job, file.name, _bring(job, file, file.name, attempts))
        except StorageFailed:
            if str(file) != job.cluster.ident_file:
                raise


def _copy_control_file(job: CopyJob, attempts: Attempts) -> None:
    source = Path(job.cluster.pgdata) / CONTROL_FILE
    last: list[Seen] = []
    bring_whole(
        lambda: last.append(_bring(job, source, CONTROL_FILE, attempts)),
        job.home / "data" / CONTROL_FILE,
        attempts.stop,
    )
    # Told when it is whole, not each time that it comes.
    _tell(job, CONTROL_FILE, last[-1])


def _bring(job: CopyJob, source: Path, path: str, attempts: Attempts) -> Seen:
    """One file that holds no pages, always anew."""
    looks = Looks(None, None if job.manifest is None else job.manifest.algorithm)
    copier = LiveCopy(looks, attempts.stop, lambda _count: None)

    def bring(target: Path) -> Seen:
        with at_the_disk("remove", target):
            target.unlink(missing_ok=True)
        return copier.copy(source, target, None)

    return attempts.run(partial(bring, job.home / "data" / path))


def _tell(job: CopyJob, path: str, seen: Seen) -> None:
    if job.manifest is not None and seen.checksum is not None:
        job.manifest.add(path, seen.size, seen.changed_ns, seen.checksum)


def _demand_same_cluster(job: CopyJob) -> None:
    """The server may run elsewhere, and another one's data lie here at the same path."""
    found, expected = system_id_of(Path(job.cluster.pgdata)), job.cluster.system_id
    if found != expected:
        raise StorageFailed(
            f"{job.cluster.pgdata} on this machine is not {job.backup.server}'s data directory: "
            f"its system identifier is {found}, not {expected}",
            hint="backup_method = local is for a daemon on the database's own machine.",
        )


def _looks(job: CopyJob) -> Looks:
    return Looks(job.verify_before, None if job.manifest is None else job.manifest.algorithm)


def _reference(job: CopyJob, stop: Stop) -> Reference | None:
    if job.reference is None or job.reference_home is None or job.order.reuse is not Reuse.LINK:
        return None
    copied = job.reference.copied
    if copied is None:
        return None
    begin_ns = int(copied.begin_time.timestamp() * 10**9)
    checksums = NO_CHECKSUMS
    if job.manifest is not None:
        checksums = checksums_in(job.reference_home / "data", job.manifest.algorithm, stop)
    return Reference(job.reference_home, begin_ns - _SLACK_NS, checksums)
