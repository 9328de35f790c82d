"""A file is copied while it is written to, and its pages are looked at on the way."""

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.model.pgdata import RelationFile
from barmand.storage import live_copy
from barmand.storage.live_copy import LiveCopy
from barmand.storage.manifest import Algorithm, digest
from barmand.storage.pages import PAGE_BYTES
from barmand.storage.seen import PIECE_BYTES, Looks, Seen
from storage.test_pages import sealed

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
KERNEL = Looks(None, None)
SUMS = Looks(None, Algorithm.CRC32C)
PAGES = Looks(1 << 40, Algorithm.CRC32C)
HEAP = RelationFile(0)


class Flag(threading.Event):
    reason = "the test stopped it"


def crc(content: bytes) -> str:
    total = digest(Algorithm.CRC32C)
    total.update(content)
    return total.hex()


def page(block: int) -> bytes:
    head = struct.pack("<IIHHHHHHI", 0, 0x100, 0, 0, 24, 24, 8192, 8196, 0)
    return sealed(head + bytes([block % 251]) * (PAGE_BYTES - 24), block)


@pytest.fixture(scope="module")
def pages() -> bytes:
    return b"".join(page(block) for block in range(6))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def copier(looks: Looks, during: Callable[[int], None] = lambda _count: None) -> LiveCopy:
    return LiveCopy(looks, Flag(), during)


@pytest.mark.parametrize("looks", [KERNEL, SUMS, PAGES])
@pytest.mark.parametrize("size", [0, 1, PAGE_BYTES, 3 * PIECE_BYTES + 5])
def test_a_copy_has_the_bytes_the_mode_and_the_time(
    source: Path, target: Path, looks: Looks, size: int
) -> None:
    content = os.urandom(size)
    source.write_bytes(content)
    source.chmod(0o640)
    os.utime(source, ns=(5, 1_234_567_890_123_456_789))
    seen = copier(looks).copy(source, target, None)
    facts = target.stat()
    assert target.read_bytes() == content
    assert (facts.st_mode & 0o777, facts.st_mtime_ns) == (0o640, 1_234_567_890_123_456_789)
    expected = crc(content) if looks.algorithm else None
    assert seen == Seen(size, 1_234_567_890_123_456_789, expected, ())


@pytest.mark.parametrize("looks", [KERNEL, SUMS])
def test_a_file_that_grows_is_copied_as_long_as_it_was(
    source: Path, target: Path, looks: Looks
) -> None:
    content = os.urandom(2 * PIECE_BYTES)
    source.write_bytes(content)

    def grow(_count: int) -> None:
        with source.open("ab") as file:
            file.write(b"more" * PIECE_BYTES)

    assert copier(looks, grow).copy(source, target, None).size == len(content)
    assert target.read_bytes() == content


def test_a_file_that_shrinks_ends_where_it_ends(source: Path, target: Path) -> None:
    content = os.urandom(3 * PIECE_BYTES)
    source.write_bytes(content)
    seen = copier(SUMS, lambda _: os.truncate(source, PIECE_BYTES + 100)).copy(source, target, None)
    left = content[: PIECE_BYTES + 100]
    assert target.read_bytes() == left
    assert (seen.size, seen.checksum) == (len(left), crc(left))


def test_a_file_that_vanishes_in_mid_copy_is_copied_to_its_end(source: Path, target: Path) -> None:
    content = os.urandom(3 * PIECE_BYTES)
    source.write_bytes(content)
    copier(SUMS, lambda _: source.unlink(missing_ok=True)).copy(source, target, None)
    assert target.read_bytes() == content


def test_holes_stay_holes_where_the_kernel_copies(source: Path, target: Path) -> None:
    with source.open("wb") as file:
        file.truncate(64 * PIECE_BYTES)
        file.seek(32 * PIECE_BYTES)
        file.write(b"x" * 4096)
    copier(KERNEL).copy(source, target, None)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 8


