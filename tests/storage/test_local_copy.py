"""Several workers copy or link a cluster's files, and older backups stay as they are."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from operator import attrgetter
from pathlib import Path

import pytest
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from barmand.model.backup import Damage, Doubt
from barmand.model.errors import Stopped, StorageFailed
from barmand.storage import linking, local_copy
from barmand.storage.attempts import Attempts
from barmand.storage.checksums import NO_CHECKSUMS, checksums_in
from barmand.storage.data_tree import Tree
from barmand.storage.linking import Reference
from barmand.storage.local_copy import Crew, LocalCopy
from barmand.storage.manifest import Algorithm, Manifest, read_checksums, writing
from barmand.storage.pace import Pace, Paces
from barmand.storage.pages import PAGE_BYTES, WrongPage
from barmand.storage.seen import Looks
from barmand.storage.survey import LARGE_BYTES, Survey, survey
from storage.test_live_copy import crc, page
from support.starving import Starved

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
LONG_AGO = 1_500_000_000 * 10**9
SAFE = LONG_AGO + 10**9
LATER = SAFE + 10**9


class Flag(threading.Event):
    reason = "the test stopped it"


def sums_in(data: Path) -> dict[str, str]:
    return dict(read_checksums(data))


def lay(path: Path, content: bytes, changed_ns: int = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(changed_ns, changed_ns))


@dataclass
class Ground:
    """A data directory, and a folder of backups."""

    folder: Path
    stop: Flag | Starved = field(default_factory=Flag)
    heard: list[int] = field(default_factory=list)
    during: Callable[[int], None] = lambda _count: None

    @property
    def pgdata(self) -> Path:
        return self.folder / "pgdata"

    def home(self, name: str) -> Path:
        return self.folder / "base" / name

    def look(self, name: str) -> Survey:
        self.home(name).mkdir(parents=True)
        return survey([Tree(self.pgdata, self.home(name) / "data")], Attempts(self.stop))

    def copy(
        self,
        name: str,
        *,
        like: str | None = None,
        has_manifest: bool = True,
        found: Survey | None = None,
        jobs: int = 2,
        limit: int | None = None,
        crew: Crew | None = None,
        retries: int = 0,
    ) -> None:
        found = found or self.look(name)
        home = self.home(name)
        reference = None
        if like is not None:
            sums = NO_CHECKSUMS
            if has_manifest:
                sums = checksums_in(self.home(like) / "data", Algorithm.CRC32C, self.stop)
            reference = Reference(self.home(like), SAFE, sums)

        with writing(home / "data", Algorithm.CRC32C) as manifest:
            manifest.begin(150_000, "1")
            told = manifest if has_manifest else None
            copier = self.copier(name, reference, told, limit=limit, retries=retries)
            copier.run(found, crew or Crew(jobs))
            manifest.end([])

    def copier(
        self,
        name: str,
        reference: Reference | None,
        manifest: Manifest | None,
        *,
        limit: int | None = None,
        retries: int = 0,
    ) -> LocalCopy:
        def progress(count: int) -> None:
            self.heard.append(count)
            self.during(count)

        return LocalCopy(
            looks=Looks(None, Algorithm.CRC32C if manifest else None),
            reference=reference,
            manifest=manifest,
            attempts=Attempts(self.stop, retries, 0.01),
            progress=progress,
            paces=Paces(Pace(limit)),
            home=self.home(name),
        )

    def file(self, name: str, path: str) -> Path:
        return self.home(name) / "data" / path

    def is_linked(self, one: str, other: str, path: str) -> bool:
        return self.file(one, path).samefile(self.file(other, path))

    def sums(self, name: str) -> dict[str, str]:
        return {
            str(path): sha256(path.read_bytes()).hexdigest()
            for path in self.home(name).rglob("*")
            if path.is_file()
        }


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground(tmp_path)
    for number in range(300):
        lay(ground.pgdata / f"base/5/{number}", b"%d" % number)
    lay(ground.pgdata / "PG_VERSION", b"15\n")
    lay(ground.pgdata / "base/5/9000", b"large" * LARGE_BYTES)
    return ground


def test_everything_is_copied_once_and_told(ground: Ground) -> None:
    ground.copy("1", jobs=5)
    expected = {
        str(path.relative_to(ground.pgdata)): path.read_bytes()
        for path in ground.pgdata.rglob("*")
        if path.is_file()
    }
    assert {name: ground.file("1", name).read_bytes() for name in expected} == expected
    assert sum(ground.heard) == sum(map(len, expected.values()))
    assert set(sums_in(ground.home("1") / "data")) == set(expected)


# ------------------------------------------------------------------------------------- linking


def test_what_is_equal_in_size_and_time_and_older_is_linked(ground: Ground) -> None:
    ground.copy("1")
    before = ground.sums("1")
    ground.copy("2", like="1")
    assert ground.is_linked("1", "2", "base/5/7")
    assert ground.is_linked("1", "2", "base/5/9000")
    ours, theirs = (sums_in(ground.home(name) / "data") for name in "12")
    assert ours == theirs
    assert ground.sums("1") == before
    assert sum(ground.heard) == 2 * sum(map(len, map(Path.read_bytes, files(ground.pgdata))))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_younger_is_linked_only_if_it_is_equal_byte_by_byte(ground: Ground) -> None:
    for name in ("equal", "other", "tail"):
        lay(ground.pgdata / f"base/5/{name}", b"a" * 3_000_000, LATER)
    ground.copy("1")
    lay(ground.pgdata / "base/5/other", b"b" * 3_000_000, LATER)
    lay(ground.pgdata / "base/5/tail", b"a" * 2_999_999 + b"b", LATER)
    ground.copy("2", like="1")
    assert ground.is_linked("1", "2", "base/5/equal")
    for name in ("other", "tail"):
        assert not ground.is_linked("1", "2", f"base/5/{name}")
        copied = ground.file("2", f"base/5/{name}").read_bytes()
        assert copied == (ground.pgdata / f"base/5/{name}").read_bytes()


@pytest.mark.parametrize(
    ("content", "changed"), [(b"longer than it was", LONG_AGO), (b"7", LONG_AGO + 1)]
)
def test_what_differs_in_size_or_time_is_copied(
    ground: Ground, content: bytes, changed: int
) -> None:
    ground.copy("1")
    lay(ground.pgdata / "base/5/7", content, changed)
    ground.copy("2", like="1")
    assert not ground.is_linked("1", "2", "base/5/7")
    assert ground.file("2", "base/5/7").read_bytes() == content
    assert ground.file("1", "base/5/7").read_bytes() == b"7"


def test_what_the_manifest_of_the_reference_does_not_tell_is_copied(ground: Ground) -> None:
    ground.copy("1", has_manifest=False)
    ground.copy("2", like="1")
    assert not ground.is_linked("1", "2", "base/5/7")
    assert "base/5/7" in sums_in(ground.home("2") / "data")


def test_without_a_manifest_no_checksum_is_asked_for(ground: Ground) -> None:
    ground.copy("1", has_manifest=False)
    ground.copy("2", like="1", has_manifest=False)
    assert ground.is_linked("1", "2", "base/5/7")


def test_a_folder_that_the_reference_had_as_a_file_is_copied(ground: Ground) -> None:
    lay(ground.pgdata / "mine", b"x")
    ground.copy("1")
    (ground.pgdata / "mine").unlink()
    lay(ground.pgdata / "mine/inside", b"y")
    ground.copy("2", like="1")
    assert ground.file("2", "mine/inside").read_bytes() == b"y"


def test_a_reference_deleted_in_mid_copy_costs_a_copy_and_no_file(ground: Ground) -> None:
    ground.copy("1")

    def delete(_count: int) -> None:
        shutil.rmtree(ground.home("1"), ignore_errors=True)

    ground.during = delete
    ground.copy("2", like="1")
    assert ground.file("2", "base/5/299").read_bytes() == b"299"
    assert len(sums_in(ground.home("2") / "data")) == 302


def test_a_younger_file_whose_reference_is_gone_is_copied(tmp_path: Path) -> None:
    lay(tmp_path / "one", b"1")
    assert not linking._same(tmp_path / "one", tmp_path / "gone")


# ------------------------------------------------------------------------ what older backups are


def test_no_older_backup_changes_by_failures_retries_and_links(ground: Ground) -> None:
    ground.copy("1")
    ground.copy("2", like="1")
    before = {name: ground.sums(name) for name in "12"}
    found = ground.look("3")
    ground.during = lambda _count: ground.stop.set()
    with pytest.raises(Stopped):
        ground.copy("3", like="2", found=found)
    assert any(path.stat().st_nlink == 3 for path in files(ground.home("3")))
    # What the first attempt had linked changes at its source, in size and in time or not.
    ground.stop, ground.during = Flag(), lambda _count: None
    for number in range(300):
        lay(ground.pgdata / f"base/5/{number}", b"%d changed" % number, LATER)
    lay(ground.pgdata / "base/5/9000", b"LARGE" * LARGE_BYTES, LATER)
    ground.copy("3", like="2", found=found)
    assert {name: ground.sums(name) for name in "12"} == before
    assert ground.file("3", "base/5/299").read_bytes() == b"299 changed"


# ------------------------------------------------------------------------------------------ pages


def lay_pages(ground: Ground, bad: dict[str, bytes]) -> None:
    """Many small relations, whole but for those."""
    for number in range(2000, 2600):
        lay(ground.pgdata / f"base/5/{number}", page(0) + page(1))
    for path, content in bad.items():
        lay(ground.pgdata / path, content)


NO_PAGES = "base/5/9000"
"""Every ground has it: words, in a file that is called like a relation."""


def copy_pages(ground: Ground) -> tuple[list[Damage | Doubt], dict[str, str]]:
    found = ground.look("1")
    with writing(ground.home("1") / "data", Algorithm.CRC32C) as manifest:
        manifest.begin(150_000, "1")
        copier = ground.copier("1", None, manifest)
        copier.looks = Looks(1 << 40, Algorithm.CRC32C)
        seen = copier.run(found, Crew(2))
        manifest.end([])
    assert sum(ground.heard) == found.bytes
    wrong = [each for each in seen if each.path != NO_PAGES]
    return wrong, sums_in(ground.home("1") / "data")


def test_bad_pages_of_small_files_are_told_each_with_its_file(ground: Ground) -> None:
    bad = page(1)[:-1] + b"?"
    lay_pages(
        ground,
        {"base/5/2100": page(0) + bad, "base/5/2599": bad, "base/5/2300.2": page(0) * 3},
    )
    damages, sums = copy_pages(ground)
    assert sorted(damages, key=attrgetter("path")) == [
        Damage("base/5/2100", (1,)),
        Damage("base/5/2300.2", (262_144, 262_145, 262_146)),
        Damage("base/5/2599", (0,)),
    ]
    for name in ("2100", "2101", "2300.2", "2599", "9000"):
        content = (ground.pgdata / "base/5" / name).read_bytes()
        assert ground.file("1", f"base/5/{name}").read_bytes() == content
        assert sums[f"base/5/{name}"] == crc(content)


def test_garbage_that_says_it_was_written_late_is_told_with_its_lsn(ground: Ground) -> None:
    garbage, ones = bytes(range(1, 129)) * 64, b"\xff" * PAGE_BYTES
    lay_pages(ground, {"base/5/2100": page(0) + ones, "base/5/2300": page(0) * 200 + garbage})
    found, _ = copy_pages(ground)
    assert Doubt("base/5/2100", 1, 2**64 - 1) in found
    assert Doubt("base/5/2300", 200, 0x0403_0201_0807_0605) in found


TORN = "base/5/2100"


def copy_torn(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, before_judged: Callable[[], None]
) -> tuple[list[Damage | Doubt], dict[str, str]]:
    """A small file lacks half a page when it is copied first."""
    lay_pages(ground, {TORN: page(0) + page(1)[:4096] + bytes(4096)})
    judged = local_copy.Unjudged.judge

    def judge(self: local_copy.Unjudged[object]) -> list[tuple[object, list[WrongPage]]]:
        before_judged()
        return judged(self)

    monkeypatch.setattr(local_copy.Unjudged, "judge", judge)
    return copy_pages(ground)


def test_a_small_file_caught_in_mid_write_is_copied_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = page(0) + page(1)
    damages, sums = copy_torn(ground, monkeypatch, lambda: lay(ground.pgdata / TORN, whole))
    assert damages == []
    assert ground.file("1", TORN).read_bytes() == whole
    assert sums[TORN] == crc(whole)


def test_a_small_file_dropped_before_its_pages_are_judged_is_left_out(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop() -> None:
        (ground.pgdata / TORN).unlink(missing_ok=True)

    damages, sums = copy_torn(ground, monkeypatch, drop)
    assert damages == []
    assert not ground.file("1", TORN).exists()
    assert TORN not in sums


# --------------------------------------------------------------------------- what goes away, fails


def test_what_postgresql_drops_is_left_out_of_backup_and_manifest(ground: Ground) -> None:
    found = ground.look("1")
    shutil.rmtree(ground.pgdata / "base")
    ground.copy("1", found=found)
    assert sums_in(ground.home("1") / "data").keys() == {"PG_VERSION"}
    assert files(ground.home("1") / "data/base") == []


def test_what_postgresql_never_drops_must_be_there(ground: Ground) -> None:
    found = ground.look("1")
    (ground.pgdata / "PG_VERSION").unlink()
    with pytest.raises(StorageFailed, match=r"cannot read .*/PG_VERSION: No such file"):
        ground.copy("1", found=found)


def test_a_backup_folder_that_goes_away_is_no_vanished_file(ground: Ground) -> None:
    found = ground.look("1")
    shutil.rmtree(ground.home("1") / "data/base/5")
    with pytest.raises(StorageFailed, match=r"cannot write .*base/5/.*: No such file"):
        ground.copy("1", found=found)


@as_user
def test_a_file_that_cannot_be_read_is_named(ground: Ground) -> None:
    (ground.pgdata / "base/5/77").chmod(0)
    with pytest.raises(StorageFailed, match=r"cannot read .*/base/5/77: Permission denied"):
        ground.copy("1")


@as_user
def test_the_first_failure_ends_the_other_workers_at_once(ground: Ground) -> None:
    """Even one that would wait for minutes, by its bandwidth limit."""
    lay(ground.pgdata / "base/5/9001", b"shut!" * LARGE_BYTES)
    (ground.pgdata / "base/5/9001").chmod(0)
    begun = time.monotonic()
    with pytest.raises(StorageFailed, match="base/5/9001"):
        ground.copy("1", limit=2000)
    assert time.monotonic() - begun < 5


def test_a_stop_ends_all_workers(ground: Ground) -> None:
    timer = threading.Timer(0.2, ground.stop.set)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        ground.copy("1", limit=2000, jobs=3)
    assert time.monotonic() - begun < 3
    timer.join()


# ------------------------------------------------------------------------------ another attempt


def test_a_failure_that_heals_fails_nothing_and_older_backups_stay(ground: Ground) -> None:
    ground.copy("1")
    before = ground.sums("1")
    for number in range(0, 300, 2):
        lay(ground.pgdata / f"base/5/{number}", b"%d changed" % number, LATER)
    found = ground.look("2")
    ground.heard.clear()
    starved = ground.stop = Starved()
    with writing(ground.home("2") / "data", Algorithm.CRC32C) as manifest:
        manifest.begin(150_000, "1")
        sums = checksums_in(ground.home("1") / "data", Algorithm.CRC32C, starved)
        with starved.starving():
            ground.copier("2", Reference(ground.home("1"), SAFE, sums), manifest, retries=1).run(
                found, Crew(2)
            )
        manifest.end([])
    assert starved.pauses
    assert ground.sums("1") == before
    for number in range(300):
        changed = number % 2 == 0
        assert ground.is_linked("1", "2", f"base/5/{number}") is not changed
        name = f"base/5/{number}"
        assert ground.file("2", name).read_bytes() == (ground.pgdata / name).read_bytes()
    assert sum(ground.heard) == found.bytes
    assert set(sums_in(ground.home("2") / "data")) == set(sums_in(ground.home("1") / "data"))


def test_half_a_file_is_begun_anew_and_told_once(ground: Ground) -> None:
    """The disk fails in the middle of the large file; one worker, so it is that file's failure."""
    found = ground.look("1")
    large = (ground.pgdata / "base/5/9000").stat().st_size
    failures = []

    def fail(_count: int) -> None:
        half = ground.file("1", "base/5/9000")
        if not failures and half.exists() and 0 < half.stat().st_size < large:
            failures.append(half.stat().st_ino)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    ground.during = fail
    with capture_logs() as logs:
        ground.copy("1", found=found, retries=1, crew=Crew(1))
    assert len(failures) == 1
    whole = ground.file("1", "base/5/9000")
    assert whole.read_bytes() == b"large" * LARGE_BYTES
    assert sum(ground.heard) == found.bytes
    (told,) = [line for line in logs if "another attempt" in line["event"]]
    assert told["error"] == f"cannot write {whole}: Input/output error"


