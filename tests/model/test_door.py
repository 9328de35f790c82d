"""Judged at the door: what belongs, what is not whole yet, what does not belong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.door import (
    HEADER_BYTES,
    TEXT_BYTES,
    Belongs,
    Expected,
    Misfit,
    SegmentHeader,
    Unfinished,
    judge,
    judge_history,
    judge_label,
    parse_header,
)
from barmand.model.wal import SEGMENT_SIZES, Segment
from fakes import MB, SYSTEM, segment_name, wal_segment

HEADER = SegmentHeader(0xD110, 2, 1, 7 * MB, SYSTEM, MB, 8192)
KNOWN = Expected(SYSTEM, MB, 150_018)
NAME = segment_name(7)


def test_a_whole_segment_of_the_cluster_belongs() -> None:
    assert judge(NAME, HEADER, MB, KNOWN) == Belongs(Segment(1, 7), MB)


def test_nothing_is_demanded_of_a_cluster_that_is_not_known_yet() -> None:
    assert judge(NAME, HEADER, MB, Expected()) == Belongs(Segment(1, 7), MB)


@given(
    st.sampled_from(sorted(SEGMENT_SIZES)),
    st.integers(1, 0xFFFFFFFF),
    st.integers(0, (1 << 64) // (1 << 30) - 1),
)
def test_any_size_timeline_and_place_belongs(size: int, timeline: int, number: int) -> None:
    segment = Segment(timeline, number)
    header = replace(HEADER, timeline=timeline, page_address=number * size, segment_size=size)
    known = replace(KNOWN, segment_size=size)
    assert judge(segment.name(size), header, size, known) == Belongs(segment, size)


def test_a_header_is_read_from_a_segments_first_bytes() -> None:
    assert parse_header(wal_segment(7)[:HEADER_BYTES]) == HEADER


@pytest.mark.parametrize("head", [b"", wal_segment(7)[: HEADER_BYTES - 1], bytes(MB)])
def test_without_a_first_page_it_is_unfinished(head: bytes) -> None:
    assert parse_header(head) is None
    assert isinstance(judge(NAME, None, len(head), KNOWN), Unfinished)


@pytest.mark.parametrize("size", [HEADER_BYTES, MB - 1])
def test_what_is_too_short_is_unfinished(size: int) -> None:
    assert isinstance(judge(NAME, HEADER, size, KNOWN), Unfinished)


@pytest.mark.parametrize(
    ("change", "size", "reason"),
    [
        ({"magic": 0x1234}, MB, "unknown"),
        ({"flags": 0}, MB, "unknown"),
        ({"segment_size": 12345}, MB, "unknown"),
        ({}, MB + 1, "damaged"),
        ({"segment_size": 2 * MB}, 2 * MB, "foreign"),
        ({"system_id": "1"}, MB, "foreign"),
        ({"magic": 0xD10D}, MB, "foreign"),
        ({"page_address": 8 * MB}, MB, "misnamed"),
        ({"page_address": 7 * MB + 8192}, MB, "misnamed"),
        ({"timeline": 2}, MB, "misnamed"),
        ({"timeline": 0}, MB, "misnamed"),
    ],
)
def test_what_does_not_belong_says_why(change: dict[str, object], size: int, reason: str) -> None:
    verdict = judge(NAME, replace(HEADER, **change), size, KNOWN)  # type: ignore[arg-type] # fields named above
    assert isinstance(verdict, Misfit)
    assert verdict.reason == reason
    assert verdict.why


def test_a_segment_in_which_a_timeline_begins_carries_its_ancestor_first() -> None:
    name = segment_name(7, timeline=0x1B)
    older = replace(HEADER, timeline=0x1A)
    assert judge(name, older, MB, KNOWN) == Belongs(Segment(0x1B, 7), MB)


def test_timelines_are_hexadecimal() -> None:
    name = segment_name(7, timeline=16)
    assert name.startswith("00000010")
    header = replace(HEADER, timeline=16)
    assert judge(name, header, MB, KNOWN) == Belongs(Segment(16, 7), MB)
    assert isinstance(judge(segment_name(7, timeline=10), header, MB, KNOWN), Misfit)


@pytest.mark.parametrize(
    ("version", "magic", "belongs"),
    [
        (100_023, 0xD097, True),
        (180_001, 0xD118, True),
        (180_001, 0xD116, False),
        (190_000, 0xD11F, True),
        (190_000, 0xD118, False),
        (90_624, 0xD093, True),
        (90_624, 0xD097, False),
        (None, 0xD11F, True),
    ],
)
def test_each_major_version_has_its_own_magic(
    version: int | None, magic: int, *, belongs: bool
) -> None:
    verdict = judge(NAME, replace(HEADER, magic=magic), MB, replace(KNOWN, version=version))
    assert isinstance(verdict, Belongs if belongs else Misfit)


def test_a_partial_segment_is_judged_as_the_segment_that_it_begins() -> None:
    name = f"{NAME}.partial"
    assert judge(name, HEADER, MB, KNOWN) == Belongs(Segment(1, 7), MB)
    assert isinstance(judge(name, replace(HEADER, page_address=0), MB, KNOWN), Misfit)


@pytest.mark.parametrize(
    "name", ["0000000100000000FFFFFFFF", "notes.txt", NAME.lower(), NAME + "0"]
)
def test_a_name_that_no_such_cluster_writes_is_unknown(name: str) -> None:
    if name == NAME.lower() == NAME:
        name = "00000001000000000000000a"
    verdict = judge(name, HEADER, MB, KNOWN)
    assert isinstance(verdict, Misfit)
    assert verdict.reason == "unknown"


# ---------------------------------------------------------------------------- histories and labels


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"1\t0/3000000\tno recovery target specified\n", Belongs),
        (b"1\t0/30000", Unfinished),
        (b"", Unfinished),
        (b"3\t0/3000000\tfrom the future\n", Misfit),
        (b"\xff\xfe\n", Misfit),
        (b"1\n" * TEXT_BYTES, Misfit),
    ],
)
def test_a_history_is_judged_by_its_content(content: bytes, kind: type) -> None:
    assert isinstance(judge_history("00000002.history", content), kind)


LABEL = (
    f"START WAL LOCATION: 0/700028 (file {NAME})\nSTOP WAL LOCATION: 0/700100 (file {NAME})\n"
    "CHECKPOINT LOCATION: 0/700060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n"
    "START TIME: 2025-06-01 12:00:00 UTC\nLABEL: nightly\nSTART TIMELINE: 1\n"
    "STOP TIME: 2025-06-01 12:01:00 UTC\nSTOP TIMELINE: 1\n"
).encode()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        (f"{NAME}.00000028.backup", LABEL, Belongs),
        (f"{NAME}.00000028.backup", LABEL[:100], Unfinished),
        (f"{NAME}.00000028.backup", b"", Unfinished),
        (f"{NAME}.00000029.backup", LABEL, Misfit),
        (f"{segment_name(8)}.00000028.backup", LABEL, Misfit),
        (f"{NAME}.00000028.backup", b"notes\n", Misfit),
        (f"{NAME}.00000028.backup", b"notes\nSTOP TIME: never\n", Misfit),
        (f"{NAME}.00000028.backup", b"x" * (TEXT_BYTES + 1), Misfit),
        ("0000000100000000FFFFFFFF.00000028.backup", LABEL, Misfit),
    ],
)
@pytest.mark.parametrize("known", [KNOWN, Expected()])
def test_a_label_is_judged_by_its_content(
    name: str, content: bytes, kind: type, known: Expected
) -> None:
    assert isinstance(judge_label(name, content, known), kind)
