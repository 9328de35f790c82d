"""Backups of real clusters, of each kind, looked through: whole, or each damage named."""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
import zstandard

from barmand.catalog.proofs import DAMAGED
from barmand.model.backup import Backup, Status
from barmand.model.errors import Refused, Stopped, StorageFailed, ToolFailed
from barmand.model.gap import GapState
from barmand.model.order import Checksums
from barmand.model.proof import Flaw, Proof, Verdict, WalFlaw
from barmand.model.recovery import Target
from barmand.outside.clock import local_now
from barmand.service.stopping import StopFlag
from barmand.storage import facts_proof
from barmand.storage.findings import Findings
from support.damaging import DAMAGES, damaged, gone
from support.housed import Housed, Told, housed
from support.postgres import Cluster, Clusters, Template, give_to_postgres, run

SUM = "user.barmand.crc32c"
OPEN = (GapState.OPEN,)
KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "packed": {"backup_compression": "zstd", "compression": "zstd"},
    "files": {"backup_method": "local", "autogenerate_manifest": "on"},
    "bare": {"backup_method": "local", "autogenerate_manifest": "off"},
}
"""pg_basebackup's plain files, its archives; files that we copied, with and without manifest."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One backup of its kind."""

    bench: Housed
    backup: Backup

    def verify(self) -> Proof:
        return self.bench.kit.verify.run(
            self.backup, actor="tester", stop=StopFlag(), report=Told()
        )

    @property
    def data(self) -> Path:
        return self.bench.data(self.backup)

    @property
    def space(self) -> Path:
        assert self.backup.cluster is not None
        (space,) = self.backup.cluster.tablespaces
        return self.bench.layout.tablespace(self.backup.id, space.oid)

    @property
    def wal(self) -> Path:
        needed, cluster = self.backup.needed(), self.backup.cluster
        assert needed is not None
        assert cluster is not None
        segment = next(needed.segments()).name(cluster.segment_size)
        return self.bench.layout.wal(segment)

    def assert_named(self, path: Path) -> Proof:
        proof = self.verify()
        assert proof.verdict is Verdict.DAMAGED
        assert any(flaw.file.startswith(str(path)) for flaw in proof.flaws), proof.flaws
        return proof


@pytest.fixture(scope="module")
def source(session_folder: Path, bindir: Path) -> Iterator[Cluster]:
    """A table in a tablespace, and one beside it."""
    home = Path(tempfile.mkdtemp(prefix="", dir=session_folder))
    give_to_postgres(home)
    made = Clusters(Template(bindir, session_folder), home)
    try:
        cluster = made.make(archive_mode="on", archive_command="true")
        location = home / "space"
        location.mkdir()
        give_to_postgres(location)
        cluster.psql(f"CREATE TABLESPACE fast LOCATION '{location}'")
        cluster.psql("CREATE TABLE moved TABLESPACE fast AS SELECT g FROM generate_series(1, 9) g")
        cluster.psql("CREATE TABLE here AS SELECT g FROM generate_series(1, 5000) g; CHECKPOINT")
        yield cluster
    finally:
        made.discard()
        shutil.rmtree(home)


@dataclass(frozen=True, slots=True)
class Keeper:
    """Takes a backup of a kind when it is first asked for."""

    cluster: Cluster
    folder: Path
    open_ones: ExitStack
    known: dict[str, Kept]

    def __getitem__(self, kind: str) -> Kept:
        if kind not in self.known:
            folder = Path(tempfile.mkdtemp(prefix="", dir=self.folder))
            self.open_ones.callback(shutil.rmtree, folder)
            bench = self.open_ones.enter_context(housed(self.cluster, folder, **KINDS[kind]))
            self.known[kind] = Kept(bench, bench.take())
        return self.known[kind]


@pytest.fixture(scope="module")
def kept(source: Cluster, session_folder: Path) -> Iterator[Keeper]:
    with ExitStack() as open_ones:
        yield Keeper(source, session_folder, open_ones, {})


@pytest.fixture(params=KINDS)
def each(request: pytest.FixtureRequest, kept: Keeper) -> Kept:
    return kept[request.param]


def table(kept: Kept) -> Path:
    return kept.data / kept.bench.cluster.psql("SELECT pg_relation_filepath('here')")


def moved(kept: Kept) -> Path:
    return next(path for path in sorted(kept.space.rglob("*")) if path.is_file())


# -------------------------------------------------------------------------------------- every kind


