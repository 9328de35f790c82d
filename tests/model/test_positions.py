"""Where a backup begins and ends is read from what PostgreSQL wrote, or refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.errors import ToolFailed
from barmand.model.positions import Position, end_of, start_of
from barmand.model.wal import DEFAULT_SEGMENT_SIZE, Segment, format_lsn

LABEL = """\
START WAL LOCATION: 0/9000028 (file 000000030000000000000009)
CHECKPOINT LOCATION: 0/9000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2024-05-01 02:30:00 UTC
LABEL: START WAL LOCATION: F/F (file FFFFFFFFFFFFFFFFFFFFFFFF)
START TIMELINE: 3
"""


def manifest(*ranges: tuple[int, str, str]) -> str:
    told = [
        {"Timeline": timeline, "Start-LSN": start, "End-LSN": end}
        for timeline, start, end in ranges
    ]
    return f'"Checksum": "00" }}\n],\n"WAL-Ranges": {json.dumps(told)},\n"Manifest-Checksum": "x"}}'


def test_the_label_tells_where_a_backup_begins() -> None:
    assert start_of(LABEL) == Position(3, 0x9000028)


@given(st.integers(1, 0xFFFFFFFF), st.integers(0, 2**64 - 1))
def test_any_start_is_read_as_it_was_written(timeline: int, lsn: int) -> None:
    name = Segment(timeline, lsn // DEFAULT_SEGMENT_SIZE).name(DEFAULT_SEGMENT_SIZE)
    label = f"START WAL LOCATION: {format_lsn(lsn)} (file {name})\nCHECKPOINT LOCATION: 0/0\n"
    assert start_of(label) == Position(timeline, lsn)


@pytest.mark.parametrize("label", ["", "LABEL: x\n", LABEL.replace("(file ", "("), LABEL[1:39]])
def test_a_label_without_a_start_is_refused(label: str) -> None:
    with pytest.raises(ToolFailed, match="no START WAL LOCATION"):
        start_of(label)


def test_the_manifest_tells_where_a_backup_ends() -> None:
    assert end_of(manifest((3, "0/9000028", "0/9000138"))) == Position(3, 0x9000138)


def test_of_several_ranges_the_furthest_end_counts() -> None:
    told = manifest((3, "0/9000028", "1/0"), (3, "0/9000028", "0/FFFFFFFF"))
    assert end_of(told) == Position(3, 2**32)


@pytest.mark.parametrize("tail", ["", '"Files": []}', '"WAL-Ranges"'])
def test_a_manifest_without_ranges_tells_nothing(tail: str) -> None:
    assert end_of(tail) is None


def test_a_promotion_in_mid_copy_is_told() -> None:
    told = manifest((3, "0/9000028", "0/9100000"), (4, "0/9100000", "0/9200000"))
    with pytest.raises(ToolFailed, match="needs WAL of timelines 3 and 4") as error:
        end_of(told)
    assert error.value.hint == "Take the backup again."
