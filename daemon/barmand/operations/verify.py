"""Verify a backup: everything that a restore of it would need is looked at, to the last byte.

Nothing is changed, and nobody waits: the backup is held, so that it is not deleted meanwhile. What
it came to is remembered; what was found wrong is an alarm.
"""

import threading
from dataclasses import dataclass, field

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.holds import Holds
from barmand.catalog.proofs import Proofs
from barmand.model.backup import RESTORABLE, Backup, Status
from barmand.model.door import Expected
from barmand.model.errors import Refused, Stopped, StorageFailed
from barmand.model.progress import Phase
from barmand.model.proof import Proof, Verdict
from barmand.model.wal import Segment
from barmand.operations.accounts import Accounts
from barmand.operations.noticed import Noticed
from barmand.operations.ports import Clock, Report, Seconds, Stop, VerifyTool, WalReader, heed
from barmand.operations.verify_copy import VerifyCopy
from barmand.operations.verify_records import VerifyRecords
from barmand.storage import facts_proof
from barmand.storage.disk import at_the_disk
from barmand.storage.findings import Findings
from barmand.storage.layout import Layout
from barmand.storage.wal_proof import look_at_history, look_at_segment
from barmand.storage.wals import WalArchive

log = structlog.get_logger()

MISSING_NAMED = 3