def test_what_was_just_taken_is_whole(each: Kept) -> None:
    proof = each.verify()
    assert (proof.verdict, proof.flaws) == (Verdict.WHOLE, ())
    assert each.backup.copied is not None
    assert proof.bytes_read >= each.backup.copied.size
    assert each.bench.catalog.proofs.find("main", each.backup.id) == proof
    assert each.bench.catalog.proofs.of_server("main") == {each.backup.id: proof}
    assert each.bench.catalog.proofs.of_server("other") == {}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", ["plain", "packed"])
def test_a_damaged_segment_is_named(kept: Keeper, kind: str, how: str) -> None:
    one = kept[kind]
    with damaged(one.wal, how):
        one.assert_named(one.wal)
    healed(one)


def test_a_segment_that_is_gone_is_named_and_makes_a_gap(kept: Keeper) -> None:
    one = kept["plain"]
    with gone(one.wal):
        proof = one.assert_named(one.wal)
        assert "is missing" in {flaw.what for flaw in proof.flaws}
        assert one.bench.catalog.wal_gaps.of_server("main")
    healed(one)
    assert one.verify().verdict is Verdict.WHOLE


def test_a_segment_that_is_back_heals_the_gap(kept: Keeper, tmp_path: Path) -> None:
    one = kept["bare"]
    kit, gaps = one.bench.kit, one.bench.catalog.wal_gaps
    for look in (one.verify, lambda: kit.archive.look_at(one.backup)):
        with gone(one.wal):
            assert one.verify().verdict is Verdict.DAMAGED
            assert gaps.of_server("main", OPEN)
        look()
        assert list(gaps.of_server("main", OPEN)) == []
        assert kit.archive.missing(one.backup) == []
    assert one.verify().verdict is Verdict.WHOLE
    one.bench.restore(one.backup, tmp_path / "new", fast=tmp_path / "fast")


def test_a_restore_without_its_wal_names_the_way_to_make_it_known(
    kept: Keeper, tmp_path: Path
) -> None:
    one = kept["bare"]
    with gone(one.wal):
        one.verify()
        with pytest.raises(Refused, match="not whole in the archive") as caught:
            one.bench.restore(one.backup, tmp_path / "new", fast=tmp_path / "fast")
    assert "`barmanctl rebuild main`" in (caught.value.hint or "")
    one.verify()


@contextmanager
def unsummed(one: Kept) -> Iterator[Path]:
    sum_ = os.getxattr(one.wal, SUM)
    os.removexattr(one.wal, SUM)
    try:
        yield one.wal
    finally:
        os.setxattr(one.wal, SUM, sum_)


def test_without_a_sum_the_records_of_wal_speak(kept: Keeper) -> None:
    one = kept["plain"]
    assert one.backup.copied is not None
    assert one.backup.cluster is not None
    at = one.backup.copied.begin_lsn % one.backup.cluster.segment_size + 60
    with unsummed(one):
        proof = one.verify()
        assert (proof.verdict, proof.notes) == (Verdict.WHOLE, ())
        with damaged(one.wal, "flipped", at=at) as path:
            proof = one.assert_named(path)
            assert "a record of it, at 0/" in proof.flaws[0].what
        with damaged(one.wal, "flipped", at=len(one.wal.read_bytes()) - 1):
            assert one.verify().verdict is Verdict.WHOLE  # behind what the backup needs


@pytest.mark.parametrize("version", [None, 9])
def test_what_no_program_reads_is_noted(kept: Keeper, version: int | None) -> None:
    one = kept["plain"]
    verify = replace(one.bench.kit.verify, wal_reader=NoReader(version))
    with unsummed(one):
        proof = verify.run(one.backup, actor="tester", stop=StopFlag(), report=Told())
    assert proof.verdict is Verdict.WHOLE
    assert any("came without a sum" in note and "pg_waldump" in note for note in proof.notes)


@dataclass(frozen=True, slots=True)
class NoReader:
    major: int | None

    def version(self) -> int:
        if self.major is None:
            raise ToolFailed("program not found: pg_waldump")
        return self.major

    def read(self, *_: object, **__: object) -> WalFlaw | None:
        raise AssertionError("it does not fit")


def test_no_byte_of_the_facts_changes_unseen(kept: Keeper) -> None:
    one = kept["plain"]
    layout = one.bench.layout
    assert facts_of(one) == ()
    for place in (layout.info(one.backup.id), layout.card(one.backup.id)):
        for how in ("truncated", "extended"):
            with damaged(place, how):
                assert {flaw.file for flaw in facts_of(one)} == {str(place)}
        for at in range(0, len(place.read_bytes()), 5):
            with damaged(place, "flipped", at=at):
                found = {flaw.file for flaw in facts_of(one)}
                near = place.read_bytes()[max(0, at - 20) : at + 20]
                assert found == {str(place)}, f"byte {at}: {near!r}"


