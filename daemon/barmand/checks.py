"""One server's settings become its check."""

from collections.abc import Callable

from barmand.catalog.backup_counts import BackupCounts
from barmand.catalog.memory import Catalog
from barmand.fittings import layout_of, postgres_of, primary_of, receiver_of, wal_server_of
from barmand.model.backup import Backup
from barmand.model.calendar import ScheduleLine
from barmand.model.order import Reuse
from barmand.operations.apart_health import ApartHealth
from barmand.operations.backup_health import BackupHealth, BackupLimits
from barmand.operations.check import Check, Limits
from barmand.operations.hook_health import HookHealth
from barmand.operations.inquiry import Lines
from barmand.operations.ports import Method
from barmand.operations.retention_health import RetentionHealth
from barmand.operations.schedule_health import ScheduleHealth
from barmand.operations.space_health import SpaceHealth
from barmand.operations.wal_health import WalHealth
from barmand.outside.clock import local_now
from barmand.service.due_times import latest_ready
from barmand.service.receivers import Receivers
from barmand.service.views import flow_of
from barmand.settings.schema import BackupMethod, CreateSlot, ServerSettings


def wal_health_of(server: ServerSettings, catalog: Catalog) -> WalHealth:
    return WalHealth(
        server=server.name,
        layout=layout_of(server),
        wal_gaps=catalog.wal_gaps,
        wal_runs=catalog.wal_runs,
        most_waiting=server.max_incoming_wals_queue,
        oldest=server.last_wal_maximum_age,
        now=local_now,
        takes_pushed=server.archiver,
        streams=server.streaming_archiver,
    )


def check_of(
    server: ServerSettings,
    catalog: Catalog,
    method: Method,
    receivers: Receivers,
    lines: Lines,
    *,
    hook_health: HookHealth,
    works_on_deletion: Callable[[Backup], bool],
    retention_health: RetentionHealth,
) -> Check:
    layout, counts = layout_of(server), BackupCounts(catalog.database)
    has_own_wal_server = server.wal_conninfo or server.wal_streaming_conninfo
    return Check(
        server=server.name,
        layout=layout,
        servers=catalog.servers,
        postgres=postgres_of(server),
        wal_server=wal_server_of(server) if has_own_wal_server else None,
        primary=primary_of(server),
        method=method,
        receiver=receiver_of(server, layout) if server.streaming_archiver else None,
        slot_name=server.slot_name if server.streaming_archiver else None,
        makes_slot=server.create_slot is CreateSlot.AUTO,
        receiving=lambda: flow_of(server.name, receivers.state(server.name), local_now()),
        takes_pushed_wal=server.archiver,
        wal_health=wal_health_of(server, catalog),
        backup_health=BackupHealth(
            server=server.name,
            layout=layout,
            backups=catalog.backups,
            counts=counts,
            proofs=catalog.proofs,
            limits=BackupLimits(
                oldest=server.last_backup_maximum_age,
                smallest=server.last_backup_minimum_size,
                redundancy=server.minimum_redundancy,
                policy=server.retention_policy,
                longest_wait=server.waiting_backup_maximum_age,
                failed_age=server.failed_backup_maximum_age,
            ),
            now=local_now,
            works_on_deletion=works_on_deletion,
        ),
        schedule_health=ScheduleHealth(
            server=server.name,
            lines=_lines_of(server),
            runs=catalog.schedule_runs,
            backups=catalog.backups,
            counts=counts,
            latest_ready=latest_ready,
            now=local_now,
        ),
        space_health=SpaceHealth(
            server=server.name,
            layout=layout,
            counts=counts,
            wal_runs=catalog.wal_runs,
            method=server.backup_method.value,
            compression=method.stored_compression,
            by_the_kernel=server.backup_method is BackupMethod.LOCAL,
            links=server.reuse_backup is Reuse.LINK,
        ),
        apart_health=ApartHealth(layout, catalog.directory),
        retention_health=retention_health,
        hook_health=hook_health,
        limits=Limits(clock_skew=server.clock_maximum_skew, slot_wal=int(server.slot_maximum_wal)),
        lines=lines,
        seconds=server.check_timeout,
        now=local_now,
    )


def _lines_of(server: ServerSettings) -> tuple[ScheduleLine, ...]:
    """An inactive server's schedule rests."""
    lines = server.backup_schedule if server.active else None
    return tuple(line.of(server.name) for line in lines or ())
