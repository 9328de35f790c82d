"""What we know, in the shapes of the wire."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from barmand.catalog.memory import Catalog
from barmand.model.backup import RESTORABLE, Backup, Copied, Reason, Status
from barmand.model.errors import exit_code_of
from barmand.model.finding import Finding
from barmand.model.gap import Gap, Reach
from barmand.model.progress import Progress
from barmand.model.proof import Proof
from barmand.model.retention import Keep
from barmand.model.verdict import Verdict
from barmand.model.wal import Held, Run, Segment, format_lsn
from barmand.operations.archive import names_of
from barmand.operations.flow import Flow, Pulse
from barmand.outside.clock import monotonic
from barmand.service.hook_views import troubles
from barmand.service.receivers import Receiving, State
from barmand.wire.check_messages import FindingView, MeasureView
from barmand.wire.messages import (
    BackupView,
    DamageView,
    ErrorView,
    FlawView,
    GapView,
    ProgressView,
    QueuedView,
    ReceiverView,
    TablespaceView,
    VerificationView,
)

START_PATIENCE = timedelta(minutes=2)
"""So long a receiver may start before that is an alarm; unless it has failed before."""
MOST_MISSING = 1000
MOST_FLAWS = 100
"""With a backup; its verification itself tells more."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue tells of a server: asked once, however many backups are shown.

    Its WAL, and what the verifications of its backups came to, by id.
    """

    held: Held
    gaps: list[Gap]
    proofs: Mapping[str, Proof]

    @staticmethod
    def of(catalog: Catalog, server: str) -> "Known":
        return Known(
            Held(catalog.wal_runs.of_server(server)),
            catalog.wal_gaps.of_server(server),
            catalog.proofs.of_server(server),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a backup stays, as far as it was asked."""

    keep: Keep | None = None
    verdict: Verdict | None = None


def backup_view(
    backup: Backup,
    catalog: Catalog,
    progress: Progress | None,
    known: Known | None = None,
    standing: Standing = Standing(),
) -> BackupView:
    """One backup; its missing segments are counted only while it waits for them."""
    cluster, copied = backup.cluster, backup.copied
    is_listed = known is not None
    known = known or Known.of(catalog, backup.server)
    size = cluster.segment_size if cluster else 0
    needed = backup.needed()
    gaps = _gaps(backup, needed, known.held)
    keep, verdict = standing.keep, standing.verdict
    kept = None if verdict is None else verdict.kept
    reach = Reach.of(backup) if backup.status in RESTORABLE else None
    return BackupView(
        server=backup.server,
        backup_id=backup.id,
        name=backup.name,
        status=backup.status.value,
        method=backup.method,
        requester=backup.requester or None,
        queued_at=backup.queued_at.astimezone(UTC),
        started_at=utc(backup.started_at),
        begin_time=utc(copied.begin_time) if copied else None,
        end_time=utc(copied.end_time) if copied else None,
        copied_at=utc(backup.copied_at),
        ended_at=utc(backup.ended_at),
        begin_lsn=format_lsn(copied.begin_lsn) if copied else None,
        end_lsn=format_lsn(copied.end_lsn) if copied else None,
        begin_wal=_segment_name(needed, needed.first, size) if needed else None,
        end_wal=_segment_name(needed, needed.last, size) if needed else None,
        timeline=copied.timeline if copied else None,
        size_bytes=copied.size if copied else None,
        deduplicated_size_bytes=copied.deduplicated_size if copied else None,
        cluster_size_bytes=cluster.size if cluster else None,
        wal_segment_size_bytes=cluster.segment_size if cluster else None,
        copy_seconds=_seconds(copied),
        system_id=cluster.system_id if cluster else None,
        postgres_version=cluster.version if cluster else None,
        postgres_release=cluster.release if cluster else None,
        pgdata=cluster.pgdata if cluster else None,
        data_checksums=cluster.data_checksums if cluster else None,
        tablespaces=[
            TablespaceView(name=space.name, oid=space.oid, location=space.location)
            for space in (cluster.tablespaces if cluster else ())
        ],
        parent_backup_id=backup.parent_id,
        keep=None if keep is None else keep.value,
        keep_reason=None if kept is None else kept.reason,
        keep_until=None if kept is None else utc(kept.until),
        retention=None if verdict is None else verdict.word.value,
        retention_why=None if verdict is None else verdict.why,
        is_on_disk=None if verdict is None else not verdict.is_absent,
        missing_wals=None if gaps is None else names_of(gaps, size, MOST_MISSING),
        missing_wal_count=None if gaps is None else sum(gap.last - gap.first + 1 for gap in gaps),
        wal_gaps=[
            gap_view(gap)
            for gap in known.gaps
            if reach is not None and reach.covers(Segment(gap.run.timeline, gap.run.last))
        ],
        damages=[
            DamageView(path=each.path, blocks=list(each.blocks))
            for each in (copied.damages if copied else ())
        ],
        hook_troubles=None
        if is_listed
        else troubles(catalog.hook_runs.bad_of(backup.server, backup.id)),
        verification=_verification(known.proofs.get(backup.id)),
        progress=None if progress is None else progress_view(progress),
        error=None if backup.reason is None else reason_view(backup.reason),
    )