def healed(one: Kept) -> None:
    """What was given back to the archive is known again."""
    one.bench.kit.rebuild.run()
    one.bench.kit.accounts.compare(lambda: False)


def facts_of(one: Kept) -> tuple[Flaw, ...]:
    found = Findings()
    facts_proof.compare(one.bench.layout, one.backup, found)
    return found.flaws


def test_facts_that_are_gone_are_named(kept: Keeper) -> None:
    one = kept["plain"]
    with gone(one.bench.layout.info(one.backup.id)) as path:
        one.assert_named(path)


def test_the_damage_is_remembered_and_a_restore_warns(kept: Keeper, tmp_path: Path) -> None:
    each = kept["plain"]
    info = each.bench.layout.info(each.backup.id)
    with damaged(info, "extended"):
        each.verify()
    kit, spaces = each.bench.kit, {"fast": str(tmp_path / "fast")}
    plan = kit.restore.plan(each.backup, tmp_path / "new", Target.IMMEDIATE, spaces)
    assert any(str(info) in words for words in kit.restore.warnings(plan))
    events = each.bench.catalog.events.of_server("main")
    assert DAMAGED in {event.kind for event in events if event.backup_id == each.backup.id}
    each.verify()
    assert not any(str(info) in words for words in kit.restore.warnings(plan))


def test_a_folder_that_postgresql_needs_is_named(kept: Keeper) -> None:
    for kind in ("plain", "bare"):
        one = kept[kind]
        for name in ("pg_notify", "pg_twophase", "pg_logical/snapshots", "pg_wal", "pg_tblspc"):
            with gone(one.data / name) as path:
                one.assert_named(path)


def test_a_folder_that_is_not_in_the_archive_is_named(kept: Keeper) -> None:
    one = kept["packed"]
    archive = one.data / "base.tar.zst"
    content = archive.read_bytes()
    try:
        without(archive, {"pg_notify", "pg_multixact/members"})
        proof = one.verify()
        named = {flaw.file.rpartition(" ")[2] for flaw in proof.flaws if flaw.what == "is missing"}
        assert named == {"pg_notify", "pg_multixact/members"}
    finally:
        archive.write_bytes(content)


def without(archive: Path, names: set[str]) -> None:
    source = zstandard.ZstdDecompressor().stream_reader(archive.read_bytes())
    target = io.BytesIO()
    with tarfile.open(fileobj=source, mode="r|") as old, tarfile.open(None, "w", target) as new:
        for member in old:
            if member.name.rstrip("/") not in names:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    archive.write_bytes(zstandard.compress(target.getvalue()))


def test_what_pg_verifybackup_passes_over_is_judged(kept: Keeper) -> None:
    for kind in ("plain", "files"):
        one = kept[kind]
        with damaged(one.data / "postgresql.auto.conf", "flipped") as path:
            one.assert_named(path)
        with gone(one.data / "postgresql.auto.conf") as path:
            one.assert_named(path)


@pytest.mark.parametrize("kind", ["plain", "packed"])
def test_a_manifest_that_is_gone_is_named(kept: Keeper, kind: str) -> None:
    with gone(kept[kind].data / "backup_manifest") as path:
        kept[kind].assert_named(path)


@pytest.mark.parametrize(
    "name",
    ["global/pg_filenode.map", "base/1/pg_filenode.map", "PG_VERSION", "base/5/PG_VERSION"],
)
def test_without_a_manifest_small_files_speak_for_themselves(kept: Keeper, name: str) -> None:
    one = kept["bare"]
    with damaged(one.data / name, "flipped", at=1) as path:
        one.assert_named(path)
        with pytest.raises(StorageFailed, match=f"gets no manifest: .*{name}"):
            one.bench.kit.make_manifest.run(
                one.backup, Checksums.CRC32C, stop=StopFlag(), report=Told()
            )


def test_without_a_manifest_the_tablespace_map_is_the_catalogues(kept: Keeper) -> None:
    one = kept["bare"]
    for at in (0, 9):
        with damaged(one.data / "tablespace_map", "flipped", at=at) as path:
            one.assert_named(path)


def test_a_restore_makes_the_folders_that_are_always_empty(kept: Keeper, tmp_path: Path) -> None:
    one = kept["bare"]
    with gone(one.data / "pg_notify"):
        one.bench.restore(one.backup, tmp_path / "new", fast=tmp_path / "fast")
    assert (tmp_path / "new/pg_notify").is_dir()


# ------------------------------------------------------------------------------------ plain files


