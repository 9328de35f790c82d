"""Records of CREATE TABLESPACE: found wherever they lie, and nothing else is taken for one."""

import re
from pathlib import Path

import pytest

from barmand.storage.tablespace_records import TablespaceMade, tablespaces_made
from fakes import MB
from support.postgres import Clusters, give_to_postgres, run
from support.wal_pages import (
    BLOCK,
    FIRST_BYTES,
    PAGE_BYTES,
    paged,
    payload_bytes,
    tablespace_record,
)

PLACE = b"/srv/spaces/fast"
RECORD = tablespace_record(16385, PLACE)
MEGABYTE_PAGES = 128


def laid(folder: Path, number: int, payload: bytes, size: int = MB) -> Path:
    path = folder / f"{number:024X}"
    path.write_bytes(paged(number, payload, size=size))
    return path


@pytest.mark.parametrize(
    ("before", "lsn"),
    [
        (0, 40),
        (800, 840),
        (FIRST_BYTES - len(RECORD), BLOCK - len(RECORD)),  # to the last byte of a page
        (FIRST_BYTES - 8, BLOCK - 8),  # its length on one page, the rest on the next
        (FIRST_BYTES - 24, BLOCK - 24),
        (FIRST_BYTES, BLOCK + 24),
        (FIRST_BYTES + 5 * PAGE_BYTES - 32, 6 * BLOCK - 32),
        (FIRST_BYTES + (MEGABYTE_PAGES - 1) * PAGE_BYTES - 16, MB - 16),  # over two pieces
    ],
)
def test_a_record_is_found_wherever_it_lies(tmp_path: Path, before: int, lsn: int) -> None:
    segment = laid(tmp_path, 3, bytes(before) + RECORD, size=4 * MB)
    assert tablespaces_made(segment, None) == [TablespaceMade(16385, PLACE, 12 * MB + lsn)]


@pytest.mark.parametrize("on_the_first", range(8, len(RECORD), 8))
def test_a_record_over_a_segments_border_is_told_with_the_second(
    tmp_path: Path, on_the_first: int
) -> None:
    both = bytes(payload_bytes() - on_the_first) + RECORD
    first = laid(tmp_path, 3, both[: payload_bytes()])
    second = laid(tmp_path, 4, both[payload_bytes() :])
    assert tablespaces_made(first, None) == []
    made = TablespaceMade(16385, PLACE, 4 * MB - on_the_first)
    assert tablespaces_made(second, first) == [made]
    assert tablespaces_made(second, None) == []


def test_a_record_at_the_end_of_the_segment_before_is_told_once(tmp_path: Path) -> None:
    first = laid(tmp_path, 3, bytes(payload_bytes() - len(RECORD)) + RECORD)
    assert len(tablespaces_made(first, None)) == 1
    assert tablespaces_made(laid(tmp_path, 4, b""), first) == []


def test_another_segment_in_place_of_the_one_before_does_no_harm(tmp_path: Path) -> None:
    other = laid(tmp_path, 9, b"")
    assert len(tablespaces_made(laid(tmp_path, 4, RECORD), other)) == 1


def test_the_longest_place_is_found(tmp_path: Path) -> None:
    place = b"/" + b"x" * 1022
    segment = laid(tmp_path, 3, bytes(FIRST_BYTES - 504) + tablespace_record(7, place))
    assert [made.location for made in tablespaces_made(segment, None)] == [place]


def test_what_is_like_a_record_and_is_none_hides_none(tmp_path: Path) -> None:
    like = RECORD[:-16] + b"X" + RECORD[-15:]
    segment = laid(tmp_path, 3, RECORD[:40] + like + RECORD + b"\x05\0\0" * 40)
    (made,) = tablespaces_made(segment, None)
    assert made.lsn == 3 * MB + 40 + 40 + len(like)


@pytest.mark.parametrize("place", range(len(RECORD.rstrip(b"\0"))))
def test_one_changed_byte_makes_it_no_record(tmp_path: Path, place: int) -> None:
    record = bytearray(RECORD)
    record[place] ^= 0x10
    assert tablespaces_made(laid(tmp_path, 3, bytes(record)), None) == []


def test_dropping_a_tablespace_makes_none(tmp_path: Path) -> None:
    assert tablespaces_made(laid(tmp_path, 3, tablespace_record(7, PLACE, info=0x10)), None) == []


def test_pages_from_another_place_are_not_read(tmp_path: Path) -> None:
    segment = laid(tmp_path, 3, bytes(FIRST_BYTES) + RECORD)
    content = bytearray(segment.read_bytes())
    content[BLOCK + 8 : BLOCK + 16] = (2 * MB + BLOCK).to_bytes(8, "little")
    segment.write_bytes(content)
    assert tablespaces_made(segment, None) == []


@pytest.mark.parametrize("content", [b"", bytes(MB), b"x" * MB])
def test_what_is_no_wal_makes_none(tmp_path: Path, content: bytes) -> None:
    segment = tmp_path / "segment"
    segment.write_bytes(content)
    assert tablespaces_made(segment, None) == []


def test_what_postgresql_wrote_is_found_as_its_own_program_finds_it(clusters: Clusters) -> None:
    cluster = clusters.make(wal_segsize=1, wal_keep_size="500MB", max_wal_size="500MB")
    first = cluster.switch_wal()
    cluster.psql("CREATE TABLE filling AS SELECT repeat('x', 300) FROM generate_series(1, 20000)")
    for number in range(20):
        folder = clusters.folder / (f"space {number}" + "y" * 12 * number)
        folder.mkdir()
        give_to_postgres(folder)
        cluster.psql(f"CREATE TABLESPACE space{number} LOCATION '{folder}'")
        cluster.psql(f"SELECT pg_logical_emit_message(false, '', repeat('x', {number * 997}))")
    cluster.psql("DROP TABLESPACE space3")
    last = cluster.switch_wal()
    names = sorted(path.name for path in (cluster.data / "pg_wal").glob("0*"))
    segments = [cluster.data / "pg_wal" / name for name in names if first <= name <= last]
    found = [
        made
        for before, segment in zip([None, *segments], segments, strict=False)
        for made in tablespaces_made(segment, before)
    ]
    told = run(
        cluster.bindir / "pg_waldump", "--rmgr=Tablespace", str(segments[0]), str(segments[-1])
    )
    lines = re.findall(r'lsn: (\w+)/(\w+),.*CREATE (\d+) "(.*)"', told)
    assert len(lines) == 20
    assert [(made.oid, made.location.decode(), made.lsn) for made in found] == [
        (int(oid), place, (int(high, 16) << 32) | int(low, 16)) for high, low, oid, place in lines
    ]
