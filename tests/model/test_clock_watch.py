"""A clock that went ahead is noticed; within one start of the machine, and from one to the next."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.clock_watch import AWAY, JUMP, PROBATION, Reading, Watched, watch, why_doubted

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
KNOWN = Watched(Reading(NOON, "one", 1000.0))


def later(passed: timedelta, *, jumped: timedelta = timedelta(), boot: str = "one") -> Reading:
    return Reading(NOON + passed + jumped, boot, 1000.0 + passed.total_seconds())


def doubted(known: Watched | None, *readings: Reading, newest: datetime | None = None) -> bool:
    for each in readings:
        known = watch(known, each, newest)
    assert known is not None
    return why_doubted(known) is not None


def test_a_clock_that_keeps_step_is_believed_however_long() -> None:
    assert not doubted(KNOWN, later(YEAR), later(2 * YEAR))


def test_a_small_correction_is_believed() -> None:
    assert not doubted(KNOWN, later(HOUR, jumped=JUMP))


def test_a_year_at_once_is_doubted_and_said_how() -> None:
    thought = watch(KNOWN, later(HOUR, jumped=YEAR), None)
    assert why_doubted(thought) is not None
    assert "went ahead by 365 days" in str(why_doubted(thought))
    assert thought.believed == KNOWN.believed


def test_it_is_believed_again_once_it_is_back_in_step() -> None:
    assert doubted(KNOWN, later(HOUR, jumped=YEAR), later(2 * HOUR, jumped=YEAR))
    assert not doubted(KNOWN, later(HOUR, jumped=YEAR), later(3 * HOUR))


def test_a_doubt_ends_when_the_clock_has_kept_step_with_itself_long_enough() -> None:
    jumped = later(HOUR, jumped=YEAR)
    assert doubted(KNOWN, jumped, later(HOUR + PROBATION - HOUR, jumped=YEAR))
    assert not doubted(KNOWN, jumped, later(HOUR + PROBATION, jumped=YEAR))


def test_a_second_jump_begins_the_doubt_anew() -> None:
    jumped, again = later(HOUR, jumped=YEAR), later(DAY, jumped=2 * YEAR)
    assert doubted(KNOWN, jumped, again, later(HOUR + PROBATION, jumped=2 * YEAR))


def test_a_restart_of_the_machine_begins_the_doubt_anew() -> None:
    jumped, started = later(HOUR, jumped=YEAR), later(DAY, jumped=YEAR, boot="two")
    assert doubted(KNOWN, jumped, started, later(HOUR + PROBATION, jumped=YEAR, boot="two"))
    assert not doubted(KNOWN, jumped, started, later(DAY + PROBATION, jumped=YEAR, boot="two"))


def test_a_short_absence_is_believed_and_a_long_one_is_not() -> None:
    assert not doubted(KNOWN, later(AWAY, boot="two"))
    assert doubted(KNOWN, later(AWAY + HOUR, boot="two"))


def test_a_clock_set_back_is_believed_and_its_way_forward_too() -> None:
    """A machine that starts with a dead clock in 2000, and is set right a minute later."""
    back = later(HOUR, jumped=-20 * YEAR, boot="two")
    assert not doubted(KNOWN, back)
    assert not doubted(KNOWN, back, later(2 * HOUR, boot="two"))
    assert doubted(KNOWN, back, later(2 * HOUR, jumped=YEAR, boot="two"))


def test_a_first_reading_is_measured_by_what_the_catalogue_knows() -> None:
    now = later(HOUR)
    assert not doubted(None, now)
    assert not doubted(None, now, newest=NOON)
    assert not doubted(None, now, newest=NOON + YEAR)
    assert doubted(None, now, newest=NOON - YEAR)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(-(10**9), 3600)), max_size=20),
    st.integers(3601, 10**9),
)
def test_after_whatever_was_believed_a_jump_is_not(steps: list[tuple[int, int]], jump: int) -> None:
    """Steps back and small ones forward never make a jump from a clock in step pass unnoticed."""
    known, passed = KNOWN, timedelta()
    for seconds, offset in steps:
        passed += timedelta(seconds=seconds)
        known = watch(known, later(passed, jumped=timedelta(seconds=min(offset, 0))), None)
        assert known.doubted is None
    passed += timedelta(seconds=60)
    known = watch(known, later(passed), None)
    assert known.doubted is None
    assert doubted(known, later(passed, jumped=timedelta(seconds=jump)))


@pytest.mark.parametrize("boot", ["one", "two"])
def test_what_is_doubted_is_said_in_one_line(boot: str) -> None:
    words = why_doubted(watch(KNOWN, later(HOUR, jumped=YEAR, boot=boot), None))
    assert words is not None
    assert "\n" not in words