def test_a_link_is_followed(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("port = 1")
    source.symlink_to("conf")
    copier(SUMS).copy(source, target, None)
    assert not target.is_symlink()
    assert target.read_text() == "port = 1"


def test_a_file_of_an_older_backup_is_never_written_again(source: Path, target: Path) -> None:
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(StorageFailed, match=r"cannot write .*target: File exists"):
        copier(SUMS).copy(source, target, None)
    assert target.read_text() == "old"


@as_user
def test_a_file_that_cannot_be_read_is_named(source: Path, target: Path) -> None:
    source.write_text("secret")
    source.chmod(0)
    with pytest.raises(StorageFailed, match=f"cannot read {source}: Permission denied"):
        copier(SUMS).copy(source, target, None)


@pytest.mark.parametrize("looks", [KERNEL, SUMS])
def test_a_stop_ends_the_copy_between_two_steps(source: Path, target: Path, looks: Looks) -> None:
    source.write_bytes(bytes(3 * PIECE_BYTES) + b"x")
    stop = Flag()
    with pytest.raises(Stopped):
        LiveCopy(looks, stop, lambda _: stop.set()).copy(source, target, None)


# ---------------------------------------------------------------------------------------- pages


def test_whole_pages_are_fine(source: Path, target: Path, pages: bytes) -> None:
    source.write_bytes(pages)
    assert copier(PAGES).copy(source, target, HEAP).bad_blocks == ()


def test_a_bad_page_is_told_by_its_block_and_copied_as_it_is(
    source: Path, target: Path, pages: bytes
) -> None:
    content = bytearray(pages)
    content[2 * PAGE_BYTES + 5000] ^= 1
    content[5 * PAGE_BYTES + 100] ^= 1
    source.write_bytes(content)
    seen = copier(PAGES).copy(source, target, HEAP)
    assert seen.bad_blocks == (2, 5)
    assert target.read_bytes() == content
    assert seen.checksum == crc(bytes(content))


def test_blocks_of_a_second_segment_file_are_counted_on(
    source: Path, target: Path, pages: bytes
) -> None:
    source.write_bytes(sealed(pages[:PAGE_BYTES], 131_072) + pages[PAGE_BYTES : 2 * PAGE_BYTES])
    assert copier(PAGES).copy(source, target, RelationFile(131_072)).bad_blocks == (131_073,)


def test_what_is_no_relation_or_has_no_checksums_is_not_judged(
    source: Path, target: Path, tmp_path: Path
) -> None:
    source.write_bytes(b"x" * PAGE_BYTES)
    assert copier(PAGES).copy(source, target, None).bad_blocks == ()
    assert copier(SUMS).copy(source, tmp_path / "other", HEAP).bad_blocks == ()


class Writer(Flag):
    """While a page is waited for, its writer goes on."""

    def __init__(self, go_on: Callable[[int], None]) -> None:
        super().__init__()
        self.waits = 0
        self._go_on = go_on

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self.waits += 1
        self._go_on(self.waits)
        return False


def test_a_page_caught_in_mid_write_is_read_again_and_no_alarm(
    source: Path, target: Path, pages: bytes
) -> None:
    torn = pages[: PAGE_BYTES + 4096] + bytes(4096) + pages[2 * PAGE_BYTES :]
    source.write_bytes(torn)

    def finish(waits: int) -> None:
        if waits == 3:
            source.write_bytes(pages)

    writer = Writer(finish)
    seen = LiveCopy(PAGES, writer, lambda _: None).copy(source, target, HEAP)
    assert (seen.bad_blocks, writer.waits) == ((), 3)
    assert target.read_bytes() == pages
    assert seen.checksum == crc(pages)


def test_a_page_that_is_cut_off_with_its_relation_is_no_alarm(
    source: Path, target: Path, pages: bytes
) -> None:
    source.write_bytes(pages[: 2 * PAGE_BYTES + 4096] + bytes(4096))
    writer = Writer(lambda _: os.truncate(source, 2 * PAGE_BYTES))
    assert LiveCopy(PAGES, writer, lambda _: None).copy(source, target, HEAP).bad_blocks == ()


def test_a_bad_page_is_looked_at_only_so_often(source: Path, target: Path, pages: bytes) -> None:
    source.write_bytes(pages[: PAGE_BYTES - 1] + b"x")
    writer = Writer(lambda _: None)
    LiveCopy(PAGES, writer, lambda _: None).copy(source, target, HEAP)
    assert writer.waits == live_copy.REREADS


def test_a_hole_between_pages_moves_none_of_them(source: Path, target: Path, pages: bytes) -> None:
    """What is behind it begins in the middle of a page for the file system, not for PostgreSQL."""
    bad = pages[:PAGE_BYTES] + page(901)[:-1] + b"?"
    with source.open("wb") as file:
        file.write(pages[: 5 * PAGE_BYTES])
        file.seek(900 * PAGE_BYTES + 4096)
        file.write(page(900)[4096:] + bad[PAGE_BYTES:] + page(902))
        file.seek(900 * PAGE_BYTES)
        file.write(page(900)[:4096])
    seen = copier(PAGES).copy(source, target, HEAP)
    assert seen.bad_blocks == (901,)
    assert (target.read_bytes(), seen.checksum) == (source.read_bytes(), crc(source.read_bytes()))
    assert target.stat().st_blocks <= source.stat().st_blocks + 8


def test_steps_that_end_within_a_page_move_none_of_them(
    source: Path, target: Path, pages: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may copy fewer bytes than it was asked for."""
    whole = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", lambda i, o, count: whole(i, o, min(count, 5000)))
    content = bytearray(pages)
    content[3 * PAGE_BYTES + 77] ^= 1
    source.write_bytes(content)
    seen = copier(PAGES).copy(source, target, HEAP)
    assert (seen.bad_blocks, target.read_bytes()) == ((3,), content)
    assert seen.checksum == crc(bytes(content))


def test_a_small_file_can_be_left_to_others_to_judge(
    source: Path, target: Path, tmp_path: Path, pages: bytes
) -> None:
    source.write_bytes(pages[:-1] + b"?")
    seen = copier(PAGES).copy(source, target, HEAP, leaves_small=True)
    assert (seen.unjudged, seen.bad_blocks) == (source.read_bytes(), ())
    assert seen.checksum == crc(source.read_bytes())
    assert copier(PAGES).copy(source, tmp_path / "3", None, leaves_small=True).unjudged == b""
    assert copier(SUMS).copy(source, tmp_path / "4", HEAP, leaves_small=True).unjudged == b""
    large = pages * (live_copy.SMALL_BYTES // len(pages) + 1)
    source.write_bytes(large)
    seen = copier(PAGES).copy(source, tmp_path / "5", HEAP, leaves_small=True)
    assert seen.unjudged == b""
    assert len(seen.bad_blocks) == len(large) // PAGE_BYTES - 6


def test_a_copy_that_is_cut_off_behind_us_is_a_failure(source: Path, target: Path) -> None:
    source.write_bytes(bytes(3 * PIECE_BYTES))

    class Cutter(LiveCopy):
        def _poured(self, pair: live_copy._Pair) -> Iterator[int]:
            for count in super()._poured(pair):
                os.truncate(target, 100)
                yield count

    with pytest.raises(StorageFailed, match="it is shorter than what was written to it"):
        Cutter(SUMS, Flag(), lambda _: None).copy(source, target, HEAP)