def test_without_an_attempt_left_the_failure_is_told(ground: Ground) -> None:
    found = ground.look("1")
    starved = Starved(heals_at=10**9)
    ground.stop = starved
    with writing(ground.home("1") / "data", Algorithm.CRC32C) as manifest:
        copier = ground.copier("1", None, manifest, retries=2)
        with starved.starving(), pytest.raises(StorageFailed, match="Too many open files"):
            copier.run(found, Crew(2))


# ------------------------------------------------------------------------- workers and their limits


def test_workers_start_so_many_in_a_period_and_each_is_told(ground: Ground) -> None:
    starts: list[float] = []
    begun = time.monotonic()

    def watch(_count: int) -> None:
        told = sum(line["event"] == "copy worker starts" for line in logs)
        starts.extend([time.monotonic() - begun] * (told - len(starts)))

    for number in range(9001, 9005):
        lay(ground.pgdata / f"base/5/{number}", b"large" * LARGE_BYTES)
    ground.during = watch
    with capture_logs() as logs:
        ground.copy("1", limit=60_000_000, crew=Crew(4, 2, 0.5))
    assert len(starts) == 4
    assert min(starts[2:]) > 0.45  # how soon the first two do, a busy machine decides
    told = [line["worker"] for line in logs if line["event"] == "copy worker starts"]
    assert sorted(told) == [1, 2, 3, 4]


def test_a_worker_whose_start_comes_after_the_end_holds_nobody_up(ground: Ground) -> None:
    begun = time.monotonic()
    with capture_logs() as logs:
        ground.copy("1", crew=Crew(8, 1, 60))
    assert time.monotonic() - begun < 20
    assert [line["worker"] for line in logs if line["event"] == "copy worker starts"] == [1]
    assert ground.file("1", "base/5/299").read_bytes() == b"299"


def test_a_stop_before_the_first_file_is_no_success(ground: Ground) -> None:
    found = ground.look("1")
    ground.stop.set()
    with pytest.raises(Stopped):
        ground.copy("1", found=found)


def test_workers_log_in_the_context_of_their_backup(ground: Ground) -> None:
    with capture_logs([merge_contextvars]) as logs, bound_contextvars(server="main"):
        ground.copy("1")
    assert {line["server"] for line in logs} == {"main"}
