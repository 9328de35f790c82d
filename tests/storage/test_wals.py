"""The archive: a segment is whole in it before it is gone elsewhere, and only what may go goes."""

import bz2
import gzip
import lzma
import os
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.door import SegmentHeader
from barmand.model.errors import StorageFailed
from barmand.model.wal import DEFAULT_SEGMENT_SIZE, Run, Segment
from barmand.storage.layout import Layout
from barmand.storage.wals import Put, WalArchive, read_header

MB = 1024 * 1024
NAME = "000000010000000000000001"
LABEL = f"{NAME}.00000028.backup"


def archive_in(home: Path) -> WalArchive:
    places = (home / name for name in ("base", "wals", "incoming", "streaming", "errors"))
    layout = Layout("main", home, *places)
    layout.prepare()
    return WalArchive(layout)


@pytest.fixture
def archive(tmp_path: Path) -> WalArchive:
    return archive_in(tmp_path)


def arrived(archive: WalArchive, content: bytes, name: str = NAME) -> Path:
    path = archive.layout.incoming / name
    path.write_bytes(content)
    return path


def stored(archive: WalArchive, content: bytes, name: str = NAME) -> Path:
    path = archive.layout.wal(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------------------------------- header


def page(*, magic: int = 0xD110, flags: int = 2, size: int = DEFAULT_SEGMENT_SIZE) -> bytes:
    short = struct.pack("=HHIQI4x", magic, flags, 3, 0x1_2000_0000, 0)
    return (short + struct.pack("=QII", 7711164279157336501, size, 8192)).ljust(8192, b"\0")


def test_a_segment_tells_its_cluster(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(page())
    assert read_header(tmp_path / "a") == SegmentHeader(
        magic=0xD110,
        flags=2,
        timeline=3,
        page_address=0x1_2000_0000,
        system_id="7711164279157336501",
        segment_size=DEFAULT_SEGMENT_SIZE,
        block_size=8192,
    )


@pytest.mark.parametrize(
    "content",
    [b"", page()[:39], bytes(8192)],
)
def test_what_has_no_first_page_yet_tells_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_header(tmp_path / "a") is None


@pytest.mark.parametrize(
    "content", [page(flags=1), page(magic=0), page(size=0), page(size=12345), b"notes " * 99]
)
def test_what_does_not_begin_as_wal_does_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    header = read_header(tmp_path / "a")
    assert header is not None
    assert not header.is_wal


def test_the_header_of_a_missing_file_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot read"):
        read_header(tmp_path / "a")


# ------------------------------------------------------------------------------------------- put


@pytest.mark.parametrize("name", [NAME, LABEL, "00000002.history"])
def test_what_arrives_is_stored_under_its_name(archive: WalArchive, name: str) -> None:
    source = arrived(archive, b"wal", name)
    assert not archive.holds(name)
    assert archive.put(source) is Put.STORED
    assert archive.holds(name)
    assert archive.path(name) == archive.layout.wal(name)
    assert archive.layout.wal(name).read_bytes() == b"wal"
    assert not source.exists()


def test_the_same_again_is_dropped_and_not_rewritten(archive: WalArchive) -> None:
    there = stored(archive, b"wal")
    before = there.stat()
    source = arrived(archive, b"wal")
    assert archive.put(source) is Put.SAME
    assert not source.exists()
    after = there.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [b"waL", b"wal.", b"wa", b""])
def test_another_content_is_told_and_nothing_is_touched(
    archive: WalArchive, content: bytes
) -> None:
    there = stored(archive, b"wal")
    source = arrived(archive, content)
    assert archive.put(source) is Put.DIFFERENT
    assert there.read_bytes() == b"wal"
    assert source.read_bytes() == content


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_by_barman_and_arrived_plain_is_the_same(archive: WalArchive, pack: object) -> None:
    content = os.urandom(3 * MB) + b"."
    packed = pack(content)  # type: ignore[operator] # one of three compressors
    there = stored(archive, packed)
    assert archive.put(arrived(archive, content)) is Put.SAME
    assert there.read_bytes() == packed
    assert archive.put(arrived(archive, content[:-1] + b"x")) is Put.DIFFERENT
    assert archive.put(arrived(archive, packed)) is Put.SAME


@pytest.mark.parametrize(
    "packed",
    [
        b"\x28\xb5\x2f\xfdzstd",
        b"\x04\x22\x4d\x18lz4",
        gzip.compress(b"wal", mtime=0)[:-6],
        gzip.compress(b"wal", mtime=0)[:-6] + b"000000",
        gzip.compress(b"wal" * 99, mtime=0)[:12] + b"\xff\xff\xff\xff",
        bz2.compress(b"wal")[:8] + b"damage damage",
        lzma.compress(b"wal")[:14] + b"damage damage",
    ],
)
def test_what_cannot_be_unpacked_is_damaged(archive: WalArchive, packed: bytes) -> None:
    stored(archive, packed)
    source = arrived(archive, b"wal")
    assert archive.put(source) is Put.DAMAGED
    assert source.read_bytes() == b"wal"


def test_a_stored_directory_cannot_be_compared(archive: WalArchive) -> None:
    archive.layout.wal(NAME).mkdir(parents=True)
    with pytest.raises(StorageFailed, match="cannot read"):
        archive.put(arrived(archive, b"wal"))


def test_a_name_that_is_no_wal_is_never_stored(archive: WalArchive) -> None:
    with pytest.raises(ValueError, match="WAL"):
        archive.put(arrived(archive, b"x", "nonsense"))
    assert not archive.holds("../../etc/passwd")
    assert archive.path(f"{NAME}.part") is None


def test_an_archive_that_is_gone_does_not_say_that_it_holds_nothing(archive: WalArchive) -> None:
    """PostgreSQL would end its recovery there, and promote."""
    archive.layout.wals.rmdir()
    with pytest.raises(StorageFailed, match="cannot look for"):
        archive.holds(NAME)


# ------------------------------------------------------------------------------------------ list


def test_only_segments_are_listed_and_in_order(archive: WalArchive) -> None:
    two = "000000010000000000000002"
    late = "000000020000000100000000"
    stored(archive, b"late", late)
    stored(archive, b"2", two)
    stored(archive, b"one", NAME)
    stored(archive, b"label", LABEL)
    stored(archive, b"history", "00000002.history")
    folder = archive.layout.wals / NAME[:16]
    for name in (f"{two}.partial", f".{two}", "000000010000000000000003.tmp"):
        (folder / name).touch()
    (folder / late).touch()  # in a wrong folder
    (folder / "000000010000000000000004").mkdir()
    (folder / "000000010000000000000100").touch()  # no cluster with 16 MB writes that
    (archive.layout.wals / "main-xlog.db").touch()
    (archive.layout.wals / "0000000100000009").touch()
    assert list(archive.segments(DEFAULT_SEGMENT_SIZE)) == [
        (Segment(1, 1), 3),
        (Segment(1, 2), 1),
        (Segment(2, 256), 4),
    ]
    assert archive.histories() == ["00000002.history"]


def test_an_archive_that_is_gone_cannot_be_listed(archive: WalArchive) -> None:
    archive.layout.wals.rmdir()
    with pytest.raises(StorageFailed, match="cannot list"):
        list(archive.segments(DEFAULT_SEGMENT_SIZE))


# ---------------------------------------------------------------------------------------- remove


def test_half_of_a_directory_with_small_segments_stays(archive: WalArchive) -> None:
    """Barman removes such a directory whole: 1 MB segments put 4,096 names into one."""
    every = [Segment(1, number).name(MB) for number in range(4096)]
    folder = archive.layout.wals / every[0][:16]
    folder.mkdir()
    for name in every:
        (folder / name).touch()
    (folder / f"{every[299]}.00000028.backup").touch()
    (folder / f"{every[300]}.00000028.backup").touch()
    assert archive.remove([Run(1, 0, 299)], MB) == 300
    assert {path.name for path in folder.iterdir()} == {
        *every[300:],
        f"{every[300]}.00000028.backup",
    }
    assert archive.remove([Run(1, 0, 5000)], MB) == 3796
    assert not folder.exists()


def test_what_is_no_segment_is_never_removed(archive: WalArchive) -> None:
    stored(archive, b"1")
    stored(archive, b"history", "00000001.history")
    half = stored(archive, b"1").with_name(f"{NAME}.partial")
    half.touch()
    strange = half.with_name(f"{NAME}.part")
    strange.touch()
    assert archive.remove([Run(1, 0, 10**9)], DEFAULT_SEGMENT_SIZE) == 1
    assert strange.exists()
    assert not half.exists()
    assert archive.histories() == ["00000001.history"]


def test_a_directory_that_is_kept_open_by_a_folder_stays(archive: WalArchive) -> None:
    folder = stored(archive, b"1").parent
    (folder / "inside").mkdir()
    assert archive.remove([Run(1, 1, 1)], DEFAULT_SEGMENT_SIZE) == 1
    assert (folder / "inside").is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove everywhere")
def test_a_removal_that_is_refused_is_told(archive: WalArchive) -> None:
    folder = stored(archive, b"1").parent
    folder.chmod(0o500)
    with pytest.raises(StorageFailed, match=f"cannot remove .*{NAME}: Permission denied"):
        archive.remove([Run(1, 1, 1)], DEFAULT_SEGMENT_SIZE)
    folder.chmod(0o700)
    archive.layout.wals.chmod(0o500)
    with pytest.raises(StorageFailed, match=f"cannot remove .*{NAME[:16]}: Permission denied"):
        archive.remove([Run(1, 1, 1)], DEFAULT_SEGMENT_SIZE)
    archive.layout.wals.chmod(0o700)


numbers = st.integers(0, 40) | st.integers(4080, 4110)
segments = st.builds(Segment, st.integers(1, 3), numbers)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    first, last = sorted((draw(numbers), draw(numbers)))
    return Run(draw(st.integers(1, 3)), first, last)


@given(st.sets(segments), st.sets(segments, max_size=5), st.lists(runs(), max_size=4))
def test_exactly_the_runs_go(held: set[Segment], labels: set[Segment], unwanted: list[Run]) -> None:
    with tempfile.TemporaryDirectory() as home:
        archive = archive_in(Path(home))
        for segment in held:
            stored(archive, b"", segment.name(MB))
        for segment in labels:
            stored(archive, b"", f"{segment.name(MB)}.00000028.backup")
        gone = {segment for segment in held if any(segment in run for run in unwanted)}
        kept_labels = {each for each in labels if not any(each in run for run in unwanted)}
        assert archive.remove(unwanted, MB) == len(gone)
        assert {segment for segment, _ in archive.segments(MB)} == held - gone
        left = {path.name[:24] for path in archive.layout.wals.rglob("*.backup")}
        assert left == {segment.name(MB) for segment in kept_labels}
        unfinished = [path for path in archive.layout.wals.iterdir() if not any(path.iterdir())]
        assert unfinished == []


# ------------------------------------------------------------------------------------- set aside


def test_what_is_set_aside_never_overwrites(archive: WalArchive) -> None:
    places = [archive.set_aside(arrived(archive, b"%d" % turn), "duplicate") for turn in range(9)]
    assert [place.read_bytes() for place in places] == [b"%d" % turn for turn in range(9)]
    assert {place.parent for place in places} == {archive.layout.errors}
    assert all(place.name.startswith(f"{NAME}.2") for place in places)
    assert all(place.name.endswith("duplicate") for place in places)
    assert not any(archive.layout.incoming.iterdir())


def test_a_name_of_full_length_can_be_set_aside(archive: WalArchive) -> None:
    place = archive.set_aside(arrived(archive, b"x", "é" * 127), "unknown")
    assert place.name.startswith("é" * 90 + ".")


def test_a_reason_cannot_lead_elsewhere(archive: WalArchive) -> None:
    with pytest.raises(ValueError, match="reason"):
        archive.set_aside(arrived(archive, b"x"), "../x")
