"""The schedule's words mean to APScheduler what they mean to cron."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from barmand.model.calendar import ON_TIME, CronFields, CronSchedule, Outcome, judged

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def rings(text: str, start: datetime = MONDAY) -> Iterator[datetime]:
    """When a real trigger rings from `start` on, as the daemon would build it."""
    trigger = OrTrigger(
        [
            CronTrigger(
                minute=each.minute,
                hour=each.hour,
                day=each.day,
                month=each.month,
                day_of_week=each.day_of_week,
                timezone=UTC,
            )
            for each in CronSchedule.parse(text).alternatives
        ]
    )
    ring = trigger.get_next_fire_time(None, start)
    while ring is not None:
        yield ring
        ring = trigger.get_next_fire_time(ring, ring)


def first(count: int, text: str) -> list[str]:
    found = rings(text)
    return [format(next(found), "%a %d %b %H:%M") for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 2 * * *", ["Mon 01 Jan 02:00", "Tue 02 Jan 02:00"]),
        ("0 0 * * 0", ["Sun 07 Jan 00:00", "Sun 14 Jan 00:00"]),
        ("0 0 * * 7", ["Sun 07 Jan 00:00", "Sun 14 Jan 00:00"]),
        ("0 0 * * sun", ["Sun 07 Jan 00:00", "Sun 14 Jan 00:00"]),
        ("0 0 * * 1", ["Mon 01 Jan 00:00", "Mon 08 Jan 00:00"]),
        ("0 0 * * 5-7", ["Fri 05 Jan 00:00", "Sat 06 Jan 00:00", "Sun 07 Jan 00:00"]),
        ("0 0 * * Sat-Sun", ["Sat 06 Jan 00:00", "Sun 07 Jan 00:00", "Sat 13 Jan 00:00"]),
        ("0 0 * * 0-1", ["Mon 01 Jan 00:00", "Sun 07 Jan 00:00"]),
        ("0 0 * * mon-fri/2", ["Mon 01 Jan 00:00", "Wed 03 Jan 00:00", "Fri 05 Jan 00:00"]),
        ("0 0 * * 0-7", ["Mon 01 Jan 00:00", "Tue 02 Jan 00:00"]),
        ("*/40 1,3 * * *", ["Mon 01 Jan 01:00", "Mon 01 Jan 01:40", "Mon 01 Jan 03:00"]),
        ("0 9-17/4 * * *", ["Mon 01 Jan 09:00", "Mon 01 Jan 13:00", "Mon 01 Jan 17:00"]),
        ("0 0 1 feb,DEC *", ["Thu 01 Feb 00:00", "Sun 01 Dec 00:00"]),
        ("0 0 29 2 *", ["Thu 29 Feb 00:00", "Tue 29 Feb 00:00"]),
        ("0 0 13 * 5", ["Fri 05 Jan 00:00", "Fri 12 Jan 00:00", "Sat 13 Jan 00:00"]),
        ("0 0 */10 * 4", ["Thu 11 Jan 00:00", "Thu 01 Feb 00:00"]),
        ("0 0 5 * */3", ["Sun 05 May 00:00", "Wed 05 Jun 00:00"]),
        ("0 0 30 2 1", ["Mon 05 Feb 00:00", "Mon 12 Feb 00:00"]),
        ("@hourly", ["Mon 01 Jan 00:00", "Mon 01 Jan 01:00"]),
        ("@daily", ["Mon 01 Jan 00:00", "Tue 02 Jan 00:00"]),
        ("@Weekly", ["Sun 07 Jan 00:00", "Sun 14 Jan 00:00"]),
        ("@monthly", ["Mon 01 Jan 00:00", "Thu 01 Feb 00:00"]),
    ],
)
def test_a_schedule_rings_when_cron_would(text: str, expected: list[str]) -> None:
    assert first(len(expected), text) == expected


def test_one_restricted_kind_of_day_is_one_alternative() -> None:
    assert CronSchedule.parse("5 2 * 6 1").alternatives == (CronFields("5", "2", "*", "6", "mon"),)


def test_two_restricted_kinds_of_day_are_two_alternatives() -> None:
    assert CronSchedule.parse("0 0 13 * 5").alternatives == (
        CronFields("0", "0", "13", "*", "*"),
        CronFields("0", "0", "*", "*", "fri"),
    )


def test_zone_and_jitter_follow_the_fields() -> None:
    schedule = CronSchedule.parse("0 2 * * * zone=Europe/Rome jitter=10m")
    assert (schedule.zone, schedule.jitter_seconds) == ("Europe/Rome", 600)
    assert schedule.text == str(schedule) == "0 2 * * * zone=Europe/Rome jitter=10m"


def test_without_words_there_is_neither_zone_nor_jitter() -> None:
    schedule = CronSchedule.parse("@daily")
    assert (schedule.zone, schedule.jitter_seconds) == (None, 0)


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("24h", 86_400), ("0s", 0)])
def test_jitter_is_told_in_seconds_minutes_or_hours(text: str, seconds: int) -> None:
    assert CronSchedule.parse(f"@daily jitter={text}").jitter_seconds == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "five fields are needed (minute, hour, day, month, weekday), not 0"),
        ("0 2 * *", "not 4"),
        ("0 2 * * zone=UTC", "not 4"),
        ("0 0 2 * * *", "'*' has no place"),
        ("60 2 * * *", "minute '60' is not understood: allowed are 0-59"),
        ("0 24 * * *", "hour '24'"),
        ("0 2 0 * *", "day '0'"),
        ("0 2 * 13 *", "month '13'"),
        ("0 2 * foo *", "month 'foo' is not understood: allowed are 1-12, jan-dec"),
        ("0 2 * * 8", "weekday '8'"),
        ("0 2 * * tuesday", "weekday 'tuesday'"),
        ("30-10 2 * * *", "minute '30-10'"),
        ("5/10 2 * * *", "minute '5/10'"),
        ("*/0 2 * * *", "minute '*/0'"),
        ("*/60 2 * * *", "minute '*/60'"),
        ("1,,2 2 * * *", "minute ''"),
        ("-1 2 * * *", "minute '-1'"),
        ("\u0663 2 * * *", "minute"),
        ("0 2 30 feb *", "day '30' never comes in month 'feb'"),
        ("0 2 31 4,6 */2", "never comes"),
        ("@yearly", "@yearly is unknown: allowed are @hourly, @daily"),
        ("@daily now", "'now' has no place"),
        ("@daily zone=UTC zone=UTC", "each once"),
        ("@daily zone=Europe/Atlantis", "zone 'Europe/Atlantis' is unknown"),
        ("@daily zone=", "zone '' is unknown"),
        ("@daily zone=Europe", "zone 'Europe' is unknown"),
        ("@daily zone=../../etc/passwd", "is unknown"),
        ("@daily jitter=10", "jitter '10' is not understood"),
        ("@daily jitter=25h", "up to 24h"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        CronSchedule.parse(text)
    assert words in str(error.value)


def spans(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    step = st.integers(1, 5)
    return st.one_of(
        st.just("*"),
        number.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        step.map(lambda by: f"*/{by}"),
        st.tuples(pair, step).map(lambda span: f"{span[0][0]}-{span[0][1]}/{span[1]}"),
        st.lists(number, min_size=1, max_size=3).map(lambda many: ",".join(map(str, many))),
    )


def holds(text: str, number: int, low: int, high: int) -> bool:
    """cron's rule for one field, said another way."""
    for part in text.split(","):
        span, _, step = part.partition("/")
        begin, _, end = (f"{low}-{high}" if span == "*" else span).partition("-")
        is_within = int(begin) <= number <= int(end or begin)
        if is_within and (number - int(begin)) % int(step or 1) == 0:
            return True
    return False