PLAIN = ("plain", "files", "bare")


@pytest.mark.parametrize(
    ("kind", "how"), [*product(("plain", "bare"), DAMAGES), ("files", "flipped")]
)
def test_a_damaged_file_is_named(kept: Keeper, kind: str, how: str) -> None:
    one = kept[kind]
    with damaged(table(one), how) as path:
        proof = one.assert_named(path)
        if how == "flipped":
            (flaw,) = proof.flaws
            assert flaw.blocks == (path.stat().st_size // 2 // 8192,)


@pytest.mark.parametrize("kind", PLAIN)
def test_a_damaged_file_of_a_tablespace_is_named(kept: Keeper, kind: str) -> None:
    one = kept[kind]
    with damaged(moved(one), "flipped") as path:
        one.assert_named(path)


@pytest.mark.parametrize("kind", ["plain", "files"])
def test_files_too_many_and_too_few_are_named(kept: Keeper, kind: str) -> None:
    one = kept[kind]
    with gone(moved(one)) as path:
        one.assert_named(path)
    with gone(table(one)) as path:
        one.assert_named(path)
    for folder in (one.data / "base/1", moved(one).parent):
        stranger = folder / "99999"
        stranger.write_bytes(b"")
        try:
            one.assert_named(stranger)
        finally:
            stranger.unlink()


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("name", ["global/pg_control", "backup_label"])
def test_what_tells_of_the_cluster_is_named(kept: Keeper, kind: str, name: str) -> None:
    one = kept[kind]
    with damaged(one.data / name, "flipped", at=60) as path:
        one.assert_named(path)


@pytest.mark.parametrize(
    ("kind", "how"), [*(("plain", how) for how in DAMAGES), ("packed", "flipped")]
)
def test_a_damaged_manifest_is_named(kept: Keeper, kind: str, how: str) -> None:
    one = kept[kind]
    with damaged(one.data / "backup_manifest", how) as path:
        one.assert_named(path)


def test_without_postgresqls_program_the_same_is_found(kept: Keeper) -> None:
    one = kept["plain"]
    verify = replace(one.bench.kit.verify, program=NoProgram())

    def look() -> Proof:
        return verify.run(one.backup, actor="tester", stop=StopFlag(), report=Told())

    proof = look()
    assert proof.verdict is Verdict.WHOLE
    assert any("pg_verifybackup" in note for note in proof.notes)
    for how in DAMAGES:
        with damaged(table(one), how) as path:
            assert [flaw.file for flaw in look().flaws if "bytes together" not in flaw.what] == [
                str(path)
            ]


class NoProgram:
    def version(self) -> int:
        raise ToolFailed("program not found: pg_verifybackup")

    def verify(self, *_: object, **__: object) -> None:
        raise AssertionError("it is not there")


# --------------------------------------------------------------------------------------- archives


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("which", ["base", "space"])
def test_a_damaged_archive_is_named(kept: Keeper, which: str, how: str) -> None:
    one = kept["packed"]
    name = "base" if which == "base" else one.space.name
    with damaged(one.data / f"{name}.tar.zst", how) as path:
        one.assert_named(path)


def test_an_archive_that_is_gone_is_named(kept: Keeper) -> None:
    one = kept["packed"]
    with gone(one.data / f"{one.space.name}.tar.zst"):
        one.assert_named(one.data / f"{one.space.name}.tar")


# --------------------------------------------------------------------------------- while it goes on


def test_it_can_be_stopped_and_nothing_is_remembered(kept: Keeper) -> None:
    one = kept["bare"]
    stop = StopFlag()
    one.verify()
    before = one.bench.catalog.proofs.find("main", one.backup.id)

    def told(_phase: object, done: int | None, _total: object) -> None:
        if done:
            stop.stop("cancelled by tester")

    with pytest.raises(Stopped, match="cancelled by tester"):
        one.bench.kit.verify.run(one.backup, actor="tester", stop=stop, report=told)
    assert one.bench.catalog.proofs.find("main", one.backup.id) == before
    assert one.bench.catalog.holds.of_server("main") == set()


def test_a_deletion_is_refused_meanwhile(kept: Keeper) -> None:
    one, refused = kept["bare"], list[str]()

    def told(_phase: object, done: int | None, _total: object) -> None:
        if done and not refused:
            with pytest.raises(Refused) as caught:
                one.bench.kit.delete.run(one.backup, actor="tester", stop=StopFlag())
            refused.append(caught.value.message)

    one.bench.kit.verify.run(one.backup, actor="tester", stop=StopFlag(), report=told)
    assert "in use: verify-backup" in refused[0]


def test_what_still_waits_for_wal_is_incomplete_and_no_alarm(source: Cluster, folder: Path) -> None:
    with housed(source, folder) as bench:
        kit, backups = bench.kit, bench.catalog.backups
        kit.layout.prepare()
        queued = backups.queue("main", method=kit.method, name=None, requester="", now=local_now())
        taken = kit.take.run(queued, kit.order, stop=StopFlag(), report=Told())
        one = Kept(bench, taken)
        proof = one.verify()
        assert (proof.verdict, proof.flaws) == (Verdict.INCOMPLETE, ())
        assert any("still waits for 1 WAL segment" in note for note in proof.notes)
        assert DAMAGED not in {event.kind for event in bench.catalog.events.of_server("main")}


def test_what_is_not_mounted_is_not_damaged(kept: Keeper) -> None:
    one = kept["bare"]
    one.verify()
    before = one.bench.catalog.proofs.find("main", one.backup.id)
    with gone(one.bench.layout.backup(one.backup.id)):
        with pytest.raises(StorageFailed, match="empty or does not exist"):
            one.verify()
        (one.bench.layout.base / "other").mkdir()
        assert {flaw.what for flaw in one.verify().flaws} == {"is missing"}
        (one.bench.layout.base / "other").rmdir()
    assert before is not None
    assert one.verify().verdict is Verdict.WHOLE


def test_what_no_restore_takes_is_refused(kept: Keeper) -> None:
    verify = kept["bare"].bench.kit.verify
    backup = kept["bare"].backup
    for other, words in (
        (replace(backup, status=Status.FAILED), "is FAILED"),
        (replace(backup, encryption="gpg"), "is encrypted"),
        (replace(backup, snapshots="{}"), "snapshot"),
    ):
        with pytest.raises(Refused, match=words):
            verify.refuse_unless_possible(other)


# -------------------------------------------------------------------------------------- a manifest


def test_what_a_killed_attempt_left_does_not_matter(kept: Keeper) -> None:
    one = kept["bare"]
    left = one.data.parent / ".backup_manifest.tmp"
    left.write_bytes(b"half")
    assert one.verify().verdict is Verdict.WHOLE
    made = one.bench.kit.make_manifest.run(
        one.backup, Checksums.CRC32C, stop=StopFlag(), report=Told()
    )
    made.path.unlink()
    assert not left.exists()


def test_a_stopped_attempt_leaves_none(kept: Keeper) -> None:
    one, stop = kept["bare"], StopFlag()

    def told(*_: object) -> None:
        stop.stop("cancelled by tester")

    with pytest.raises(Stopped, match="cancelled by tester"):
        one.bench.kit.make_manifest.run(one.backup, Checksums.CRC32C, stop=stop, report=told)
    assert not (one.data / "backup_manifest").exists()
    assert [path.name for path in one.data.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("checksums", Checksums)
def test_a_manifest_is_made_that_postgresql_accepts(
    kept: Keeper, tmp_path: Path, checksums: Checksums
) -> None:
    one = kept["bare"]
    told = Told()
    made = one.bench.kit.make_manifest.run(one.backup, checksums, stop=StopFlag(), report=told)
    try:
        place = tmp_path / "new"
        one.bench.restore(one.backup, place, fast=tmp_path / "fast")
        changed = ("recovery.signal", "barmand_wal", "tablespace_map")
        program = one.bench.cluster.bindir / "pg_verifybackup"
        run(program, "--no-parse-wal", *(f"--ignore={each}" for each in changed), place)
        proof = one.verify()
        assert (proof.verdict, proof.notes) == (Verdict.WHOLE, ())
        with pytest.raises(Refused, match="has a manifest"):
            one.bench.kit.make_manifest.run(one.backup, checksums, stop=StopFlag(), report=told)
        with damaged(moved(one), "flipped") as path:
            one.assert_named(path)
    finally:
        made.path.unlink()


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_backup_gets_no_manifest(kept: Keeper, how: str) -> None:
    one = kept["bare"]
    with damaged(table(one), how), pytest.raises(StorageFailed, match="gets no manifest"):
        one.bench.kit.make_manifest.run(
            one.backup, Checksums.CRC32C, stop=StopFlag(), report=Told()
        )
    assert not (one.data / "backup_manifest").exists()
    assert not list(one.data.parent.glob(".*"))


def test_archives_get_no_manifest(kept: Keeper) -> None:
    one = kept["packed"]
    with pytest.raises(Refused, match="packed"):
        one.bench.kit.make_manifest.refuse_unless_possible(one.backup)
