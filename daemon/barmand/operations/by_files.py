"""Copy a cluster file by file, between PostgreSQL's backup start and stop.

1. backup start, on a session that is held
2. tablespaces and data directory; configuration files that lie outside it
3. pg_control, last
4. backup stop, which does not wait for the archive: which WAL is needed we know ourselves
5. backup_label and tablespace_map beside the data, the manifest's end, one sync
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from barmand.catalog.backups import Backups
from barmand.model.backup import RESTORABLE, Backup, Cluster, Copied, Damage, Doubt, damages_of
from barmand.model.errors import Failure, PostgresFailed, Stopped
from barmand.model.finding import Finding
from barmand.model.order import Order, Reuse
from barmand.model.pgdata import mapped_tablespaces
from barmand.model.positions import Position, start_of
from barmand.model.progress import Phase
from barmand.operations.new_tablespaces import demand_known
from barmand.operations.ports import (
    Clock,
    CopyJob,
    Ended,
    FileCopier,
    HeldBackup,
    HeldSession,
    Readiness,
    Report,
    Seconds,
    Stop,
)
from barmand.operations.retrying import with_retries
from barmand.storage.durable import (
    held_open,
    make_directory,
    remove_tree,
    sync_tree,
    tree_size,
    write_whole,
)
from barmand.storage.layout import Layout
from barmand.storage.manifest import Algorithm, Manifest, WalRange, writing
from barmand.storage.pace import EitherStop

log = structlog.get_logger()

FILE_METHODS = frozenset({"rsync", "local-rsync", "local"})


class SessionLost(PostgresFailed):
    """The session that held the backup broke off. To the operator it is PostgreSQL's failure."""

    @property
    def kind(self) -> str:
        return PostgresFailed.__name__


