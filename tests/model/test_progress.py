"""Rate and rest are told once they are known, and never nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.progress import Phase, Progress

amounts = st.none() | st.integers(0, 2**50)


def test_rate_and_rest_follow_from_what_was_done() -> None:
    progress = Progress(Phase.COPYING, bytes_done=300, bytes_total=1000, elapsed=3.0)
    assert progress.bytes_per_second == 100
    assert progress.seconds_left == 7


@pytest.mark.parametrize(
    "progress",
    [
        Progress(Phase.QUEUED),
        Progress(Phase.COPYING, bytes_done=5, bytes_total=9, elapsed=0.0),
        Progress(Phase.COPYING, bytes_done=5, bytes_total=9, elapsed=0.9),
        Progress(Phase.COPYING, bytes_done=None, bytes_total=9, elapsed=2.0),
    ],
)
def test_nothing_is_told_before_anything_is_known(progress: Progress) -> None:
    assert progress.bytes_per_second is None
    assert progress.seconds_left is None


def test_no_rest_is_told_while_nothing_moves() -> None:
    progress = Progress(Phase.COPYING, bytes_done=0, bytes_total=9, elapsed=2.0)
    assert progress.bytes_per_second == 0
    assert progress.seconds_left is None


def test_no_rest_is_told_without_a_total() -> None:
    assert Progress(Phase.COPYING, bytes_done=5, elapsed=2.0).seconds_left is None


def test_more_done_than_was_estimated_leaves_nothing() -> None:
    assert Progress(Phase.COPYING, bytes_done=12, bytes_total=9, elapsed=2.0).seconds_left == 0


@given(amounts, amounts, st.floats(0, 1e9))
def test_whatever_is_told_is_not_negative(
    done: int | None, total: int | None, elapsed: float
) -> None:
    progress = Progress(Phase.COPYING, done, total, elapsed)
    assert (progress.bytes_per_second or 0) >= 0
    assert (progress.seconds_left or 0) >= 0
