"""Schedules ring when cron would, once, in nights of clock changes too; a miss is made up for."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from barmand.catalog.memory import Catalog, open_catalog
from barmand.catalog.schedule_runs import ScheduleRun
from barmand.model.calendar import CronSchedule
from barmand.model.errors import Refused
from barmand.service.schedule import Schedule, Wanted, latest_due, trigger
from support.waiting import eventually

ROME = ZoneInfo("Europe/Rome")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PATIENCE = 10
EVERY_MINUTE = "* * * * * zone=UTC"


# ---------------------------------------------------------------------------------- when it is due
def due_times(text: str, after: datetime, until: datetime) -> list[str]:
    """The walk that APScheduler makes: it asks again a little after each ring."""
    rings = trigger(CronSchedule.parse(f"{text} zone=Europe/Rome"))
    found, ring = [], rings.get_next_fire_time(None, after)
    while ring is not None and ring <= until:
        found.append(ring.astimezone(ROME).strftime("%d %H:%M%z"))
        assert len(found) < 100, f"it rings and rings: {found[-5:]}"
        ring = rings.get_next_fire_time(ring, ring + timedelta(milliseconds=50))
    return found


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
    assert due_times(text, SPRING, SPRING + timedelta(hours=20)) == expected


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
    assert due_times(text, AUTUMN, AUTUMN + timedelta(hours=20)) == expected


def test_what_is_due_every_hour_is_due_in_both_of_them() -> None:
    midnight = datetime(2024, 10, 26, 22, tzinfo=UTC)
    assert due_times("0 * * * *", midnight, midnight + 4 * HOUR) == [
        "27 00:00+0200",
        "27 01:00+0200",
        "27 02:00+0200",
        "27 02:00+0100",
        "27 03:00+0100",
    ]


@pytest.mark.parametrize("night", [SPRING, AUTUMN])
def test_the_last_due_time_of_such_a_night_is_found(night: datetime) -> None:
    schedule = CronSchedule.parse("30 2 * * * zone=Europe/Rome")
    (due,) = due_times("30 2 * * *", night, night + DAY - HOUR)
    found = latest_due(schedule, night, night + DAY - HOUR)
    assert found is not None
    assert found.astimezone(ROME).strftime("%d %H:%M%z") == due


def test_jitter_comes_after_the_due_time_also_in_the_hour_that_comes_twice() -> None:
    rings = trigger(CronSchedule.parse("30 * * * * zone=Europe/Rome jitter=10m"))
    second = datetime(2024, 10, 27, 1, 30, tzinfo=UTC)  # 02:30 for the second time
    for _ in range(20):
        ring = rings.get_next_fire_time(None, second)
        assert ring is not None
        assert second <= ring <= second + timedelta(minutes=10)


def test_jitter_makes_no_second_ring_of_one_due_time() -> None:
    rings = trigger(CronSchedule.parse("30 2 * * * zone=Europe/Rome jitter=20m"))
    ring = rings.get_next_fire_time(None, AUTUMN)
    days = []
    for _ in range(5):
        assert ring is not None
        days.append(ring.astimezone(ROME).day)
        ring = rings.get_next_fire_time(ring, ring + timedelta(milliseconds=50))
    assert days == [27, 28, 29, 30, 31]


def test_without_a_zone_the_machines_own_counts() -> None:
    now = datetime.now(UTC)
    due = latest_due(CronSchedule.parse("30 2 * * *"), now - 2 * DAY, now)
    assert due is not None
    assert due.astimezone().strftime("%M") == "30"


fields = st.sampled_from(["*", "*/7", "0", "17", "30-45/5"])
hours = st.sampled_from(["*", "*/5", "3", "22", "1-4"])
weekdays = st.sampled_from(["*", "1-5", "0"])


@settings(deadline=None, max_examples=60)
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
    assert latest_due(schedule, after, now) == (minute if minute > after else None)


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


# ------------------------------------------------------------------------------------ what it does
class FakeDesk:
    """Queues backups of every server that is not busy."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.busy: set[str] = set()
        self.is_broken = False
        self.rang = threading.Event()

    def start_backup(self, server: str) -> str:
        self.rang.set()
        if self.is_broken:
            raise ZeroDivisionError("a bug")
        if server in self.busy:
            raise Refused(f"a backup of {server} is already STARTED")
        self.started.append(server)
        return f"20240501T00000{len(self.started)}"


@pytest.fixture
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path_factory.mktemp("state") / "barmand.db")
    yield opened
    opened.close()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def schedule(catalog: Catalog, desk: FakeDesk) -> Iterator[Schedule]:
    made = Schedule(catalog.schedule_runs, desk.start_backup)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def unstarted(catalog: Catalog, desk: FakeDesk) -> Schedule:
    """It makes up for what was missed, and rings for nothing else."""
    return Schedule(catalog.schedule_runs, desk.start_backup)


def wanted(text: str = "0 0 1 1 * zone=UTC", grace: timedelta = 6 * HOUR) -> Wanted:
    return Wanted(CronSchedule.parse(text), grace)


def daily_at(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc.minute} {utc.hour} * * * zone=UTC"


def remember(catalog: Catalog, text: str, due: datetime) -> None:
    """That an earlier life of the daemon ran this schedule at `due`."""
    run = ScheduleRun(server="main", schedule=text, due=due, at=due, outcome="started")
    catalog.schedule_runs.add(run)


def now() -> datetime:
    return datetime.now(UTC)


def outcome(catalog: Catalog, server: str = "main") -> str | None:
    last = catalog.schedule_runs.last(server)
    return None if last is None else last.outcome


