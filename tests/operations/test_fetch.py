"""WAL that is asked for: found wherever it lies, whole or not at all; absent only if it is."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed, UsageError
from barmand.model.gap import GapState
from barmand.model.wal import Run
from barmand.operations.fetch import Found
from fakes import MB, Bench, flip, lay_segment, segment_name, wal_segment

NAME = segment_name(7)
HISTORY = b"1\t0/5000000\tno recovery target specified\n"


def read(found: Found | None) -> bytes:
    """What was handed out; its file is closed."""
    assert found is not None
    assert found.file is not None
    try:
        assert os.lseek(found.file, 0, os.SEEK_CUR) == 0
        content = os.pread(found.file, 2 * MB, 0)
        assert len(content) == found.size
        return content
    finally:
        os.close(found.file)


def fetch(bench: Bench, name: str = NAME, *, partial: bool = False) -> bytes:
    return read(bench.fetch.run(name, partial=partial))


def archive(bench: Bench, number: int = 7) -> Path:
    bench.stream(number)
    bench.pass_wal()
    return bench.layout.wal(segment_name(number))


@pytest.mark.parametrize("place", ["incoming", "streaming"])
def test_a_segment_is_handed_out_before_it_is_archived(bench: Bench, place: str) -> None:
    lay_segment(bench.layout.home / place, 7)
    assert fetch(bench) == wal_segment(7)


def test_an_archived_segment_is_handed_out(bench: Bench) -> None:
    archive(bench)
    assert fetch(bench) == wal_segment(7)


def test_a_packed_segment_is_handed_out_unpacked(bench: Bench) -> None:
    path = archive(bench)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert fetch(bench) == wal_segment(7)


def test_the_archive_goes_before_what_has_just_arrived(bench: Bench) -> None:
    archive(bench)
    lay_segment(bench.layout.incoming, 7, fill=b"x")
    assert fetch(bench) == wal_segment(7)


def test_a_history_is_handed_out(bench: Bench) -> None:
    (bench.layout.incoming / "00000002.history").write_bytes(HISTORY)
    assert fetch(bench, "00000002.history") == HISTORY


@pytest.mark.parametrize(
    "name", [NAME, "00000002.history", f"{NAME}.00000028.backup", f"{NAME}.partial"]
)
def test_what_is_nowhere_is_absent(bench: Bench, name: str) -> None:
    archive(bench, 8)
    assert bench.fetch.run(name) is None


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "0000000100000000000000ab", "RECOVERYXLOG", f"{NAME}\n"]
)
def test_a_name_that_is_no_wal_files_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(UsageError):
        bench.fetch.run(name)


@pytest.mark.parametrize("place", ["incoming", "streaming", "wals"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * MB, wal_segment(7)[:-1], wal_segment(8), b"x" * MB]
)
def test_what_is_not_whole_is_a_failure_and_not_absent(
    bench: Bench, place: str, content: bytes
) -> None:
    path = bench.layout.home / place / NAME
    if place == "wals":
        path = archive(bench)
    path.write_bytes(content)
    with pytest.raises(StorageFailed, match=f"{NAME} is not whole"):
        bench.fetch.run(NAME)


def test_a_packed_segment_that_is_damaged_is_a_failure(bench: Bench) -> None:
    path = archive(bench)
    path.write_bytes(gzip.compress(path.read_bytes())[:-100])
    with pytest.raises(StorageFailed, match="damaged") as failed:
        bench.fetch.run(NAME)
    assert failed.value.message.count(str(path)) == 1


@pytest.mark.parametrize("at", [100, 9000, MB - 1])
def test_a_plain_segment_of_which_a_bit_flipped_is_a_failure_and_not_absent(
    bench: Bench, at: int
) -> None:
    flip(archive(bench), at)
    with pytest.raises(StorageFailed, match=f"{NAME} is not whole: it is not what was archived"):
        bench.fetch.run(NAME)


def test_a_history_of_which_a_bit_flipped_is_a_failure(bench: Bench) -> None:
    (bench.layout.incoming / "00000002.history").write_bytes(HISTORY)
    bench.pass_wal()
    flip(bench.layout.wal("00000002.history"), 4)  # another place to branch off
    with pytest.raises(StorageFailed, match="it is not what was archived"):
        bench.fetch.run("00000002.history")


def test_a_segment_that_was_archived_without_a_sum_is_handed_out(bench: Bench) -> None:
    os.removexattr(archive(bench), "user.barmand.crc32c")
    assert fetch(bench) == wal_segment(7)


def test_what_waits_is_not_judged_by_the_sum_of_an_earlier_content(bench: Bench) -> None:
    waiting = lay_segment(bench.layout.incoming, 7)
    os.setxattr(waiting, "user.barmand.crc32c", b"00000000")
    assert fetch(bench) == wal_segment(7)
    bench.pass_wal()
    assert fetch(bench) == wal_segment(7)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_given_a_sum_is_archived_without(bench: Bench) -> None:
    lay_segment(bench.layout.incoming, 7).chmod(0o400)
    bench.pass_wal()
    assert os.listxattr(bench.layout.wal(NAME)) == []
    assert fetch(bench) == wal_segment(7)


def test_a_whole_one_that_has_arrived_stands_in_for_a_damaged_one(bench: Bench) -> None:
    archive(bench).write_bytes(b"damaged")
    lay_segment(bench.layout.incoming, 7)
    assert fetch(bench) == wal_segment(7)


def test_an_archived_segment_that_is_gone_is_a_failure_and_not_absent(bench: Bench) -> None:
    archive(bench, 6)
    archive(bench).unlink()
    with pytest.raises(StorageFailed, match=f"{NAME} was archived, and is not in"):
        bench.fetch.run(NAME)


@pytest.mark.parametrize("name", [NAME, "00000002.history"])
def test_an_archive_whose_mount_is_gone_is_a_failure_and_not_absence(
    bench: Bench, name: str
) -> None:
    archive(bench, 6)
    shutil.rmtree(bench.layout.wals)
    with pytest.raises(StorageFailed):
        bench.fetch.run(name)
    bench.layout.wals.mkdir()  # the bare mount point
    with pytest.raises(StorageFailed, match="is empty, and WAL was archived there"):
        bench.fetch.run(name)


def test_a_segment_in_a_gap_is_absent_only_once_an_operator_said_so(bench: Bench) -> None:
    for number in (1, 3):
        lay_segment(bench.layout.incoming, number)
    bench.pass_wal()
    (gap,) = bench.catalog.wal_gaps.of_server("main")
    with pytest.raises(StorageFailed, match=f"lies in gap {gap.id}"):
        bench.fetch.run(segment_name(2))
    bench.catalog.wal_gaps.acknowledge(
        "main", gap.id, reason="the disk died", actor="anna", now=bench.clock()
    )
    assert bench.fetch.run(segment_name(2)) is None


def test_a_file_that_cannot_be_read_is_a_failure(bench: Bench) -> None:
    path = archive(bench)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageFailed, match="not a regular file"):
        bench.fetch.run(NAME)


def test_a_partial_segment_is_handed_out_only_when_asked_for(bench: Bench) -> None:
    (bench.layout.streaming / f"{NAME}.partial").write_bytes(wal_segment(7))
    assert bench.fetch.run(NAME) is None
    assert fetch(bench, partial=True) == wal_segment(7)


def test_a_partial_segment_that_postgresql_pushed_is_found_in_the_archive(bench: Bench) -> None:
    (bench.layout.incoming / f"{NAME}.partial").write_bytes(wal_segment(7))
    assert fetch(bench, partial=True) == wal_segment(7)
    bench.pass_wal()
    assert bench.archived() == [f"{NAME}.partial"]
    assert fetch(bench, partial=True) == wal_segment(7)
    assert bench.fetch.run("00000002.history", partial=True) is None


def test_a_short_partial_segment_is_filled_with_zeros(bench: Bench) -> None:
    content = wal_segment(7, fill=b"r")[: MB // 2]
    (bench.layout.streaming / f"{NAME}.partial").write_bytes(content)
    assert fetch(bench, partial=True) == content + b"\0" * (MB - len(content))


def test_a_partial_segment_without_a_first_page_is_none(bench: Bench) -> None:
    (bench.layout.streaming / f"{NAME}.partial").write_bytes(b"\0" * MB)
    assert bench.fetch.run(NAME, partial=True) is None


def test_a_whole_segment_goes_before_a_partial_one(bench: Bench) -> None:
    archive(bench)
    (bench.layout.streaming / f"{NAME}.partial").write_bytes(wal_segment(7, fill=b"x"))
    assert fetch(bench, partial=True) == wal_segment(7)


def test_who_has_the_file_already_is_told_so(bench: Bench) -> None:
    path = archive(bench)
    first = bench.fetch.run(NAME)
    assert read(first) == wal_segment(7)
    assert first is not None
    again = bench.fetch.run(NAME, held=first.stamp)
    assert again is not None
    assert again.file is None
    other = path.with_name("other")
    other.write_bytes(wal_segment(7, fill=b"x"))
    other.rename(path)
    assert read(bench.fetch.run(NAME, held=first.stamp)) == wal_segment(7, fill=b"x")


def test_no_file_stays_open(bench: Bench) -> None:
    archive(bench)
    before = len(list(Path("/proc/self/fd").iterdir()))
    fetch(bench)
    archive(bench, 8).write_bytes(b"damaged")
    with pytest.raises(StorageFailed):
        bench.fetch.run(segment_name(8))
    bench.fetch.run(segment_name(9))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_peeking_names_segments_up_to_the_first_gap(bench: Bench) -> None:
    for number in (5, 6, 7, 9):
        archive(bench, number)
    assert bench.fetch.peek(segment_name(5), 10) == [segment_name(n) for n in (5, 6, 7)]
    assert bench.fetch.peek(segment_name(6), 1) == [segment_name(6)]
    assert bench.fetch.peek(segment_name(8), 10) == []
    assert bench.fetch.peek("00000002.history", 10) == []


def missing(bench: Bench) -> list[Run]:
    return [gap.run for gap in bench.catalog.wal_gaps.of_server("main", (GapState.OPEN,))]


def alarms(bench: Bench) -> int:
    return len(bench.events("archived WAL lost or damaged"))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def pack_half(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes())[:-100])


@pytest.mark.parametrize("damage", [Path.unlink, cut_off, pack_half])
def test_an_archived_segment_found_gone_or_damaged_is_a_gap_at_once(
    bench: Bench, damage: Callable[[Path], None]
) -> None:
    archive(bench, 6)
    damage(archive(bench))
    archive(bench, 8)
    for _ in range(2):
        with pytest.raises(StorageFailed):
            bench.fetch.run(NAME)
    assert missing(bench) == [Run(1, 7, 7)]
    assert alarms(bench) == 1
    assert bench.catalog.wal_runs.of_server("main") == [Run(1, 6, 6), Run(1, 8, 8)]


def test_half_a_file_that_has_just_arrived_makes_no_gap(bench: Bench) -> None:
    archive(bench, 8)
    lay_segment(bench.layout.incoming, 7).write_bytes(b"half")
    with pytest.raises(StorageFailed):
        bench.fetch.run(NAME)
    assert (missing(bench), alarms(bench)) == ([], 0)


@pytest.mark.parametrize("left", [[], ["lost+found"]])
def test_an_archive_that_is_gone_as_a_whole_makes_no_gap(bench: Bench, left: list[str]) -> None:
    archive(bench, 6)
    archive(bench)
    shutil.rmtree(bench.layout.wals)
    bench.layout.wals.mkdir()
    for name in left:
        (bench.layout.wals / name).mkdir()
    with pytest.raises(StorageFailed):
        bench.fetch.run(NAME)
    assert (missing(bench), alarms(bench)) == ([], 0)
    assert bench.catalog.wal_runs.of_server("main") == [Run(1, 6, 7)]
