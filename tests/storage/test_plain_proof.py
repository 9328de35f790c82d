"""A plain copy is judged by its manifest: hostile paths, odd names, too much and too little."""

import os
from pathlib import Path

import pytest

from barmand.model.errors import Stopped
from barmand.service.stopping import StopFlag
from barmand.storage.findings import Findings
from barmand.storage.manifest import Algorithm, WalRange, digest, writing
from barmand.storage.plain_proof import PlainCopy, PlainProof
from barmand.storage.promises import promised
from barmand.storage.reading import each_read


def copy_in(home: Path) -> PlainCopy:
    for name, content in (("data/PG_VERSION", b"15\n"), ("16384/PG_15_1/5/7", b"space")):
        path = home / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return PlainCopy(home / "data", {16384: home / "16384"})


def sums(copy: PlainCopy, *more: tuple[str, bytes]) -> None:
    """A manifest of what lies there, and of `more` that does not."""
    with writing(copy.data, Algorithm.CRC32C) as manifest:
        manifest.begin(150000, "7")
        files = [(path, place.read_bytes()) for path, place in copy.files()]
        for path, content in (*files, *more):
            total = digest(Algorithm.CRC32C)
            total.update(content)
            manifest.add(path, len(content), 0, total.hex())
        manifest.end([WalRange(timeline=1, start_lsn=0, end_lsn=1)])


def flaws(copy: PlainCopy) -> dict[str, str]:
    found = Findings()
    proof = PlainProof(copy, found, None, {}, StopFlag(), lambda _count: None)
    with promised(copy.data) as promises:
        proof.by_manifest(promises, rest_only=False)
    return {flaw.file: flaw.what for flaw in found.flaws}


def test_a_manifest_cannot_lead_out_of_the_backup(tmp_path: Path) -> None:
    copy = copy_in(tmp_path)
    outside = tmp_path / "secret"
    outside.write_bytes(b"x")
    sums(copy, ("../secret", b"x"), (str(outside), b"x"), ("pg_tblspc/16384/../../secret", b"x"))
    found = flaws(copy)
    assert list(found) == [str(copy.data / "backup_manifest")]
    assert "outside the backup" in found[str(copy.data / "backup_manifest")]


def test_tablespaces_are_looked_at_where_they_lie(tmp_path: Path) -> None:
    copy = copy_in(tmp_path)
    sums(copy, ("pg_tblspc/16384/PG_15_1/5/8", b""), ("pg_tblspc/99/x", b""))
    assert flaws(copy) == {
        str(tmp_path / "16384/PG_15_1/5/8"): "is missing",
        str(tmp_path / "data/pg_tblspc/99/x"): "is missing",
    }


def test_what_is_no_file_and_what_has_no_name_in_utf8_is_told(tmp_path: Path) -> None:
    copy = copy_in(tmp_path)
    sums(copy)
    os.mkfifo(copy.data / "pipe")
    strange = os.fsencode(copy.data) + b"/odd\xff"
    with open(strange, "wb"):  # noqa: PTH123 - pathlib takes no bytes
        pass
    (copy.data / "PG_VERSION").unlink()
    os.mkfifo(copy.data / "PG_VERSION")
    found = flaws(copy)
    assert found[str(copy.data / "pipe")] == "is not in the manifest"
    assert found[f"{copy.data}/odd\\xff"] == "is not in the manifest"
    assert "is not a regular file" in found[str(copy.data / "PG_VERSION")]


def test_what_recovery_writes_is_no_stranger(tmp_path: Path) -> None:
    copy = copy_in(tmp_path)
    sums(copy)
    for name in ("postgresql.auto.conf", "recovery.signal", "pg_wal/0"):
        (copy.data / name).parent.mkdir(exist_ok=True)
        (copy.data / name).write_bytes(b"later")
    assert flaws(copy) == {}


def test_the_first_failure_ends_all_readers() -> None:
    def work(number: int, _stop: object) -> None:
        if number == 3:
            raise ValueError("it was three")

    with pytest.raises(ValueError, match="it was three"):
        each_read(work, iter(range(10_000)), StopFlag())


def test_a_stop_ends_all_readers() -> None:
    stop = StopFlag()
    stop.stop("now")
    with pytest.raises(Stopped):
        each_read(lambda _item, _stop: None, iter(range(10)), stop)


def test_many_flaws_are_counted_and_few_are_kept() -> None:
    found = Findings(most=2)
    for number in range(5):
        found.add(number, "is missing")
    assert (found.count, [flaw.file for flaw in found.flaws]) == (5, ["0", "1"])
