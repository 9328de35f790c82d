"""Take a base backup."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from barmand.catalog.servers import Servers
from barmand.model.backup import Backup, Cluster, Reason, Status
from barmand.model.errors import PostgresFailed, Refused, Stopped
from barmand.model.finding import demand
from barmand.model.hook import HookEvent
from barmand.model.order import Order, Reuse
from barmand.model.progress import Phase
from barmand.model.wal import format_lsn
from barmand.operations.check import Check
from barmand.operations.closing import Closing
from barmand.operations.hooks import Hooks
from barmand.operations.ports import Clock, Method, PostgresServer, Report, Seconds, Stop, heed
from barmand.operations.record import Record
from barmand.storage import backup_info
from barmand.storage.layout import Layout

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TakeBackup:
    """`ring_archive` asks for an archiving pass: the backup may be safe already.

    `demand_slot` makes the slot that keeps its WAL, where the settings ask for that; it is told how
    many seconds PostgreSQL has for each question.
    """

    layout: Layout
    servers: Servers
    record: Record
    check: Check
    postgres: PostgresServer
    closing: Closing
    method: Method
    hooks: Hooks
    ring_archive: Callable[[], None]
    demand_slot: Callable[[int], None]
    now: Clock
    monotonic: Seconds

    def run(self, backup: Backup, order: Order, *, stop: Stop, report: Report) -> Backup:
        """From QUEUED to WAITING_FOR_WALS, or to FAILED with the reason raised."""
        begun = self.monotonic()
        log.info("backup started", method=backup.method, requester=backup.requester)
        current = backup
        try:
            heed(stop)
            report(Phase.CHECKING, None, None)
            with suppress(PostgresFailed):  # the check tells why, with all else that is amiss
                self.demand_slot(order.check_seconds)
            check, links = self.check.within(order.check_seconds), order.reuse is Reuse.LINK
            demand(backup.server, check.obstacles(stop, links=links))
            current = self._begin(current)
            self._agree(current, stop, report)
            current = self._copy(current, order, stop, report)
        except BaseException as error:
            told = Stopped(stop.reason) if isinstance(error, Stopped) else error
            self._fail(current, told, stop, report, self.monotonic() - begun)
            raise
        self._tell(current)
        self.ring_archive()
        self.hooks.after_copy(current, stop=stop)
        return current

    def _fail(
        self, backup: Backup, error: BaseException, stop: Stop, report: Report, seconds: float
    ) -> None:
        """The hooks of one that began hear why."""
        reason, has_begun = Reason.of(error), backup.status is not Status.QUEUED
        if has_begun and self.hooks.has_after(HookEvent.BACKUP):
            report(Phase.HOOKS, None, None)  # first: who follows it waits for them
        failed = self.record.fail(backup, reason)
        log.error(
            "backup failed",
            code=reason.code,
            error=reason.message,
            hint=reason.hint,
            seconds=round(seconds, 1),
        )
        if has_begun:
            self.hooks.after(HookEvent.BACKUP, failed, error, stop=stop)

    def _agree(self, backup: Backup, stop: Stop, report: Report) -> None:
        if self.hooks.has_before(HookEvent.BACKUP):
            report(Phase.AGREEING, None, None)
            self.hooks.before(HookEvent.BACKUP, backup, stop=stop)
            report(Phase.CHECKPOINT, None, None)
            heed(stop)

    def _begin(self, backup: Backup) -> Backup:
        cluster = self.postgres.facts()
        _demand_places(cluster)
        self._keep_identity(cluster)
        compression = self.method.stored_compression
        begun = backup.begun(self.now(), cluster, compression=compression)
        return self.record.move(backup, begun)

    def _keep_identity(self, cluster: Cluster) -> None:
        if backup_info.load_identity(self.layout) is None:
            backup_info.save_identity(self.layout, cluster.system_id, cluster.version)

    def _copy(self, backup: Backup, order: Order, stop: Stop, report: Report) -> Backup:
        heeding = self.closing.heeding(backup, report)
        copied = self.method.take(backup, order, stop=stop, report=heeding)
        heed(stop)
        self.closing.close(backup, copied.end_lsn, report)
        if self.hooks.has_after(HookEvent.BACKUP):
            report(Phase.HOOKS, None, None)  # as in `_fail`
        return self.record.move(backup, backup.with_copy(self.now(), copied))

    def _tell(self, backup: Backup) -> None:
        copied = backup.copied
        if copied is not None:
            log.info(
                "backup copied",
                seconds=round(copied.copy_seconds, 1),
                bytes=copied.size,
                begin_lsn=format_lsn(copied.begin_lsn),
                end_lsn=format_lsn(copied.end_lsn),
                timeline=copied.timeline,
            )


def _demand_places(cluster: Cluster) -> None:
    """A tablespace without a place of its own cannot be sent to one at a restore."""
    for space in cluster.tablespaces:
        if space.is_in_place:
            raise Refused(
                f"tablespace {space.name!r} has no place of its own: it lies in {space.location}, "
                "by allow_in_place_tablespaces, PostgreSQL's setting for its own tests",
                hint="Move what it holds (ALTER TABLE ALL IN TABLESPACE … SET TABLESPACE …), "
                "and drop it.",
            )
