"""Names and numbers of WAL agree with PostgreSQL, for every size that a segment can have."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.wal import (
    DEFAULT_SEGMENT_SIZE,
    SEGMENT_SIZES,
    Run,
    Segment,
    WalKind,
    format_lsn,
    kind_of,
    missing,
    needed_between,
    parse_lsn,
    runs_of,
)

MB = 1024 * 1024
NAME = "000000010000000A000000FE"

sizes = st.sampled_from(sorted(SEGMENT_SIZES))
timelines = st.integers(1, 0xFFFFFFFF)
lsns = st.integers(0, 2**64 - 1)


# ------------------------------------------------------------------------------------------ names
def test_a_segment_has_any_power_of_two_from_1_mb_to_1_gb() -> None:
    assert sorted(SEGMENT_SIZES) == [MB * 2**power for power in range(11)]


@given(sizes, timelines, lsns)
def test_a_name_tells_timeline_log_and_segment_of_its_first_byte(
    size: int, timeline: int, lsn: int
) -> None:
    begin = lsn - lsn % size
    name = Segment(timeline, lsn // size).name(size)
    log, within = divmod(begin, 2**32)
    assert name == f"{timeline:08X}{log:08X}{within // size:08X}"


@given(sizes, timelines, lsns)
def test_a_name_is_read_back_as_the_segment_that_was_named(
    size: int, timeline: int, lsn: int
) -> None:
    segment = Segment(timeline, lsn // size)
    assert Segment.parse(segment.name(size), size) == segment


@given(sizes, st.tuples(timelines, lsns), st.tuples(timelines, lsns))
def test_names_sort_as_segments_do(size: int, one: tuple[int, int], two: tuple[int, int]) -> None:
    first, second = (Segment(timeline, lsn // size) for timeline, lsn in (one, two))
    assert (first.name(size) < second.name(size)) == (first < second)


@pytest.mark.parametrize("size", sorted(SEGMENT_SIZES))
def test_the_last_segment_of_a_log_is_followed_by_the_first_of_the_next(size: int) -> None:
    last = f"0000000300000007{2**32 // size - 1:08X}"
    following = Segment(3, Segment.parse(last, size).number + 1)
    assert following.name(size) == "000000030000000800000000"


@pytest.mark.parametrize("size", sorted(SEGMENT_SIZES))
def test_a_name_that_no_cluster_of_that_size_writes_is_refused(size: int) -> None:
    name = f"0000000300000007{2**32 // size:08X}"
    with pytest.raises(ValueError, match=f"{name} is no segment of {size} bytes"):
        Segment.parse(name, size)


@pytest.mark.parametrize(
    "name", ["", NAME[1:], NAME + "0", NAME.lower(), NAME + "\n", NAME + ".gz"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a WAL segment's name"):
        Segment.parse(name, DEFAULT_SEGMENT_SIZE)


# ------------------------------------------------------------------------------------------ kinds
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (NAME, WalKind.SEGMENT),
        (f"{NAME}.partial", WalKind.PARTIAL),
        (f"{NAME}.00000028.backup", WalKind.LABEL),
        ("00000002.history", WalKind.HISTORY),
    ],
)
def test_a_name_tells_what_a_file_is(name: str, kind: WalKind) -> None:
    assert kind_of(name) is kind


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../x",
        f"../{NAME}",
        f"{NAME}/",
        f"{NAME}/../x",
        NAME.lower(),
        NAME[:-1],
        NAME + "0",
        f"{NAME}\n",
        f"\n{NAME}",
        f"{NAME}\0",
        f" {NAME}",
        f"-{NAME[1:]}",
        NAME.replace("0", "\uff10"),
        NAME.replace("1", "\u0661"),
        "G" * 24,
        f"{NAME}.gz",
        f"{NAME}.tmp",
        f"{NAME}.partial.gz",
        f"{NAME}.PARTIAL",
        f"{NAME}.0000028.backup",
        f"{NAME}.00000028.backup\n",
        f"{NAME}.00000028.Backup",
        "0000002.history",
        "000000002.history",
        "00000002.history\n",
        "0000000a.history",
        "$(reboot)",
        "archive_status",
        "xlog.db",
    ],
)
def test_any_other_name_is_unknown(name: str) -> None:
    assert kind_of(name) is WalKind.UNKNOWN


@given(st.text(max_size=48))
def test_no_text_is_taken_for_wal_by_chance(name: str) -> None:
    is_wal = re.fullmatch(
        r"[0-9A-F]{24}(\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history", name, re.ASCII
    )
    assert (kind_of(name) is WalKind.UNKNOWN) == (is_wal is None)


# -------------------------------------------------------------------------------------------- LSN
@given(lsns)
def test_an_lsn_is_read_back_as_it_was_written(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn
    assert parse_lsn(format_lsn(lsn).lower()) == lsn


def test_an_lsn_is_written_as_postgresql_does() -> None:
    assert format_lsn(0x2_0A00_00D8) == "2/A0000D8"
    assert format_lsn(0) == "0/0"


@pytest.mark.parametrize(
    "text",
    ["", "0", "/", "0/", "/0", "0/0/0", "g/0", "0/0\n", "123456789/0", "-1/0", "0x1/0", "٣/0"],
)
def test_what_is_no_lsn_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an LSN"):
        parse_lsn(text)


# ------------------------------------------------------------------------------------------- runs
def test_a_run_holds_both_its_ends_and_one_timeline() -> None:
    run = Run(2, 5, 7)
    assert list(run.segments()) == [Segment(2, 5), Segment(2, 6), Segment(2, 7)]
    assert all(segment in run for segment in run.segments())
    for outside in (Segment(2, 4), Segment(2, 8), Segment(1, 6), Segment(3, 6)):
        assert outside not in run


@given(
    sizes,
    st.integers(0, 2**40),
    st.integers(0, 40).flatmap(
        lambda segments: st.tuples(st.just(segments), st.integers(-1, 1), st.integers(0, 2**30))
    ),
)
def test_a_backup_needs_exactly_the_segments_its_bytes_lie_in(
    size: int, begin: int, length: tuple[int, int, int]
) -> None:
    segments, off_the_boundary, odd = length
    end = max(begin, (begin // size + segments) * size + off_the_boundary * (odd % size))
    touched = {begin // size, *range(begin // size, -(-end // size))}
    needed = needed_between(4, begin, end, size)
    assert {segment.number for segment in needed.segments()} == touched
    assert needed.timeline == 4


@given(sizes, st.integers(0, 1000), st.integers(1, 9))
def test_an_end_on_a_boundary_belongs_to_the_segment_before_it(
    size: int, number: int, count: int
) -> None:
    begin, end = number * size, (number + count) * size
    assert needed_between(1, begin, end, size).last == number + count - 1
    assert needed_between(1, begin, end + 1, size).last == number + count
    assert needed_between(1, begin, end - 1, size).last == number + count - 1


def test_an_empty_backup_still_needs_the_segment_it_begins_in() -> None:
    assert needed_between(1, 3 * MB, 3 * MB, MB) == Run(1, 3, 3)
    assert needed_between(1, 0, 0, MB) == Run(1, 0, 0)


numbers = st.integers(0, 40)
runs = st.builds(
    lambda timeline, first, more: Run(timeline, first, first + more),
    st.integers(1, 3),
    numbers,
    st.integers(0, 9),
)


@given(runs, st.lists(runs, max_size=8))
def test_what_is_missing_is_what_is_needed_and_not_held(needed: Run, held: list[Run]) -> None:
    holding = {segment for run in held for segment in run.segments()}
    gaps = missing(needed, held)
    found = [segment for gap in gaps for segment in gap.segments()]
    assert found == [segment for segment in needed.segments() if segment not in holding]
    assert all(one.last + 1 < two.first for one, two in pairwise(gaps))


@given(st.sets(st.builds(Segment, st.integers(1, 3), numbers)), st.data())
def test_runs_of_segments_are_those_segments_in_as_few_runs_as_can_be(
    held: set[Segment], data: st.DataObject
) -> None:
    ordered = [(segment, data.draw(st.integers(1, 99))) for segment in sorted(held)]
    runs = runs_of(iter(ordered))
    assert [segment for run, _ in runs for segment in run.segments()] == sorted(held)
    for run, size in runs:
        assert size == sum(each for segment, each in ordered if segment in run)
        assert Segment(run.timeline, run.last + 1) not in held


def test_no_segments_are_no_runs() -> None:
    assert runs_of([]) == []
