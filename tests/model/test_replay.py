"""What a recovery replays, along which timelines."""

import pytest

from barmand.model.lineage import Lineage
from barmand.model.replay import Replay, before_hole, first_hole, line_behind
from barmand.model.wal import Run

TWO = "1\t0/500000\tpromoted\n"
THREE = f"{TWO}\n2\t0/700000\tpromoted\n"
SIBLING = "1\t0/600000\tpromoted\n"


def test_without_histories_the_line_is_the_backups_own() -> None:
    assert line_behind(4, 0, {}) == Lineage(4)
    assert line_behind(4, 0, {3: TWO}) == Lineage(4)


def test_the_line_leads_to_the_newest_timeline_that_left_the_backups_behind_its_end() -> None:
    end = 0x500000
    assert line_behind(1, end, {2: TWO, 3: THREE}) == Lineage(3, ((1, 0x500000), (2, 0x700000)))
    assert line_behind(1, end, {2: TWO, 3: SIBLING}) == Lineage(3, ((1, 0x600000),))
    assert line_behind(1, end, {2: TWO, 4: THREE}).current == 4
    assert line_behind(1, 0x550000, {2: TWO, 3: THREE}) == Lineage(1), "they left before its end"
    assert line_behind(1, 0x550000, {2: TWO, 3: SIBLING}).current == 3
    assert line_behind(2, end, {2: TWO, 3: SIBLING}) == Lineage(2)


def test_a_history_that_is_torn_leads_nowhere() -> None:
    assert line_behind(1, 0x500000, {2: TWO, 3: "torn"}).current == 2


SIZE = 0x100000
LINE = Lineage(3, ((1, 0x580000), (2, 0x700000)))
"""Timeline 2 begins in segment 5, timeline 3 in segment 7."""
WHOLE = [Run(1, 3, 4), Run(2, 5, 6), Run(3, 7, 9)]


@pytest.mark.parametrize(
    ("held", "hole"),
    [
        (WHOLE, None),
        ([*WHOLE, Run(1, 5, 8), Run(3, 2, 3)], None),
        (WHOLE[:2], None),
        ([Run(1, 3, 3), *WHOLE[1:]], Run(1, 4, 4)),
        ([WHOLE[0], Run(2, 6, 6), WHOLE[2]], Run(2, 5, 5)),
        ([*WHOLE[:2], Run(3, 8, 9)], Run(3, 7, 7)),
        ([*WHOLE[:2], Run(3, 7, 7), Run(3, 9, 9)], Run(3, 8, 8)),
        ([WHOLE[0], WHOLE[2]], Run(2, 5, 6)),
    ],
)
def test_the_first_hole_along_the_line_is_found(held: list[Run], hole: Run | None) -> None:
    assert first_hole(LINE, Run(1, 3, 3), held, SIZE) == hole


def test_before_a_hole_is_what_a_replay_reads_until_it_comes_there() -> None:
    assert before_hole(LINE, Run(3, 8, 8), [*WHOLE, Run(4, 9, 9)]) == [*WHOLE[:2], Run(3, 7, 7)]
    assert before_hole(LINE, Run(2, 5, 5), WHOLE) == WHOLE[:1]


@pytest.mark.parametrize(
    ("timeline", "lsn", "is_replayed"),
    [
        (1, 0x2FFFFF, False),
        (1, 0x300000, True),
        (1, 0x4FFFFF, True),
        (1, 0x500000, False),
        (2, 0x500000, True),
        (2, 0x700000, False),
        (3, 0x7FFFFF, True),
        (3, 0x800000, False),
        (4, 0x600000, False),
    ],
)
def test_only_what_lies_on_the_line_is_replayed(
    timeline: int, lsn: int, *, is_replayed: bool
) -> None:
    line = line_behind(1, 0, {2: TWO, 3: THREE})
    assert Replay(0x300000, 0x800000, line).covers(timeline, lsn) is is_replayed
