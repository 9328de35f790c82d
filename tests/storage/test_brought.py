"""A file that comes some other way: read once, as a whole or while it grows."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.model.pgdata import RelationFile
from barmand.service.stopping import StopFlag
from barmand.storage import brought
from barmand.storage.brought import Reading
from barmand.storage.manifest import Algorithm
from barmand.storage.pages import PAGE_BYTES, WrongPage
from barmand.storage.seen import SMALL_BYTES, Looks, Seen
from storage.test_live_copy import crc, page

BEGIN = 1 << 40
PAGES = Looks(BEGIN, Algorithm.CRC32C)
SECOND = RelationFile(131_072)
"""The second file of a relation: its first block is not 0."""
COUNT = 300


@pytest.fixture(scope="module")
def content() -> bytes:
    """More than a small file holds; two pages are bad."""
    pages = [page(SECOND.first_block + n) for n in range(COUNT)]
    pages[7] = b"\xff" * PAGE_BYTES
    pages[250] = pages[251]
    return b"".join(pages)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def seen(file: Path, looks: Looks = PAGES, *, leaves_small: bool = False) -> Seen:
    with closing(Reading(file, SECOND, looks, StopFlag())) as reading:
        return reading.finish(leaves_small=leaves_small)


def expected(file: Path, content: bytes) -> Seen:
    return Seen(
        len(content),
        file.stat().st_mtime_ns,
        crc(content),
        bad_blocks=(SECOND.first_block + 250,),
        doubtful=(WrongPage(SECOND.first_block + 7, 2**64 - 1),),
    )


def test_a_whole_file_is_summed_and_its_bad_pages_are_told(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert seen(file) == expected(file, content)


@pytest.mark.parametrize("piece_bytes", [PAGE_BYTES, 5 * PAGE_BYTES, 64 * 1024 * 1024])
def test_one_that_grows_is_seen_as_one_that_was_there(
    file: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    """Whatever part of a page is there when it is looked at; nothing is read twice."""
    monkeypatch.setattr(brought, "PIECE_BYTES", piece_bytes)
    reads: list[tuple[int, int]] = []
    read_at = brought.read_at

    def told(opened: int, offset: int, count: int) -> bytes:
        reads.append((offset, count))
        return read_at(opened, offset, count)

    monkeypatch.setattr(brought, "read_at", told)
    file.touch()
    with closing(Reading(file, SECOND, PAGES, StopFlag())) as reading, file.open("ab") as writer:
        for begin in range(0, len(content), 123_457):
            writer.write(content[begin : begin + 123_457])
            writer.flush()
            reading.go_on()
        os.utime(file, ns=(1, 2_000_000_123))
        found = reading.finish()
    assert found == expected(file, content)
    assert found.changed_ns == 2_000_000_123
    ends = [offset + count for offset, count in reads]
    assert [offset for offset, _ in reads] == [0, *ends[:-1]]
    assert ends[-1] == len(content)


def test_one_that_is_renamed_meanwhile_is_the_same(file: Path, content: bytes) -> None:
    file.write_bytes(content[: len(content) // 2])
    with closing(Reading(file, SECOND, PAGES, StopFlag())) as reading:
        reading.go_on()
        with file.open("ab") as writer:
            writer.write(content[len(content) // 2 :])
        inode = file.stat().st_ino
        renamed = file.rename(file.with_name("renamed"))
        assert reading.facts.st_ino == inode
        assert reading.finish() == expected(renamed, content)


@pytest.mark.parametrize(
    ("size", "is_left"), [(0, False), (SMALL_BYTES, True), (SMALL_BYTES + PAGE_BYTES, False)]
)
def test_a_small_files_pages_are_left_to_be_judged_with_others(
    file: Path, content: bytes, size: int, *, is_left: bool
) -> None:
    file.write_bytes(content[:size])
    found = seen(file, leaves_small=True)
    assert found.unjudged == (content[:size] if is_left else b"")
    assert bool(found.doubtful) is (size > 0 and not is_left)
    assert found.checksum == crc(content[:size])
    assert seen(file).unjudged == b""
    assert bool(seen(file).doubtful) is (size > 0)


def test_who_does_not_look_at_pages_judges_none(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    found = seen(file, Looks(None, Algorithm.CRC32C), leaves_small=True)
    assert found == Seen(len(content), file.stat().st_mtime_ns, crc(content))


def test_one_that_is_cut_off_is_as_long_as_what_was_read(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with closing(Reading(file, SECOND, PAGES, StopFlag())) as reading:
        reading.go_on()
        os.truncate(file, PAGE_BYTES)
        assert reading.finish().size == len(content)
    file.write_bytes(content[:PAGE_BYTES])
    assert seen(file).size == PAGE_BYTES


@pytest.mark.parametrize("step", [Reading.go_on, Reading.finish])
def test_a_stop_ends_it(file: Path, content: bytes, step: Callable[[Reading], object]) -> None:
    file.write_bytes(content)
    stop = StopFlag()
    stop.stop("the test stopped it")
    with (
        closing(Reading(file, SECOND, PAGES, stop)) as reading,
        pytest.raises(Stopped, match=f"stopped while reading {file}"),
    ):
        step(reading)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda _path: None, FileNotFoundError),
        (lambda path: path.mkdir(), None),
        (lambda path: path.symlink_to("/etc/passwd"), OSError),
        (os.mkfifo, None),
    ],
)
def test_what_is_no_file_is_refused_by_name(
    file: Path, make: Callable[[Path], None], cause: type[Exception] | None
) -> None:
    make(file)
    with pytest.raises(StorageFailed, match=f"cannot read {file}") as failed:
        Reading(file, SECOND, PAGES, StopFlag())
    if cause is not None:
        assert isinstance(failed.value.__cause__, cause)