@dataclass(frozen=True, slots=True)
class ByFiles:
    """`copier` brings the files: over ssh, by a local rsync, or by the kernel."""

    layout: Layout
    backups: Backups
    held: HeldBackup
    copier: FileCopier
    now: Clock
    monotonic: Seconds

    @property
    def needs_replication(self) -> bool:
        return False

    @property
    def stored_compression(self) -> None:
        return None

    def findings(
        self, readiness: Readiness | None, stop: Stop, *, is_full: bool = True
    ) -> Iterator[Finding]:
        pgdata = readiness.pgdata if readiness else None
        yield from self.copier.findings(pgdata, stop, is_full=is_full)

    def take(self, backup: Backup, order: Order, *, stop: Stop, report: Report) -> Copied:
        """Where retries are wanted, a PostgreSQL that was restarted is begun with once more."""
        return with_retries(
            lambda: self._attempt(backup, order, stop, report),
            order,
            SessionLost,
            stop=stop,
            report=report,
        )

    def _attempt(self, backup: Backup, order: Order, stop: Stop, report: Report) -> Copied:
        home = self.layout.backup(backup.id)
        # A copy without the session that held PostgreSQL's backup mode is of no use.
        remove_tree(home, stop)
        make_directory(home)
        with held_open(home) as since:
            return self._copied(backup, order, since, stop, report)

    def _copied(
        self, backup: Backup, order: Order, since: int, stop: Stop, report: Report
    ) -> Copied:
        """`since` is the backup's folder, held open."""
        home = self.layout.backup(backup.id)
        begin_time, begun = self.now(), self.monotonic()
        report(Phase.CHECKPOINT, None, None)
        held = self.held.begun(
            f"barmand backup {backup.server} {backup.id}",
            is_fast=order.immediate_checkpoint,
            keepalive_seconds=order.keepalive_seconds,
            stop=stop,
        )
        with self._manifest(backup, order) as manifest:
            with held as session:
                job = self._job(backup, order, session, manifest)
                found = self._copy(job, session, stop, report)
                report(Phase.CLOSING, None, None)
                ended = session.end()
            end_time = self.now()
            damages = _damages(found, ended.lsn)
            start = _start(backup.server, ended)
            demand_known(backup, mapped_tablespaces(ended.tablespace_map))
            self._lay_beside(backup, ended, manifest)
            if manifest is not None:
                manifest.end(
                    [WalRange(timeline=start.timeline, start_lsn=start.lsn, end_lsn=ended.lsn)]
                )
        report(Phase.SYNCING, None, None)
        sync_tree(home, since)
        size, deduplicated_size = tree_size(home)
        return Copied(
            timeline=start.timeline,
            begin_lsn=start.lsn,
            begin_time=begin_time,
            end_lsn=ended.lsn,
            end_time=end_time,
            backup_label=ended.backup_label,
            size=size,
            deduplicated_size=deduplicated_size,
            copy_seconds=self.monotonic() - begun,
            workers=order.jobs,
            damages=damages,
        )

    @contextmanager
    def _manifest(self, backup: Backup, order: Order) -> Iterator[Manifest | None]:
        if not order.makes_manifest or backup.cluster is None:
            yield None
            return
        algorithm = Algorithm[order.manifest_checksums.name]
        with writing(self.layout.data(backup.id), algorithm) as manifest:
            manifest.begin(backup.cluster.version, backup.cluster.system_id)
            yield manifest

    def _job(
        self, backup: Backup, order: Order, session: HeldSession, manifest: Manifest | None
    ) -> CopyJob:
        cluster = backup.cluster
        if cluster is None:
            raise ValueError("a backup that has begun knows its cluster")
        reference = None if order.reuse is Reuse.OFF else self._reference(backup, cluster)
        return CopyJob(
            backup=backup,
            cluster=cluster,
            order=order,
            home=self.layout.backup(backup.id),
            verify_before=session.start_lsn if cluster.data_checksums == "on" else None,
            reference=reference,
            reference_home=None if reference is None else self.layout.backup(reference.id),
            manifest=manifest,
        )

    def _reference(self, backup: Backup, cluster: Cluster) -> Backup | None:
        """The newest usable backup of the same cluster that was copied file by file too."""
        for other in reversed(self.backups.of_server(backup.server)):
            if (
                other.status in RESTORABLE
                and other.method in FILE_METHODS
                and other.cluster is not None
                and other.cluster.system_id == cluster.system_id
                and other.copied is not None
                and not other.copied.damages
            ):
                return other
        return None

    def _copy(
        self, job: CopyJob, session: HeldSession, stop: Stop, report: Report
    ) -> list[Damage | Doubt]:
        either = EitherStop(stop, session.lost)
        try:
            found = self.copier.copy(job, stop=either, report=report)
        except (Failure, Stopped) as error:
            if session.lost.is_set() and not stop.is_set():
                raise _lost(job.backup.server, session) from error
            raise
        if session.lost.is_set():
            raise _lost(job.backup.server, session)
        return found

    def _lay_beside(self, backup: Backup, ended: Ended, manifest: Manifest | None) -> None:
        files = {"backup_label": ended.backup_label, "tablespace_map": ended.tablespace_map}
        for name, text in files.items():
            if text.strip():
                content = text.encode()
                write_whole(self.layout.data(backup.id) / name, content)
                if manifest is not None:
                    manifest.add_content(name, content)


def _damages(found: list[Damage | Doubt], end_lsn: int) -> tuple[Damage, ...]:
    damages = damages_of(found, end_lsn)
    for damage in damages:
        log.error("bad pages in the cluster", file=damage.path, blocks=list(damage.blocks)[:10])
    return damages


def _start(server: str, ended: Ended) -> Position:
    """Raises PostgresFailed when it ends in another timeline: such WAL we do not keep together."""
    start = start_of(ended.backup_label)
    if ended.timeline not in (None, start.timeline):
        raise PostgresFailed(
            f"{server} followed a promotion of its primary during the backup, which needs WAL of "
            f"timelines {start.timeline} and {ended.timeline}",
            hint="Take the backup again.",
        )
    return start


def _lost(server: str, session: HeldSession) -> PostgresFailed:
    if session.promoted.is_set():
        return PostgresFailed(
            f"{server} was promoted in mid-copy: what was copied belongs to no one timeline",
            hint="Take the backup again.",
        )
    return SessionLost(
        f"PostgreSQL of {server} ended the backup: its session broke off, it was restarted perhaps",
        hint="The copy is of no use without that session. Take the backup again.",
    )
