"""Missing WAL as intervals: what is left of one, and which holes matter."""

from hypothesis import given
from hypothesis import strategies as st

from barmand.model.gap import Reach, holes, rest_of
from barmand.model.wal import Run

numbers = st.integers(0, 30)
runs = st.builds(
    lambda timeline, first, more: Run(timeline, first, first + more),
    st.integers(1, 2),
    numbers,
    st.integers(0, 6),
)


@given(runs, runs)
def test_the_rest_is_all_but_what_was_taken(run: Run, taken: Run) -> None:
    rest = [segment for piece in rest_of(run, taken) for segment in piece.segments()]
    assert rest == [segment for segment in run.segments() if segment not in taken]


def test_a_hole_matters_where_a_backup_would_be_replayed_through_it() -> None:
    held = [Run(1, 3, 5), Run(1, 8, 9), Run(2, 8, 8), Run(2, 12, 12)]
    assert holes(held, [Reach(1, 4)]) == [Run(1, 6, 7), Run(2, 9, 11)]
    assert holes(held, [Reach(2, 8)]) == [Run(2, 9, 11)]
    assert holes(held, [Reach(1, 8)]) == [Run(2, 9, 11)], "the older hole lies before it"
    assert holes(held, []) == []


def test_what_lies_side_by_side_has_no_hole() -> None:
    assert holes([Run(1, 0, 2), Run(1, 3, 4)], [Reach(1, 0)]) == []
