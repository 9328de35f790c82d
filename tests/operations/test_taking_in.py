"""Arrived files on their way into the archive: packed, killed, refused, in crowds."""

import errno
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.backup import Status
from barmand.model.errors import StorageFailed
from barmand.model.packing import Effort, Packer, Packing, packing_of
from barmand.model.wal import Run
from barmand.operations.archive import Batches
from barmand.storage.packing import content_of, format_of, is_packed, unpacked
from barmand.storage.sums import is_as_remembered
from fakes import MB, Bench, bench_over, flip, lay_segment, segment_name, start_again, wal_segment

ZSTD = packing_of(Packer.ZSTD, Effort.LOW)
PACKERS = (Packer.GZIP, Packer.BZIP2, Packer.XZ, Packer.ZSTD, Packer.LZ4, Packer.SNAPPY)


@pytest.fixture
def make(tmp_path: Path, new_catalog: Callable[[], Catalog]) -> Callable[..., Bench]:
    def bench(packing: Packing | None = None, batches: Batches | None = None) -> Bench:
        return bench_over(
            new_catalog(), tmp_path / "home", packing=packing, batches=batches or Batches()
        )

    return bench


def runs(bench: Bench) -> list[Run]:
    return list(bench.catalog.wal_runs.of_server("main"))


def left(bench: Bench) -> list[str]:
    folders = (bench.layout.incoming, bench.layout.streaming)
    return sorted(path.name for folder in folders for path in folder.iterdir())


def plain(bench: Bench, name: str) -> bytes:
    return b"".join(unpacked(bench.layout.wal(name)))


def kept(bench: Bench) -> list[str]:
    return [path.name.rpartition(".")[2] for path in bench.layout.errors.iterdir()]


def has_true_sum(bench: Bench, number: int) -> bool | None:
    """None for a segment without one."""
    with bench.layout.wal(segment_name(number)).open("rb") as file:
        return is_as_remembered(file.fileno())


# ------------------------------------------------------------------------------------------- packed


@pytest.mark.parametrize("packer", PACKERS)
def test_a_segment_is_packed_under_its_own_name(make: Callable[..., Bench], packer: Packer) -> None:
    packing = packing_of(packer, Effort.MEDIUM)
    assert packing is not None
    bench = make(packing)
    bench.stream(7, 8, 9)
    bench.pass_wal()
    assert bench.archived() == [segment_name(number) for number in (7, 8, 9)]
    for number in (7, 8, 9):
        assert format_of(bench.layout.wal(segment_name(number))) is packing.format
        assert plain(bench, segment_name(number)) == wal_segment(number)
    assert left(bench) == []
    assert runs(bench) == [Run(1, 7, 9)]


def test_the_same_again_is_known_although_it_is_packed(make: Callable[..., Bench]) -> None:
    bench = make(ZSTD)
    bench.stream(7)
    bench.pass_wal()
    before = bench.layout.wal(segment_name(7)).stat()
    lay_segment(bench.layout.incoming, 7)
    bench.pass_wal()
    after = bench.layout.wal(segment_name(7)).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (left(bench), kept(bench)) == ([], [])
    lay_segment(bench.layout.incoming, 7, fill=b"x")
    bench.pass_wal()
    assert kept(bench) == ["duplicate"]
    assert plain(bench, segment_name(7)) == wal_segment(7)


def test_a_damaged_packed_segment_makes_way_for_a_whole_one(make: Callable[..., Bench]) -> None:
    bench = make(ZSTD)
    bench.stream(7)
    bench.pass_wal()
    archived = bench.layout.wal(segment_name(7))
    os.truncate(archived, archived.stat().st_size - 3)
    lay_segment(bench.layout.incoming, 7)
    bench.pass_wal()
    assert kept(bench) == ["damaged"]
    assert plain(bench, segment_name(7)) == wal_segment(7)


