"""A schedule is due when cron would be, once, in nights of clock changes too."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barmand.model.calendar import CronSchedule
from barmand.service.due_times import due_times, latest_ready, next_due, next_ring, rings_at

ROME = ZoneInfo("Europe/Rome")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def in_rome(text: str, after: datetime, until: datetime) -> list[str]:
    schedule = CronSchedule.parse(f"{text} zone=Europe/Rome")
    return [
        due.astimezone(ROME).strftime("%d %H:%M%z") for due in due_times(schedule, after, until)
    ]


SPRING = datetime(2024, 3, 30, 12, tzinfo=UTC)  # 02:00 becomes 03:00 in the night after
AUTUMN = datetime(2024, 10, 26, 12, tzinfo=UTC)  # 03:00 becomes 02:00 in the night after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 1 * * *", ["31 01:30+0100"]),
        ("30 2 * * *", ["31 03:30+0200"]),
        ("30 3 * * *", ["31 03:30+0200"]),
        ("30 2,3 * * *", ["31 03:30+0200"]),
        ("0 0-4 * * *", ["31 00:00+0100", "31 01:00+0100", "31 03:00+0200", "31 04:00+0200"]),
    ],
)
def test_in_the_night_that_lacks_an_hour_a_backup_is_late_but_not_left_out(
    text: str, expected: list[str]
) -> None:
    assert in_rome(text, SPRING, SPRING + timedelta(hours=20)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 1 * * *", ["27 01:30+0200"]),
        ("30 2 * * *", ["27 02:30+0200"]),
        ("0 3 * * *", ["27 03:00+0100"]),
        ("*/30 2 * * *", ["27 02:00+0200", "27 02:30+0200"]),
        ("30 1-3 * * *", ["27 01:30+0200", "27 02:30+0200", "27 03:30+0100"]),
        ("30 2 27 * 0", ["27 02:30+0200"]),
    ],
)
def test_in_the_night_that_has_an_hour_twice_a_backup_is_due_once(
    text: str, expected: list[str]
) -> None:
    assert in_rome(text, AUTUMN, AUTUMN + timedelta(hours=20)) == expected


def test_what_is_due_every_hour_is_due_in_both_of_them() -> None:
    midnight = datetime(2024, 10, 26, 22, tzinfo=UTC)
    assert in_rome("0 * * * *", midnight - HOUR / 60, midnight + 4 * HOUR) == [
        "27 00:00+0200",
        "27 01:00+0200",
        "27 02:00+0200",
        "27 02:00+0100",
        "27 03:00+0100",
    ]


@pytest.mark.parametrize("night", [SPRING, AUTUMN])
def test_the_last_due_time_of_such_a_night_is_found(night: datetime) -> None:
    schedule = CronSchedule.parse("30 2 * * * zone=Europe/Rome")
    (due,) = in_rome("30 2 * * *", night, night + DAY - HOUR)
    found = latest_ready(schedule, night, night + DAY - HOUR)
    assert found is not None
    assert found.astimezone(ROME).strftime("%d %H:%M%z") == due


def test_jitter_comes_after_the_due_time_and_is_the_same_each_time() -> None:
    late = CronSchedule.parse("30 * * * * zone=Europe/Rome jitter=10m")
    second = datetime(2024, 10, 27, 1, 30, tzinfo=UTC)  # 02:30 for the second time
    rings = {rings_at(replace(late, salt=f"server{number}"), second) for number in range(100)}
    assert all(second <= ring <= second + timedelta(minutes=10) for ring in rings)
    assert len(rings) > 50
    assert rings_at(late, second) == rings_at(late, second)


def test_a_due_time_counts_once_its_jitter_is_over() -> None:
    late = CronSchedule.parse("30 2 * * * zone=UTC jitter=20m")
    due = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
    ring = rings_at(late, due)
    assert ring > due
    moment = timedelta(seconds=1)
    assert next_ring(late, due) == next_ring(late, ring - moment) == ring
    assert latest_ready(late, due - HOUR, ring - moment) is None
    assert latest_ready(late, due - HOUR, ring) == due
    assert next_ring(late, ring) == rings_at(late, due + DAY)


def test_jitter_that_is_longer_than_the_period_leaves_runs_over() -> None:
    late = CronSchedule.parse("* * * * * zone=UTC jitter=1h")
    now = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
    assert latest_ready(late, now - DAY, now) is not None
    ring = next_ring(late, now)
    assert ring is not None
    assert now < ring < now + timedelta(minutes=5)


def test_without_a_zone_the_machines_own_counts() -> None:
    now = datetime.now(UTC)
    due = latest_ready(CronSchedule.parse("30 2 * * *"), now - 2 * DAY, now)
    assert due is not None
    assert due.astimezone().strftime("%M") == "30"


fields = st.sampled_from(["*", "*/7", "0", "17", "30-45/5"])
hours = st.sampled_from(["*", "*/5", "3", "22", "1-4"])
weekdays = st.sampled_from(["*", "1-5", "0"])


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(fields, hours, weekdays).map(lambda f: f"{f[0]} {f[1]} * * {f[2]} zone=UTC"),
    st.datetimes(datetime(2024, 1, 1), datetime(2025, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(0, 60 * 60 * 60),
)
def test_the_latest_due_time_is_the_last_of_all_minutes_at_which_it_is_due(
    text: str, start: datetime, seconds: int
) -> None:
    schedule = CronSchedule.parse(text)
    after = start.replace(tzinfo=UTC)
    now = after + timedelta(seconds=seconds)
    minute = now.replace(second=0, microsecond=0)
    while minute > after and not is_due(schedule, minute):
        minute -= timedelta(minutes=1)
    assert latest_ready(schedule, after, now) == (minute if minute > after else None)


def is_due(schedule: CronSchedule, minute: datetime) -> bool:
    weekday = minute.strftime("%a").lower()
    return any(
        matches(each.minute, str(minute.minute))
        and matches(each.hour, str(minute.hour))
        and matches(each.day_of_week, weekday)
        for each in schedule.alternatives
    )


def matches(field: str, value: str) -> bool:
    return field == "*" or value in field.split(",")


# ------------------------------------------------------------------------------------- any zone
CHANGES = {  # a zone, and a moment near which its clocks were set
    "Europe/Rome": datetime(2024, 3, 31, 1, tzinfo=UTC),
    "America/New_York": datetime(2024, 11, 3, 6, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2024, 4, 6, 15, tzinfo=UTC),  # by half an hour
    "America/Sao_Paulo": datetime(2018, 11, 4, 3, tzinfo=UTC),  # midnight is left out
    "Africa/Casablanca": datetime(2024, 4, 14, 2, tzinfo=UTC),
    "Antarctica/Troll": datetime(2024, 10, 27, 1, tzinfo=UTC),  # by two hours
    "Pacific/Apia": datetime(2011, 12, 30, 10, tzinfo=UTC),  # by a whole day
    "Asia/Kathmandu": datetime(2024, 5, 1, tzinfo=UTC),  # never, and its hours are odd
}


def expected(schedule: CronSchedule, zone: ZoneInfo, after: datetime, hours: int) -> list[datetime]:
    """The rule of the page, minute by minute of what clocks show."""
    is_hourly = schedule.alternatives[0].hour == "*"
    found: set[datetime] = set()
    wall = (after - 2 * DAY).replace(tzinfo=None)
    for _ in range((hours + 96) * 60):
        wall += timedelta(minutes=1)
        if is_due(schedule, wall):
            found.add(wall.replace(tzinfo=zone).astimezone(UTC))
            if is_hourly:  # the second time that it is shown
                again = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
                found |= {again} if again.astimezone(zone).replace(tzinfo=None) == wall else set()
    return sorted(due for due in found if after < due <= after + hours * HOUR)


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(sorted(CHANGES)),
    st.sampled_from(["*", "*/7", "0", "17", "30-45/5"]),
    st.sampled_from(["*", "*/5", "0", "1-3", "2", "22"]),
    st.integers(-30 * 60, 6 * 60),
    st.integers(1, 48),
)
def test_each_due_minute_comes_once_and_none_is_lost(
    name: str, minutes: str, hours: str, offset: int, span: int
) -> None:
    schedule = CronSchedule.parse(f"{minutes} {hours} * * * zone={name}")
    after = CHANGES[name] + timedelta(minutes=offset)
    found = list(due_times(schedule, after, after + span * HOUR))
    assert found == expected(schedule, ZoneInfo(name), after, span)


@pytest.mark.parametrize("text", ["* * * * *", "*/5 2 * * *", "0 0 1 * *", "0 0 29 2 *"])
def test_the_last_due_time_of_a_long_outage_is_found_without_counting_them_all(text: str) -> None:
    schedule = CronSchedule.parse(f"{text} zone=Europe/Rome")
    now = datetime(2025, 5, 1, 12, 34, tzinfo=UTC)
    found = latest_ready(schedule, now - 3650 * DAY, now)
    assert found is not None
    following = next_due(schedule, found)
    assert following is not None
    assert found <= now < following