def is_due(text: str, at: datetime) -> bool:
    minute, hour, day, month, weekday = text.split()
    on_day = holds(day, at.day, 1, 31)
    on_week = any(holds(weekday, number, 0, 6) for number in {at.isoweekday() % 7, at.isoweekday()})
    is_either = not day.startswith("*") and not weekday.startswith("*")
    return (
        holds(minute, at.minute, 0, 59)
        and holds(hour, at.hour, 0, 23)
        and holds(month, at.month, 1, 12)
        and ((on_day or on_week) if is_either else (on_day and on_week))
    )


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(spans(0, 59), spans(0, 23), spans(1, 28), spans(1, 12), spans(0, 7)).map(" ".join),
    st.integers(0, 366 * 4),
)
def test_any_schedule_rings_at_exactly_the_minutes_of_cron(text: str, days: int) -> None:
    start = MONDAY + timedelta(days=days)
    end = start + timedelta(days=2)
    minutes = (start + timedelta(minutes=minute) for minute in range(2 * 24 * 60))
    rung = list(takewhile(lambda ring: ring < end, rings(text, start)))
    assert rung == [minute for minute in minutes if is_due(text, minute)]


GRACE = timedelta(hours=6)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("late", "is_first", "outcome"),
    [
        (timedelta(), True, Outcome.STARTED),
        (ON_TIME, True, Outcome.STARTED),
        (timedelta(), False, Outcome.MADE_UP),
        (ON_TIME + SECOND, True, Outcome.MADE_UP),
        (GRACE, True, Outcome.MADE_UP),
        (GRACE + SECOND, True, Outcome.MISSED),
        (GRACE + SECOND, False, Outcome.MISSED),
    ],
)
def test_a_ring_that_is_late_is_made_up_for_within_the_grace(
    late: timedelta, is_first: bool, outcome: Outcome
) -> None:
    assert judged(late, GRACE, is_first=is_first) is outcome


def test_a_schedule_is_the_same_one_with_another_jitter() -> None:
    schedule = CronSchedule.parse("0 2 * * * jitter=10m zone=Europe/Rome")
    assert schedule.key == "0 2 * * * zone=Europe/Rome"