def test_a_plain_segment_of_which_a_bit_flipped_makes_way_for_a_whole_one(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.stream(7)
    bench.pass_wal()
    flip(bench.layout.wal(segment_name(7)), 9000)
    lay_segment(bench.layout.incoming, 7)
    bench.pass_wal()
    assert kept(bench) == ["damaged"]
    assert plain(bench, segment_name(7)) == wal_segment(7)
    assert has_true_sum(bench, 7)


def test_only_what_lies_plain_is_summed(make: Callable[..., Bench]) -> None:
    bench = make(ZSTD)
    bench.stream(7)
    bench.pass_wal()
    assert os.listxattr(bench.layout.wal(segment_name(7))) == []


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("own", [None, ZSTD], ids=["plain", "zstd"])
def test_what_arrives_packed_is_judged_by_what_it_holds_and_stays_so(
    make: Callable[..., Bench], packer: Packer, own: Packing | None
) -> None:
    bench = make(packing_of(packer, Effort.LOW))
    bench.stream(7)
    bench.pass_wal()
    packed = bench.layout.wal(segment_name(7)).read_bytes()
    other = bench_over(bench.catalog, bench.layout.home.with_name("other"), packing=own)
    (other.layout.incoming / segment_name(7)).write_bytes(packed)
    (other.layout.incoming / segment_name(8)).write_bytes(packed)
    half = other.layout.incoming / segment_name(9)
    half.write_bytes(packed[: len(packed) // 2])
    other.pass_wal()
    assert other.archived() == [segment_name(7)]
    assert other.layout.wal(segment_name(7)).read_bytes() == packed
    assert kept(other) == ["misnamed"]
    assert left(other) == [half.name]


def test_histories_and_labels_stay_plain(make: Callable[..., Bench]) -> None:
    bench = make(ZSTD)
    (bench.layout.incoming / "00000002.history").write_text("1\t0/300000\twhy\n")
    bench.pass_wal()
    assert not is_packed(bench.layout.wal("00000002.history"))


def test_the_end_of_a_timeline_that_was_pushed_is_kept_beside_and_in_no_run(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    name = f"{segment_name(7)}.partial"
    (bench.layout.incoming / name).write_bytes(wal_segment(7))
    (bench.layout.streaming / name).write_bytes(wal_segment(7))
    bench.pass_wal()
    assert bench.archived() == [name]
    assert runs(bench) == []
    assert left(bench) == [name], "the receiver's own stays"


# --------------------------------------------------------------------------------- sizes and crowds


@pytest.mark.parametrize("size", [MB, 64 * MB])
@pytest.mark.parametrize("packing", [None, ZSTD], ids=["plain", "zstd"])
def test_segments_of_any_size(
    make: Callable[..., Bench], size: int, packing: Packing | None
) -> None:
    bench = make(packing)
    for number in (63, 64):
        lay_segment(bench.layout.incoming, number, size=size)
    bench.pass_wal()
    assert runs(bench) == [Run(1, 63, 64)]
    name = segment_name(64, size=size)
    assert content_of(bench.layout.wal(name)).size == size
    lay_segment(bench.layout.incoming, 65, size=2 * MB)
    bench.pass_wal()
    assert kept(bench) == ["foreign"]


def test_a_thousand_segments_that_wait_are_one_run(make: Callable[..., Bench]) -> None:
    bench = make(ZSTD)
    bench.stream(*range(1000))
    assert bench.archive.run(lambda: False).archived == 1000
    assert runs(bench) == [Run(1, 0, 999)]
    assert left(bench) == []


def test_the_same_segments_from_both_archivers_are_archived_once(
    make: Callable[..., Bench],
) -> None:
    bench = make(ZSTD)
    for number in range(20):
        lay_segment(bench.layout.incoming, number)
        lay_segment(bench.layout.streaming, number)
    bench.pass_wal()
    assert bench.archived() == [segment_name(number) for number in range(20)]
    assert (runs(bench), left(bench), kept(bench)) == ([Run(1, 0, 19)], [], [])


def test_two_passes_at_once_are_one_after_the_other(make: Callable[..., Bench]) -> None:
    bench = make(ZSTD)
    bench.stream(*range(100))
    passed: list[int] = []
    threads = [
        threading.Thread(target=lambda: passed.append(bench.archive.run(lambda: False).archived))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(passed) == [0, 0, 0, 100]
    assert (runs(bench), left(bench), kept(bench)) == ([Run(1, 0, 99)], [], [])


def test_a_batch_is_what_one_pass_takes(make: Callable[..., Bench]) -> None:
    bench = make(batches=Batches(incoming=3, streaming=2))
    lay_segment(bench.layout.incoming, 10).write_bytes(b"")
    for number in (11, 12, 13, 14):
        lay_segment(bench.layout.incoming, number)
    bench.stream(1, 2, 3)
    passed = bench.archive.run(lambda: False)
    assert (passed.archived, passed.left) == (5, 2)
    assert runs(bench) == [Run(1, 1, 2), Run(1, 11, 13)], "an empty file takes nobody's room"
    assert bench.archive.run(lambda: False).archived == 2


def test_a_backup_is_done_before_the_rest_of_a_long_queue(make: Callable[..., Bench]) -> None:
    bench = make()
    backup = bench.copied_backup()
    bench.stream(*bench.needs(backup), *range(100, 300))
    seen: list[int] = []

    def is_over() -> bool:
        if bench.now(backup).status is Status.DONE and not seen:
            seen.append(len(left(bench)))
        return False

    bench.archive.run(is_over)
    assert seen
    assert seen[0] > 100


# ------------------------------------------------------------------------------------------ trouble


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A disk that is full for us in the middle of a file (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_in_mid_segment_leaves_no_half_and_goes_on_later(
    make: Callable[..., Bench],
) -> None:
    bench = make(ZSTD)
    noise = {number: wal_segment(number)[:40] + os.urandom(MB - 40) for number in (7, 8)}
    for number, content in noise.items():
        (bench.layout.incoming / segment_name(number)).write_bytes(content)
    with files_limited_to(400_000), pytest.raises(StorageFailed):
        bench.pass_wal()
    assert bench.archived() == []
    assert runs(bench) == []
    assert left(bench) == [segment_name(7), segment_name(8)]
    bench.pass_wal()
    assert runs(bench) == [Run(1, 7, 8)]
    assert plain(bench, segment_name(7)) == noise[7]


@pytest.mark.parametrize("packing", [None, ZSTD], ids=["plain", "zstd"])
def test_a_segment_that_cannot_be_synced_is_not_acknowledged_and_written_anew(
    make: Callable[..., Bench], packing: Packing | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(packing)
    lay_segment(bench.layout.incoming, 7)
    arrived = (bench.layout.incoming / segment_name(7)).stat().st_ino
    real = os.fsync

    def refuse_files(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        if path.is_relative_to(bench.layout.home) and not path.is_dir():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(file)

    monkeypatch.setattr(os, "fsync", refuse_files)
    with pytest.raises(StorageFailed, match="Input/output error"):
        bench.pass_wal()
    assert (bench.archived(), runs(bench)) == ([], [])
    assert left(bench) == [segment_name(7)]
    monkeypatch.setattr(os, "fsync", real)
    bench.pass_wal()
    archived = bench.layout.wal(segment_name(7))
    assert plain(bench, segment_name(7)) == wal_segment(7)
    assert archived.stat().st_ino != arrived, "the kernel calls the old pages clean: not believed"
    assert (runs(bench), left(bench)) == ([Run(1, 7, 7)], [])
    assert has_true_sum(bench, 7) is (True if packing is None else None)


# ------------------------------------------------------------------------------------------ kill -9


_STEPS = frozenset(
    {"barmand.fsync", "os.rename", "os.remove", "os.mkdir", "os.setxattr", "sqlite3.connect"}
)


def _live_until(home: Path, state: Path, packing: Packing | None, step: int) -> bool:
    """A process that is killed at its k-th step; False when it came to its end first."""
    child = os.fork()
    if child == 0:
        try:
            count = 0
            lock = threading.Lock()

            def hear(event: str, _arguments: tuple[object, ...]) -> None:
                nonlocal count
                if event in _STEPS:
                    with lock:
                        count += 1
                        if count > step:
                            os.kill(os.getpid(), signal.SIGKILL)

            bench = bench_over(open_catalog(state), home, packing=packing)
            sys.addaudithook(hear)
            bench.pass_wal()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("packing", [None, ZSTD], ids=["plain", "zstd"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork while no thread of ours lives
def test_killed_between_any_two_steps_each_segment_is_there_once_and_whole(
    tmp_path: Path, empty_state: Path, packing: Packing | None
) -> None:
    for step in range(200):
        home = tmp_path / f"home-{step}"
        state = tmp_path / f"state-{step}"
        state.write_bytes(empty_state.read_bytes())
        catalog = open_catalog(state)
        prepared = bench_over(catalog, home)
        for number in (5, 6, 7):
            lay_segment(prepared.layout.incoming, number)
        lay_segment(prepared.layout.streaming, 7)
        catalog.close()
        was_killed = _live_until(home, state, packing, step)
        catalog = open_catalog(state)
        try:
            bench = bench_over(catalog, home, packing=packing)
            start_again(bench)
            assert bench.archived() == [segment_name(number) for number in (5, 6, 7)], step
            assert all(plain(bench, segment_name(each)) == wal_segment(each) for each in (5, 6, 7))
            assert (runs(bench), left(bench), kept(bench)) == ([Run(1, 5, 7)], [], []), step
            is_summed = True if packing is None else None
            assert all(has_true_sum(bench, each) is is_summed for each in (5, 6, 7)), step
        finally:
            catalog.close()
        if not was_killed:
            assert step > 10, "the pass has fewer steps than it should"
            return
    pytest.fail("the pass has no end")


@pytest.mark.parametrize(("folder", "told"), [("streaming", "streamed"), ("incoming", "pushed")])
def test_a_duplicate_tells_where_it_came_from(
    make: Callable[..., Bench], folder: str, told: str
) -> None:
    bench = make()
    bench.stream(7)
    bench.pass_wal()
    lay_segment(bench.layout.home / folder, 7, fill=b"x")
    bench.pass_wal()
    (event,) = [e for e in bench.catalog.events.of_server("main") if "set aside" in e.kind]
    why = str(event.facts["why"])
    assert told in why
    assert str(bench.layout.wal(segment_name(7))) in why
    assert ("may be the wrong one" in why) is (folder == "streaming")