def ring_now(schedule: Schedule, server: str = "main", *, late: timedelta = timedelta()) -> None:
    """Set the alarm clock itself to a moment that has come."""
    schedule._scheduler.modify_job(f"backup {server}", next_run_time=now() - late)


def test_a_schedule_that_is_new_is_armed_and_starts_nothing(
    catalog: Catalog, desk: FakeDesk, unstarted: Schedule
) -> None:
    unstarted.serve({"main": wanted(EVERY_MINUTE)})
    assert outcome(catalog) == "armed"
    assert desk.started == []


def test_a_run_that_was_missed_is_made_up_once(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    due = now() - 2 * HOUR
    text = daily_at(due)
    remember(catalog, text, due - 3 * DAY)
    schedule.serve({"main": wanted(text)})
    assert desk.started == ["main"]
    last = catalog.schedule_runs.last("main")
    assert last is not None
    assert (last.outcome, last.backup_id) == ("made up", "20240501T000001")
    assert last.due == due.replace(second=0, microsecond=0)

    again = Schedule(catalog.schedule_runs, desk.start_backup)
    again.serve({"main": wanted(text)})
    assert desk.started == ["main"]


def test_a_run_missed_longer_ago_than_the_grace_is_not_made_up(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    due = now() - 2 * HOUR
    remember(catalog, daily_at(due), due - 3 * DAY)
    schedule.serve({"main": wanted(daily_at(due), grace=HOUR)})
    assert desk.started == []
    assert outcome(catalog) == "started"


def test_a_run_that_was_not_missed_is_not_made_up(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    due = now() - 2 * HOUR
    remember(catalog, daily_at(due), due)
    schedule.serve({"main": wanted(daily_at(due))})
    assert desk.started == []


def test_many_missed_runs_are_one_backup(
    catalog: Catalog, desk: FakeDesk, unstarted: Schedule
) -> None:
    remember(catalog, EVERY_MINUTE, now() - 5 * HOUR)
    unstarted.serve({"main": wanted(EVERY_MINUTE)})
    assert desk.started == ["main"]


def test_a_last_run_in_the_future_makes_up_for_nothing(
    catalog: Catalog, desk: FakeDesk, unstarted: Schedule
) -> None:
    remember(catalog, EVERY_MINUTE, now() + 365 * DAY)  # the clock was set back
    unstarted.serve({"main": wanted(EVERY_MINUTE)})
    assert desk.started == []


def test_a_schedule_that_changed_is_armed_anew(
    catalog: Catalog, desk: FakeDesk, unstarted: Schedule
) -> None:
    remember(catalog, "0 2 * * *", now() - 5 * HOUR)
    unstarted.serve({"main": wanted(EVERY_MINUTE)})
    last = catalog.schedule_runs.last("main")
    assert last is not None
    assert (last.outcome, last.schedule) == ("armed", EVERY_MINUTE)
    assert desk.started == []


def test_a_schedule_that_did_not_change_is_left_alone_by_a_reload(
    catalog: Catalog, schedule: Schedule
) -> None:
    schedule.serve({"main": wanted()})
    ring = schedule.next_ring("main")
    armed = catalog.schedule_runs.last("main")
    schedule.serve({"main": wanted(), "other": wanted()})
    assert schedule.next_ring("main") == ring
    assert catalog.schedule_runs.last("main") == armed


def test_a_missed_run_of_a_busy_server_is_skipped_with_a_row(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    due = now() - 2 * HOUR
    remember(catalog, daily_at(due), due - 3 * DAY)
    desk.busy.add("main")
    with capture_logs() as logs:
        schedule.serve({"main": wanted(daily_at(due))})
    last = catalog.schedule_runs.last("main")
    assert last is not None
    assert (last.outcome, last.backup_id) == ("skipped", None)
    assert logs[-1]["why"] == "a backup of main is already STARTED"


def test_a_ring_starts_a_backup_and_is_remembered(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    schedule.serve({"main": wanted()})
    ring_now(schedule)
    eventually(lambda: outcome(catalog) == "started", PATIENCE)
    assert desk.started == ["main"]


def test_a_ring_for_a_busy_server_is_skipped_with_a_row(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    desk.busy.add("main")
    schedule.serve({"main": wanted()})
    ring_now(schedule)
    eventually(lambda: outcome(catalog) == "skipped", PATIENCE)
    assert desk.started == []


def test_a_ring_that_comes_hours_late_still_starts_one_backup(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    schedule.serve({"main": wanted(EVERY_MINUTE)})
    ring_now(schedule, late=3 * HOUR)  # as after a suspended machine: 180 rings at once
    eventually(lambda: outcome(catalog) == "started", PATIENCE)
    schedule.stop()
    schedule.start()
    assert len(desk.started) in (1, 2)  # two, if a minute began meanwhile


def test_a_fault_of_ours_in_one_ring_does_not_end_the_schedule(
    catalog: Catalog, desk: FakeDesk, schedule: Schedule
) -> None:
    desk.is_broken = True
    schedule.serve({"main": wanted(), "other": wanted()})
    ring_now(schedule)
    assert desk.rang.wait(PATIENCE)
    desk.is_broken = False
    assert schedule.is_alive()
    ring_now(schedule, "other")
    eventually(lambda: outcome(catalog, "other") == "started", PATIENCE)
    assert outcome(catalog) == "armed"


def test_the_next_ring_is_told_and_goes_with_its_server(schedule: Schedule) -> None:
    assert schedule.next_ring("main") is None
    schedule.serve({"main": wanted("0 0 1 1 * zone=UTC")})
    ring = schedule.next_ring("main")
    assert ring is not None
    assert ring == datetime(now().year + 1, 1, 1, tzinfo=UTC)
    schedule.serve({})
    assert schedule.next_ring("main") is None
