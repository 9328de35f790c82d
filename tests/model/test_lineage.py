"""Timelines: where a server left each, and where its stream goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.lineage import (
    Lineage,
    advanced,
    behind_held,
    between,
    lineage_of,
    on_line,
)
from barmand.model.wal import Run, Segment

SIZE = 1 << 20
HISTORY = "1\t0/550000\tno recovery target specified\n\n# a remark\n2\t0/900000\tbefore 2026\n"
THIRD = Lineage(3, ((1, 0x550000), (2, 0x900000)))


def test_a_history_tells_where_each_timeline_was_left() -> None:
    assert lineage_of(3, HISTORY) == THIRD
    assert THIRD.timelines == (1, 2, 3)
    assert [THIRD.end(timeline) for timeline in (1, 2, 3)] == [0x550000, 0x900000, None]


@pytest.mark.parametrize("text", ["1 nowhere\n", "words", "3\t0/1\tits own child\n"])
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"history|cannot be before"):
        lineage_of(3, text)


@pytest.mark.parametrize(
    ("lsn", "timeline"),
    [(0, 1), (0x54FFFF, 1), (0x550000, 2), (0x8FFFFF, 2), (0x900000, 3), (1 << 40, 3)],
)
def test_each_byte_is_on_one_timeline(lsn: int, timeline: int) -> None:
    assert THIRD.at(lsn) == timeline


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Segment(1, 3), Segment(1, 3)),
        (Segment(1, 5), Segment(1, 5)),  # left in its midst
        (Segment(1, 6), Segment(2, 5)),  # received, but not of this server's past
        (Segment(2, 9), Segment(2, 9)),  # left at its very beginning
        (Segment(2, 20), Segment(3, 9)),
        (Segment(1, 20), Segment(2, 5)),
        (Segment(3, 20), Segment(3, 20)),
    ],
)
def test_the_stream_goes_on_where_the_server_left_the_timeline(
    wanted: Segment, found: Segment
) -> None:
    assert on_line(THIRD, wanted, SIZE) == found


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ([], None),
        ([Run(4, 1, 9)], None),  # of a timeline that is none of this server's
        ([Run(1, 2, 3)], Segment(1, 4)),
        ([Run(1, 2, 8), Run(4, 1, 9)], Segment(2, 5)),
        ([Run(1, 2, 5), Run(2, 5, 6)], Segment(2, 7)),
        ([Run(3, 9, 12), Run(3, 14, 15)], Segment(3, 16)),
    ],
)
def test_behind_what_is_held_of_the_newest_timeline(held: list[Run], found: Segment | None) -> None:
    assert behind_held(THIRD, held, SIZE) == found


def test_it_advances_over_all_that_is_held_and_over_no_gap() -> None:
    held = [Run(1, 1, 4), Run(2, 5, 8), Run(3, 9, 10), Run(3, 12, 13)]
    assert advanced(THIRD, Segment(1, 1), held, SIZE) == Segment(3, 11)
    assert advanced(THIRD, Segment(3, 11), held, SIZE) == Segment(3, 11)
    assert advanced(THIRD, Segment(1, 5), [Run(2, 6, 8)], SIZE) == Segment(1, 5)


def test_what_lies_between_counts_each_segment_once_where_it_is_whole() -> None:
    assert between(THIRD, Segment(1, 3), Segment(3, 11), SIZE) == [
        Run(1, 3, 4),
        Run(2, 5, 8),
        Run(3, 9, 10),
    ]
    assert between(THIRD, Segment(1, 5), Segment(2, 6), SIZE) == [Run(2, 5, 5)]
    assert between(THIRD, Segment(3, 11), Segment(3, 11), SIZE) == []


@st.composite
def lineages(draw: st.DrawFn) -> Lineage:
    ends = draw(st.lists(st.integers(1, 60 * SIZE), max_size=4).map(sorted))
    return Lineage(len(ends) + 1, tuple(enumerate(ends, start=1)))


@given(lineages(), st.integers(0, 80), st.integers(0, 80))
def test_between_two_places_no_number_is_missing_and_none_comes_twice(
    lineage: Lineage, one: int, other: int
) -> None:
    first, behind = (Segment(lineage.at(number * SIZE), number) for number in sorted((one, other)))
    runs = between(lineage, first, behind, SIZE)
    numbers = [segment.number for run in runs for segment in run.segments()]
    assert numbers == list(range(first.number, behind.number))
    assert all(run.timeline in lineage.timelines for run in runs)


@given(lineages(), st.integers(0, 80), st.sets(st.tuples(st.integers(1, 5), st.integers(0, 80))))
def test_what_is_advanced_over_is_held(
    lineage: Lineage, number: int, held: set[tuple[int, int]]
) -> None:
    begin = Segment(lineage.at(number * SIZE), number)
    runs = [Run(timeline, one, one) for timeline, one in held]
    end = advanced(lineage, begin, runs, SIZE)
    passed = {one.number for run in between(lineage, begin, end, SIZE) for one in run.segments()}
    assert passed <= {one for _, one in held}
