"""Verifications, manifests and diagnoses as a person reads them."""

import json
from collections.abc import Callable

import pytest

from barmand.ctl import arguments
from barmand.model.errors import UsageError
from barmand.wire.messages import (
    BackupListReply,
    BackupReply,
    FlawView,
    VerificationNote,
    VerificationView,
)
from barmand.wire.proof_messages import (
    DiagnosisReply,
    ManifestReply,
    VerifiedBackup,
    VerifiedReply,
)
from ctl import samples

Tell = Callable[..., tuple[int, str, str]]


def verification(**changes: object) -> VerificationView:
    facts: dict[str, object] = {
        "verified_at": samples.at(30),
        "verdict": "damaged",
        "flaw_count": 2,
        "flaws": [
            FlawView(file="/srv/base/1", what="its checksum is not the manifest's", blocks=[3, 7]),
            FlawView(file="/srv/wals/2", what="is missing", blocks=[]),
        ],
        "notes": ["a note"],
        "bytes_read": samples.GIB,
        "seconds": 2.0,
    }
    return VerificationView(**{**facts, **changes})  # type: ignore[arg-type] # as above


def test_each_verification_is_told_as_it_ends(tell: Tell) -> None:
    view = verification()
    note = VerificationNote(server="main", backup_id=samples.ID, verification=view)
    one = VerifiedBackup(server="main", backup_id=samples.ID, verification=view, error=None)
    reply = VerifiedReply(backups=[one], exit_code=8)
    code, out, _ = tell("verify main last", reply, note)
    assert code == 8
    assert out.splitlines() == [
        f"main {samples.ID}: DAMAGED: 2 flaw(s), 1.0 GiB read in 2.0 s",
        "  /srv/base/1: its checksum is not the manifest's, block 3, 7",
        "  /srv/wals/2: is missing",
        "  note: a note",
    ]


def test_no_backup_to_verify_is_told(tell: Tell) -> None:
    reply = VerifiedReply(backups=[])
    assert tell("verify-backup main all", reply)[1] == "no backups that could be verified\n"


def test_a_damaged_backup_is_marked_in_the_list_and_told_of_in_full(tell: Tell) -> None:
    backup = samples.backup(verification=verification())
    assert "DONE (DAMAGED)" in tell("list-backups", BackupListReply(backups=[backup]))[1]
    shown = tell("show-backup main last", BackupReply(backup=backup))[1]
    assert "  last:   2026-01-16 02:30:00 +0100: damaged\n" in shown
    assert "/srv/wals/2: is missing" in shown


def test_many_flaws_are_told_as_few(tell: Tell) -> None:
    flaws = [FlawView(file=str(n), what="is missing", blocks=list(range(n))) for n in range(25)]
    backup = samples.backup(verification=verification(flaws=flaws, flaw_count=2000))
    shown = tell("show-backup main last", BackupReply(backup=backup))[1]
    assert "19: is missing, block 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 9 more" in shown
    assert "and 1980 more" in shown


def test_a_manifest_and_a_diagnosis_are_told(tell: Tell) -> None:
    made = ManifestReply(
        server="main",
        backup_id=samples.ID,
        path="/x",
        checksums="crc32c",
        files=7,
        size_bytes=samples.GIB,
        seconds=1.0,
    )
    out = tell("generate-manifest main last", made)[1]
    assert out.startswith(f"main {samples.ID}: manifest made, 7 files, 1.0 GiB in 1.0 s\n")
    diagnosis = DiagnosisReply(diagnosis={"barmand": {"version": "1"}})
    assert json.loads(tell("diagnose", diagnosis)[1]) == {"barmand": {"version": "1"}}


@pytest.mark.parametrize(
    "line", ["verify-backup main all last", "diagnose all main", "verify-backup main"]
)
def test_what_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        arguments.parse(line.split())
