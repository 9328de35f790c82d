"""What a recovery replays, along which timelines."""

import pytest

from barmand.model.lineage import Lineage
from barmand.model.replay import Replay, latest_line

TWO = "1\t0/500000\tpromoted\n"
THREE = f"{TWO}\n2\t0/700000\tpromoted\n"
SIBLING = "1\t0/600000\tpromoted\n"


def test_without_histories_the_line_is_the_backups_own() -> None:
    assert latest_line(4, {}) == Lineage(4)
    assert latest_line(4, {3: TWO}) == Lineage(4)


def test_the_line_ends_at_the_newest_timeline_without_a_gap() -> None:
    assert latest_line(1, {2: TWO, 3: THREE}) == Lineage(3, ((1, 0x500000), (2, 0x700000)))
    assert latest_line(1, {2: TWO, 3: SIBLING}) == Lineage(3, ((1, 0x600000),))
    assert latest_line(1, {2: TWO, 4: THREE}) == Lineage(2, ((1, 0x500000),))


@pytest.mark.parametrize("text", ["torn", SIBLING])
def test_a_line_that_cannot_be_known_is_none(text: str) -> None:
    assert latest_line(2, {3: text}) is None


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
    line = latest_line(1, {2: TWO, 3: THREE})
    assert Replay(0x300000, 0x800000, line).covers(timeline, lsn) is is_replayed


def test_where_the_line_is_not_known_each_timeline_counts() -> None:
    assert Replay(0, None, None).covers(9, 1)
