"""Requests that prove what is kept, and the one that tells all about barmand."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import assert_never

from barmand.model.backup import RESTORABLE, Backup
from barmand.model.errors import CheckFailed, Failure, NotFound, StorageFailed
from barmand.model.naming import find
from barmand.model.order import Checksums
from barmand.model.proof import Proof, Verdict
from barmand.service.awaiting import Awaited
from barmand.service.diagnosis import Diagnosis
from barmand.service.house import House, Kit
from barmand.service.job import Job, Key
from barmand.service.looking import Looking
from barmand.service.runner import Runner
from barmand.service.views import verification_view
from barmand.wire.lines import error_view
from barmand.wire.messages import AnyNote, ProblemNote, Reply, VerificationNote, WarningNote
from barmand.wire.proof_messages import (
    Diagnose,
    DiagnosisReply,
    GenerateManifest,
    ManifestReply,
    ProofRequest,
    VerifiedBackup,
    VerifiedReply,
    VerifyBackup,
)

ALL = "all"
VERIFICATION = "verification"
MANIFEST = "manifest"

Answer = Iterator[AnyNote | Reply | None]


@dataclass(frozen=True, slots=True)
class ProofDesk:
    runner: Runner
    looking: Looking

    def answer(self, request: ProofRequest, house: House, who: str) -> Answer:
        match request:
            case VerifyBackup():
                yield from self._verify(request, house, who)
            case GenerateManifest():
                yield from self._make_manifest(request, house)
            case Diagnose():
                told = Diagnosis(self.looking, house).told(request.servers, checks=request.check)
                yield DiagnosisReply(diagnosis=told)
            case _:
                assert_never(request)

    # -------------------------------------------------------------------------------- verify-backup
    def _verify(self, request: VerifyBackup, house: House, who: str) -> Answer:
        """All are queued at once: a client that goes away leaves none of them out."""
        results: list[VerifiedBackup] = []
        pending: list[tuple[Backup, Awaited[Proof | None]]] = []
        for kit, found in self._wanted(request, house):
            if isinstance(found, Failure):
                yield self._problem(results, kit, "", found)
                continue
            try:
                skips = ALL in request.backups
                pending.append((found, self._enlist(house.kit(kit), found, who, skips=skips)))
            except Failure as failure:
                yield self._problem(results, kit, found.id, failure)
        for _, each in pending:
            self.runner.queue_reading(each.job, each.perform)
        for backup, each in pending:
            yield from self._follow(backup, each, results)
        yield VerifiedReply(backups=results, exit_code=_exit_code(results))

    def _wanted(
        self, request: VerifyBackup, house: House
    ) -> Iterator[tuple[str, Backup | Failure]]:
        """Each backup once, by its server's name, or why there is none."""
        for server in self.looking.expand(request.servers, house):
            try:
                house.kit(server)
                yield from ((server, each) for each in self._of_server(server, request))
            except Failure as failure:
                yield server, failure

    def _of_server(self, server: str, request: VerifyBackup) -> list[Backup]:
        backups = self.looking.catalog.backups.of_server(server)
        if ALL in request.backups:
            return [each for each in reversed(backups) if each.status in RESTORABLE]
        found = [find(backups, server, word) for word in request.backups]
        return list({each.id: each for each in found}.values())

    def _enlist(self, kit: Kit, backup: Backup, who: str, *, skips: bool) -> Awaited[Proof | None]:
        """None comes of one that went meanwhile, where such are skipped."""
        kit.verify.refuse_unless_possible(backup)
        key = Key(VERIFICATION, backup.server, backup.id)

        def work(job: Job) -> Proof | None:
            report = self.runner.reporter(job)
            try:
                return kit.verify.run(backup, actor=who, stop=job.stop, report=report)
            except Failure:
                if skips and not job.stop.is_set() and self._is_gone(backup):
                    return None
                raise

        return Awaited(key, self.runner.enlist(key), work)

    def _is_gone(self, backup: Backup) -> bool:
        try:
            now = self.looking.catalog.backups.get(backup.server, backup.id)
        except NotFound:
            return True
        return now.status not in RESTORABLE

    def _follow(
        self, backup: Backup, each: Awaited[Proof | None], results: list[VerifiedBackup]
    ) -> Generator[AnyNote | None, None, None]:
        try:
            proof = yield from each.followed(self.runner)
        except Failure as failure:
            yield self._problem(results, backup.server, backup.id, failure)
            return
        if proof is None:
            words = f"backup {backup.id} was not verified: it went meanwhile"
            yield WarningNote(server=backup.server, message=words)
            return
        view = verification_view(proof)
        results.append(
            VerifiedBackup(server=backup.server, backup_id=backup.id, verification=view, error=None)
        )
        yield VerificationNote(server=backup.server, backup_id=backup.id, verification=view)

    def _problem(
        self, results: list[VerifiedBackup], server: str, backup_id: str, failure: Failure
    ) -> ProblemNote:
        view = error_view(failure)
        results.append(
            VerifiedBackup(server=server, backup_id=backup_id, verification=None, error=view)
        )
        return ProblemNote(server=server, error=view)

    # ---------------------------------------------------------------------------- generate-manifest
    def _make_manifest(self, request: GenerateManifest, house: House) -> Answer:
        kit = house.kit(request.server)
        backups = self.looking.catalog.backups.of_server(request.server)
        backup = find(backups, request.server, request.backup)
        kit.make_manifest.refuse_unless_possible(backup)
        word = request.manifest_checksums
        checksums = kit.order.manifest_checksums if word is None else Checksums(word)
        key = Key(MANIFEST, backup.server, backup.id)
        each = Awaited(
            key,
            self.runner.enlist(key),
            lambda job: kit.make_manifest.run(
                backup, checksums, stop=job.stop, report=self.runner.reporter(job)
            ),
        )
        self.runner.queue_reading(each.job, each.perform)
        made = yield from each.followed(self.runner)
        yield ManifestReply(
            server=backup.server,
            backup_id=backup.id,
            path=str(made.path),
            checksums=checksums.value,
            files=made.files,
            size_bytes=made.size,
            seconds=round(made.seconds, 3),
        )


def _exit_code(results: list[VerifiedBackup]) -> int:
    verdicts = {each.verification.verdict for each in results if each.verification is not None}
    if Verdict.DAMAGED in verdicts:
        return StorageFailed.exit_code
    codes = [each.error.exit_code for each in results if each.error is not None]
    codes += [CheckFailed.exit_code] if Verdict.INCOMPLETE in verdicts else []
    return next(iter(codes), 0)