@dataclass(frozen=True, slots=True)
class Verify:
    layout: Layout
    wals: WalArchive
    backups: Backups
    holds: Holds
    proofs: Proofs
    noticed: Noticed
    program: VerifyTool
    wal_reader: WalReader
    accounts: Accounts
    now: Clock
    monotonic: Seconds

    def refuse_unless_possible(self, backup: Backup) -> None:
        """Raises Refused for one that no restore would take, or that only Barman can read."""
        name = f"backup {backup.id} of {backup.server}"
        if backup.status not in RESTORABLE or backup.copied is None or backup.cluster is None:
            raise Refused(f"{name} is {backup.status}: there is nothing to verify")
        if backup.encryption:
            raise Refused(
                f"{name} is encrypted, which this version of barmand cannot read",
                hint="Barman can restore it: point it at the same barman_home.",
            )
        if backup.snapshots:
            raise Refused(
                f"{name} is a cloud snapshot: its files are not here",
                hint="Ask the cloud's own tools.",
            )

    def run(self, backup: Backup, *, actor: str, stop: Stop, report: Report) -> Proof:
        """Raises Refused, Stopped, ToolFailed, StorageFailed where it could not be carried out."""
        backup = self.backups.get(backup.server, backup.id)
        self.refuse_unless_possible(backup)
        self._demand_ground()
        begun = self.monotonic()
        log.info("verification started")
        with self.holds.held(backup, holder="verify-backup", now=self.now()):
            meter = _Meter(report, self._total(backup))
            try:
                proof = self._proof(backup, stop, meter, begun)
            except Stopped as error:
                raise Stopped(stop.reason) from error
            self.proofs.remember(backup, proof, actor=actor)
        self._tell(proof)
        return proof

    def _proof(self, backup: Backup, stop: Stop, meter: "_Meter", begun: float) -> Proof:
        found = Findings()
        meter.add(0)
        facts_proof.compare(self.layout, backup, found)
        VerifyCopy(self.layout, self.program, backup, found, stop, meter.add).run()
        waits_for = self._look_at_wal(backup, found, stop, meter)
        self._look_at_histories(backup, found, stop)
        verdict = Verdict.DAMAGED if found.count else Verdict.WHOLE
        if waits_for and not found.count:
            verdict = Verdict.INCOMPLETE
        return Proof(
            at=self.now(),
            verdict=verdict,
            flaws=found.flaws,
            flaw_count=found.count,
            notes=tuple(found.notes),
            bytes_read=meter.done,
            seconds=round(self.monotonic() - begun, 3),
        )

    def _demand_ground(self) -> None:
        """What is not mounted is not damaged: it is not there, that is all."""
        layout = self.layout
        for folder in (layout.home, layout.base, layout.meta, layout.wals):
            with at_the_disk("look at", folder):
                is_there = folder.is_dir() and (folder != layout.base or any(folder.iterdir()))
            if not is_there:
                raise StorageFailed(
                    f"nothing is verified: {folder} is empty or does not exist",
                    hint="Is its file system mounted?",
                )

    def _total(self, backup: Backup) -> int | None:
        needed, cluster = backup.needed(), backup.cluster
        if needed is None or cluster is None or backup.copied is None:
            return None
        names = (segment.name(cluster.segment_size) for segment in needed.segments())
        with at_the_disk("measure", self.layout.wals):
            return backup.copied.size + sum(
                path.stat().st_size for name in names if (path := self.wals.path(name)) is not None
            )

    def _look_at_wal(self, backup: Backup, found: Findings, stop: Stop, meter: "_Meter") -> bool:
        """Every segment that the backup needs; True where it still waits for one."""
        needed, cluster = backup.needed(), backup.cluster
        if needed is None or cluster is None:
            raise ValueError("a backup that is restorable knows its WAL")
        size, lost = cluster.segment_size, list[Segment]()
        sound, plain, unsummed = list[Segment](), list[Segment](), list[Segment]()
        expected = Expected(cluster.system_id or None, size, cluster.version)
        for segment in needed.segments():
            heed(stop)
            path = self.wals.path(segment.name(size))
            if path is None:
                lost.append(segment)
                continue
            look = look_at_segment(path, expected)
            meter.add(look.size)
            if look.flaw is not None:
                found.add(path, look.flaw)
                lost.append(segment)
                continue
            sound.append(segment)
            plain += [] if look.is_packed else [segment]
            unsummed += [] if look.is_summed else [segment]
        records = VerifyRecords(self.wals, self.wal_reader, found, stop)
        damaged = records.run(backup, plain, unsummed)
        self.accounts.know([each for each in sound if each not in damaged], size)
        return self._judge_lost(backup, lost, size, found)

    def _judge_lost(self, backup: Backup, lost: list[Segment], size: int, found: Findings) -> bool:
        missing = [each.name(size) for each in lost if not self.wals.holds(each.name(size))]
        if backup.status is Status.WAITING_FOR_WALS and missing:
            names = ", ".join(missing[:MISSING_NAMED])
            found.note(f"it still waits for {len(missing)} WAL segment(s): {names}")
        else:
            for name in missing:
                found.add(self.layout.wal(name), "is missing")
            if lost:
                self.noticed.tell(lost, size)
        return bool(missing)

    def _look_at_histories(self, backup: Backup, found: Findings, stop: Stop) -> None:
        """Any of them may be followed by a recovery."""
        names = self.wals.histories()
        for name in names:
            heed(stop)
            path = self.wals.path(name)
            flaw = None if path is None else look_at_history(path)
            if flaw is not None:
                found.add(path, flaw)
        timeline = backup.copied.timeline if backup.copied else 1
        if timeline > 1 and f"{timeline:08X}.history" not in names:
            found.note(f"the history of timeline {timeline} is not in the archive")

    def _tell(self, proof: Proof) -> None:
        facts = {
            "bytes": proof.bytes_read,
            "seconds": round(proof.seconds, 1),
            "verdict": proof.verdict.value,
        }
        if proof.verdict is not Verdict.DAMAGED:
            log.info("verification done", **facts)
            return
        first = proof.flaws[0]
        log.error(
            "backup found damaged", flaws=proof.flaw_count, file=first.file, why=first.what, **facts
        )


@dataclass(slots=True)
class _Meter:
    """Readers add to it side by side; what is told never goes back, nor beyond what there is."""

    report: Report
    total: int | None
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count
            done = self.done if self.total is None else min(self.done, self.total)
            self.report(Phase.VERIFYING, done, self.total)