def _verification(proof: Proof | None) -> VerificationView | None:
    return None if proof is None else verification_view(proof, most=MOST_FLAWS)


def verification_view(proof: Proof, *, most: int | None = None) -> VerificationView:
    return VerificationView(
        verified_at=proof.at.astimezone(UTC),
        verdict=proof.verdict.value,
        flaw_count=proof.flaw_count,
        flaws=[
            FlawView(file=each.file, what=each.what, blocks=list(each.blocks))
            for each in proof.flaws[:most]
        ],
        notes=list(proof.notes),
        bytes_read=proof.bytes_read,
        seconds=proof.seconds,
    )


def gap_view(gap: Gap) -> GapView:
    run, size = gap.run, gap.segment_size
    return GapView(
        id=gap.id,
        state=gap.state.value,
        timeline=run.timeline,
        first_wal=Segment(run.timeline, run.first).name(size),
        last_wal=Segment(run.timeline, run.last).name(size),
        first_lsn=format_lsn(run.first * size),
        end_lsn=format_lsn((run.last + 1) * size),
        segments=gap.count,
        why=gap.why,
        found_at=gap.found_at.astimezone(UTC),
        changed_at=gap.changed_at.astimezone(UTC),
        acknowledged_by=gap.actor,
        reason=gap.reason,
    )


def progress_view(progress: Progress) -> ProgressView:
    return ProgressView(
        phase=progress.phase.value,
        bytes_done=progress.bytes_done,
        bytes_total=progress.bytes_total,
        bytes_per_second=progress.bytes_per_second,
        seconds_left=progress.seconds_left,
        queued=None
        if progress.place is None
        else QueuedView(
            position=progress.place.position,
            count=progress.place.count,
            waits_for=progress.place.waits_for,
        ),
    )


def reason_view(reason: Reason) -> ErrorView:
    return ErrorView(
        code=reason.code,
        exit_code=exit_code_of(reason.code),
        message=reason.message,
        hint=reason.hint,
    )


def receiver_view(receiving: Receiving | None, slot_name: str | None) -> ReceiverView:
    found = receiving or Receiving(state=State.STOPPED)
    pause = None if found.attempt_at is None else max(0.0, found.attempt_at - monotonic())
    return ReceiverView(
        state=found.state.value,
        slot_name=slot_name,
        restarts=found.restarts,
        next_attempt_seconds=pause,
        last_error=found.last_error,
    )


def finding_view(finding: Finding) -> FindingView:
    measure = finding.measure
    return FindingView(
        name=finding.name,
        level=finding.level.value,
        ok=finding.is_ok,
        keeps_from_backup=finding.keeps_from_backup,
        hint=finding.hint,
        measure=None
        if measure is None
        else MeasureView(
            label=measure.label,
            value=measure.value,
            unit=measure.unit,
            warning=measure.warning,
            critical=measure.critical,
            least=measure.is_least,
        ),
    )


def flow_of(server: str, receiving: Receiving | None, now: datetime) -> Flow:
    """Does WAL flow, and what is there to say of it?"""
    if receiving is None or receiving.state is State.STOPPED:
        return Flow(Pulse.STOPPED, f"stopped; `barmanctl receive-wal {server} --start` starts it")
    words = receiving.state.value
    if receiving.attempt_at is not None:
        left = max(0, math.ceil(receiving.attempt_at - monotonic()))
        words += f", next attempt in {left} s"
    if receiving.last_error:
        words += f": {receiving.last_error}"
    return Flow(_pulse(receiving, now), words)


def _pulse(receiving: Receiving, now: datetime) -> Pulse:
    if receiving.state is State.STREAMING:
        return Pulse.FLOWING
    is_young = receiving.state is State.STARTING and now - receiving.since < START_PATIENCE
    return Pulse.BEGINNING if is_young and not receiving.restarts else Pulse.TRYING


def _gaps(backup: Backup, needed: Run | None, held: Held) -> list[Run] | None:
    match backup.status:
        case Status.WAITING_FOR_WALS | Status.DONE:
            return [] if needed is None else held.missing(needed)
        case _:
            return None


def _segment_name(needed: Run, number: int, size: int) -> str:
    return Segment(needed.timeline, number).name(size)


def _seconds(copied: Copied | None) -> float | None:
    return None if copied is None else round(copied.copy_seconds, 3)


def utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
