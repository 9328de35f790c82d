"""The ways to copy a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from barmand.model.backup import Backup, Cluster, Copied, Damage
from barmand.model.compression import Compression
from barmand.model.errors import ToolFailed
from barmand.model.finding import Finding
from barmand.model.order import Checksums, Order
from barmand.model.positions import end_of, start_of
from barmand.model.progress import Phase
from barmand.model.wal import parse_lsn
from barmand.operations.examining import compatible, packable
from barmand.operations.new_tablespaces import demand_known
from barmand.operations.ports import Clock, CopyTool, Readiness, Report, Seconds, Stop
from barmand.operations.retrying import with_retries
from barmand.storage.base_backup import read_label, read_manifest_tail, tablespaces_in
from barmand.storage.durable import (
    held_open,
    make_directory,
    remove_tree,
    sync_tree,
    tree_size,
)
from barmand.storage.layout import Layout
from barmand.storage.packed import BASE, archive_in
from barmand.storage.promises import finish_manifest

log = structlog.get_logger()

MANIFESTS_SINCE = 130_000


@dataclass(frozen=True, slots=True)
class ByPgBasebackup:
    """`backup_method = postgres`: one stream over the replication connection."""

    layout: Layout
    tool: CopyTool
    now: Clock
    monotonic: Seconds
    compression: Compression | None = None

    @property
    def stored_compression(self) -> str | None:
        return None if self.compression is None else self.compression.stored

    @property
    def needs_replication(self) -> bool:
        return True

    def findings(
        self, readiness: Readiness | None, stop: Stop, *, is_full: bool = True
    ) -> Iterator[Finding]:
        del stop, is_full  # a program that tells its version has ten seconds for it
        yield from compatible("pg_basebackup", self.tool, readiness)
        if self.compression is not None and readiness is not None:
            yield packable(self.compression, self.tool, readiness)

    def take(self, backup: Backup, order: Order, *, stop: Stop, report: Report) -> Copied:
        return with_retries(
            lambda: self._attempt(backup, order, stop, report),
            order,
            ToolFailed,
            stop=stop,
            report=report,
        )

    def _attempt(self, backup: Backup, order: Order, stop: Stop, report: Report) -> Copied:
        home = self.layout.backup(backup.id)
        # pg_basebackup starts from nothing: what an attempt before this one left is of no use.
        remove_tree(home, stop)
        make_directory(home)
        with held_open(home) as since:
            return self._copied(backup, order, since, stop, report)

    def _copied(
        self, backup: Backup, order: Order, since: int, stop: Stop, report: Report
    ) -> Copied:
        """`since` is the backup's folder, held open."""
        home, data = self.layout.backup(backup.id), self.layout.data(backup.id)
        begin_time, begun = self.now(), self.monotonic()
        report(Phase.CHECKPOINT, None, None)
        told = self.tool.copy(
            data=data,
            tablespaces=backup.cluster.tablespaces if backup.cluster else (),
            label=f"barmand backup {backup.server} {backup.id}",
            order=_possible(order, backup.cluster),
            compression=self.compression,
            stop=stop,
            report=report,
        )
        end_time = self.now()
        if told.damages:
            _keep_damaged(data, told.damages)
        demand_known(backup, tablespaces_in(data))
        label = self._label(data)
        start, end_lsn = start_of(label), _end_lsn(read_manifest_tail(data), told.end_point)
        report(Phase.SYNCING, None, None)
        sync_tree(home, since)
        size, deduplicated_size = tree_size(home)
        return Copied(
            timeline=start.timeline,
            begin_lsn=start.lsn,
            begin_time=begin_time,
            end_lsn=end_lsn,
            end_time=end_time,
            backup_label=label,
            size=size,
            deduplicated_size=deduplicated_size,
            copy_seconds=self.monotonic() - begun,
            damages=told.damages,
        )

    def _label(self, data: Path) -> str:
        if self.stored_compression is None:
            return read_label(data)
        return archive_in(data, BASE).read_label()


def _possible(order: Order, cluster: Cluster | None) -> Order:
    """A server that makes no manifest cannot be told how to sum it."""
    if cluster is None or cluster.version >= MANIFESTS_SINCE:
        return order
    return replace(order, manifest_checksums=Checksums.CRC32C)


def _keep_damaged(data: Path, damages: Sequence[Damage]) -> None:
    """The cluster is damaged, not the copy: if that is whole, it is kept and tells of it."""
    if not finish_manifest(data):
        raise ToolFailed("pg_basebackup found bad pages, and its copy is not whole")
    for damage in damages:
        log.error("bad pages in the cluster", file=damage.path, blocks=list(damage.blocks))


def _end_lsn(manifest_tail: str, end_point: str | None) -> int:
    """The manifest's word; before PostgreSQL 13, which has none, the tool's."""
    end = end_of(manifest_tail)
    if end is not None:
        return end.lsn
    if end_point is None:
        raise ToolFailed("neither a backup_manifest nor pg_basebackup tells where the backup ends")
    return parse_lsn(end_point)
