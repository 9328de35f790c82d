"""A ring starts one backup for what is due; a miss is made up once, however the clock is set."""

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.backup import INTERRUPTED, SHUT_DOWN, Reason, Status
from barmand.model.calendar import RUNS, Outcome, ScheduleLine
from barmand.model.errors import Refused, Stopped, StorageFailed, ToolFailed
from barmand.service.due_times import due_times
from barmand.service.schedule import Schedule, Wanted
from barmand.settings.schedule_lines import read
from support.waiting import eventually

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PATIENCE = 10
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NIGHTLY = "0 2 * * * zone=UTC"
HOURLY = "0 * * * * zone=UTC"


class World:
    """A daemon's schedule, its clock, and the desk that queues its backups."""

    def __init__(self, catalog: Catalog, now: datetime = NOON) -> None:
        self.catalog = catalog
        self.now = now
        self.started: list[tuple[str, str, datetime]] = []
        self.told: list[tuple[str, dict[str, object]]] = []
        self.raises: Exception | None = None
        self.rang = threading.Event()
        self.schedule = self.born()

    def born(self) -> Schedule:
        """The daemon's next life."""
        self.schedule = Schedule(
            self.catalog.schedule_runs,
            self.start_backup,
            tell=lambda kind, _server, facts: self.told.append((kind, facts)),
            now=lambda: self.now,
        )
        return self.schedule

    def start_backup(self, server: str, line: ScheduleLine, due: datetime) -> str:
        self.rang.set()
        if self.raises is not None:
            raise self.raises
        self.started.append((server, line.text, due))
        return f"2024050{len(self.started)}T000000"

    def serve(self, *lines: str, grace: timedelta = 12 * HOUR, server: str = "main") -> None:
        self.schedule.serve({server: Wanted(read("\n".join(lines)), grace)})

    def at(self, now: datetime, server: str = "main") -> list[datetime]:
        """What begins when it is looked then."""
        self.started.clear()
        self.now = now
        self.schedule.look(server)
        return [due for _, _, due in self.started]

    def live(self, until: datetime, server: str = "main") -> list[datetime]:
        """Each ring up to then, as APScheduler would bring them."""
        found: list[datetime] = []
        while (ring := self.schedule.next_ring(server)) is not None and ring <= until:
            found += self.at(ring, server)
        self.now = until
        return found

    def last(self, key: str, server: str = "main") -> tuple[str, str | None, str | None]:
        run = self.catalog.schedule_runs.last(server, key)
        assert run is not None
        return run.outcome.value, run.backup_id, run.why


@pytest.fixture
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path_factory.mktemp("state") / "barmand.db")
    yield opened
    opened.close()


@pytest.fixture
def world(catalog: Catalog) -> World:
    return World(catalog)


# ------------------------------------------------------------------------------------ in its time
def test_a_schedule_that_is_new_is_armed_and_starts_nothing(world: World) -> None:
    world.serve(NIGHTLY)
    assert world.last(NIGHTLY) == ("armed", None, None)
    assert world.at(NOON) == []


def test_a_ring_starts_a_backup_once(world: World) -> None:
    world.serve(NIGHTLY)
    due = NOON + 14 * HOUR
    assert world.schedule.next_ring("main") == due
    assert world.at(due) == [due]
    assert world.last(NIGHTLY) == ("started", "20240501T000000", None)
    assert world.at(due + timedelta(seconds=1)) == []


def test_its_work_is_visible_in_the_journal_with_its_due_time(world: World) -> None:
    world.serve(f"{NIGHTLY} name=nightly")
    with capture_logs() as logs:
        world.at(NOON + 14 * HOUR)
    (line,) = [entry for entry in logs if entry["event"] == "scheduled backup"]
    assert (line["server"], line["backup_id"]) == ("main", "20240501T000000")
    assert (line["due"], line["outcome"]) == ("2024-05-02T02:00:00+00:00", "started")


def test_of_two_lines_that_are_due_together_the_first_decides_and_both_are_told(
    world: World,
) -> None:
    weekly, daily = "0 2 * * 4 zone=UTC", NIGHTLY  # the second of May is a Thursday
    world.serve(f"{weekly} name=weekly", f"{daily} name=daily")
    with capture_logs() as logs:
        world.at(NOON + 14 * HOUR)
    assert [text for _, text, _ in world.started] == [f"{weekly} name=weekly"]
    assert world.last(weekly) == ("started", "20240501T000000", None)
    assert world.last(daily) == ("joined", "20240501T000000", f"with {weekly}")
    assert [entry["outcome"] for entry in logs] == ["started", "joined"]
    world.at(NOON + 38 * HOUR)
    assert [text for _, text, _ in world.started] == [f"{daily} name=daily"]


def test_a_run_that_falls_into_a_backup_is_skipped_and_told(world: World) -> None:
    world.serve(NIGHTLY)
    world.raises = Refused("a backup of main is under way")
    assert world.at(NOON + 14 * HOUR) == []
    assert world.last(NIGHTLY) == ("skipped", None, "a backup of main is under way")
    ((kind, facts),) = world.told
    assert kind == "schedule skipped"
    assert facts["due"] == "2024-05-02T02:00:00+00:00"
    world.raises = None
    assert world.at(NOON + 15 * HOUR) == []
    assert world.at(NOON + 38 * HOUR) == [NOON + 38 * HOUR]


def test_a_ring_while_the_daemon_stops_is_left_to_its_next_life(world: World) -> None:
    world.serve(NIGHTLY)
    world.raises = Stopped("barmand was shut down")
    with pytest.raises(Stopped):
        world.at(NOON + 14 * HOUR)
    world.raises = None
    world.born()
    world.serve(NIGHTLY)
    assert world.at(NOON + 15 * HOUR) == [NOON + 14 * HOUR]
    assert world.last(NIGHTLY)[0] == "made up"


# ---------------------------------------------------------------------------------------- missed
def test_many_missed_runs_of_several_lines_are_one_backup(world: World) -> None:
    world.serve(NIGHTLY, HOURLY)
    world.born()
    world.now = NOON + 20 * HOUR + MINUTE
    world.serve(NIGHTLY, HOURLY)
    assert world.at(world.now) == [NOON + 14 * HOUR]
    assert world.last(NIGHTLY)[0] == "made up"
    assert world.last(HOURLY)[0] == "joined"
    assert world.at(world.now + MINUTE) == []


def test_a_run_missed_longer_ago_than_the_grace_is_told_and_not_made_up(world: World) -> None:
    world.serve(NIGHTLY, grace=HOUR)
    assert world.at(NOON + 16 * HOUR) == []
    assert world.last(NIGHTLY)[0] == "missed"
    ((kind, facts),) = world.told
    assert kind == "schedule missed"
    assert facts["due"] == "2024-05-02T02:00:00+00:00"
    assert world.at(NOON + 16 * HOUR + MINUTE) == []
    assert len(world.told) == 1


def test_a_schedule_that_is_new_after_a_change_was_never_missed(world: World) -> None:
    world.serve(NIGHTLY)
    world.now = NOON + 20 * HOUR
    world.serve("0 3 * * * zone=UTC")
    assert world.at(world.now) == []
    world.now = NOON + 40 * HOUR
    world.serve(NIGHTLY)  # as before, but nobody wanted it meanwhile
    assert world.at(world.now) == []


def test_another_jitter_or_another_option_leaves_the_schedule_the_same(world: World) -> None:
    world.serve(f"{NIGHTLY} jitter=1m")
    world.born()
    world.now = NOON + 16 * HOUR
    world.serve(f"{NIGHTLY} jitter=2m name=nightly")
    assert world.at(world.now) == [NOON + 14 * HOUR]


def test_what_was_due_while_a_server_was_paused_is_not_made_up(world: World) -> None:
    world.serve(NIGHTLY)
    world.schedule.serve({})
    assert world.last(NIGHTLY)[0] == "off"
    assert world.schedule.next_ring("main") is None
    world.born()
    world.now = NOON + 16 * HOUR
    world.serve(NIGHTLY)
    assert world.at(world.now) == []
    assert world.at(NOON + 38 * HOUR) == [NOON + 38 * HOUR]


def test_what_was_due_while_the_settings_of_a_server_were_wrong_is_made_up(world: World) -> None:
    world.serve(NIGHTLY)
    world.schedule.serve({}, put_aside=["main"])
    world.now = NOON + 16 * HOUR
    world.serve(NIGHTLY)
    assert world.at(world.now) == [NOON + 14 * HOUR]


# -------------------------------------------------------------- a backup that ended with the daemon
class Interrupted(World):
    """Its backups are rows of the catalogue, and end as `fails` says."""

    fails: Reason | None = INTERRUPTED

    def start_backup(self, server: str, line: ScheduleLine, due: datetime) -> str:
        super().start_backup(server, line, due)
        backups = self.catalog.backups
        queued = backups.queue(server, method="local", name=None, requester="test", now=self.now)
        if self.fails is not None:
            backups.move(queued, queued.failed(self.now, self.fails), now=self.now)
        return queued.id


SHUT = Reason.of(Stopped(SHUT_DOWN))


@pytest.mark.parametrize("reason", [INTERRUPTED, SHUT])
@pytest.mark.parametrize("later", [MINUTE, 50 * MINUTE])
def test_a_backup_that_ended_with_the_daemon_is_made_up_once_as_its_line_says(
    catalog: Catalog, reason: Reason, later: timedelta
) -> None:
    world, due = Interrupted(catalog), NOON + 14 * HOUR
    world.fails = reason
    lines = (f"{NIGHTLY} name=nightly jobs=4", f"{HOURLY} jobs=2")
    world.serve(*lines)
    world.at(due)
    world.born()
    world.serve(*lines)
    assert world.at(due + later) == [due]
    assert [text for _, text, _ in world.started] == [lines[0]]
    first, second = catalog.backups.of_server("main")[-2:]
    assert (first.status, first.reason) == (Status.FAILED, reason)
    assert world.last(NIGHTLY)[:2] == ("made up", second.id)
    assert world.last(HOURLY)[:2] == ("joined", second.id)
    world.born()
    world.serve(*lines)
    assert world.at(due + later) == [], "a backup that takes the daemon down is not begun for ever"


@pytest.mark.parametrize(
    "reason",
    [
        Reason.of(Stopped("cancelled by root")),
        Reason.of(ToolFailed("pg_basebackup ended with 1")),
        Reason.of(StorageFailed(SHUT_DOWN)),
        None,
    ],
)
def test_one_that_was_cancelled_or_failed_or_goes_on_is_not_made_up(
    catalog: Catalog, reason: Reason | None
) -> None:
    world, due = Interrupted(catalog), NOON + 14 * HOUR
    world.fails = reason
    world.serve(NIGHTLY)
    assert world.at(due) == [due]
    world.born()
    world.serve(NIGHTLY)
    assert world.at(due + HOUR) == []
    assert world.last(NIGHTLY)[0] == "started"


def test_one_that_ended_with_the_daemon_longer_ago_than_the_grace_is_missed(
    catalog: Catalog,
) -> None:
    world, due = Interrupted(catalog), NOON + 14 * HOUR
    world.serve(NIGHTLY, grace=HOUR)
    world.at(due)
    world.born()
    world.serve(NIGHTLY, grace=HOUR)
    assert world.at(due + 2 * HOUR) == []
    assert world.last(NIGHTLY)[0] == "missed"
    assert [kind for kind, _ in world.told] == ["schedule missed"]
    assert world.at(due + 3 * HOUR) == []
    assert world.live(due + DAY) == [due + DAY]


# ------------------------------------------------------------------------------- a clock that jumps
def test_a_clock_that_is_set_back_an_hour_repeats_no_run(world: World) -> None:
    world.serve(NIGHTLY)
    due = NOON + 14 * HOUR
    assert world.at(due + 10 * MINUTE)
    world.now = due - 50 * MINUTE
    world.serve(NIGHTLY)
    assert world.live(due + 20 * HOUR) == []
    assert world.live(due + 30 * HOUR) == [due + DAY]


def test_a_clock_that_is_set_forward_a_day_makes_one_run_up(world: World) -> None:
    world.serve(HOURLY)
    assert world.at(NOON + DAY + 10 * MINUTE) == [NOON + DAY]
    assert world.last(HOURLY)[0] == "made up"
    assert world.live(NOON + DAY + 2 * HOUR) == [NOON + DAY + HOUR, NOON + DAY + 2 * HOUR]


def test_a_clock_that_was_years_ahead_stops_no_schedule(world: World) -> None:
    world.serve(HOURLY)
    assert world.at(NOON + 3650 * DAY + MINUTE)
    world.now = NOON + 10 * MINUTE
    world.serve(HOURLY)
    assert world.live(NOON + 2 * HOUR) == [NOON + HOUR, NOON + 2 * HOUR]


def test_what_a_clock_that_was_ahead_called_missed_runs_when_its_time_comes(world: World) -> None:
    world.serve(NIGHTLY, grace=HOUR)
    assert world.at(NOON + DAY) == []
    assert world.last(NIGHTLY)[0] == "missed"
    world.now = NOON
    world.serve(NIGHTLY, grace=HOUR)
    assert world.live(NOON + DAY) == [NOON + 14 * HOUR]


def test_a_clock_that_began_in_1970_misses_nothing_until_it_is_right(world: World) -> None:
    world.serve(NIGHTLY)
    world.now = datetime(1970, 1, 1, tzinfo=UTC)
    world.born()
    world.serve(NIGHTLY)
    assert world.at(world.now + MINUTE) == []
    assert world.at(NOON + 15 * HOUR) == [NOON + 14 * HOUR]


moves = st.lists(
    st.tuples(st.sampled_from(["pass", "set", "restart", "reload"]), st.integers(-3, 40)),
    max_size=8,
)


NUMBERS = itertools.count()


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(moves, st.sampled_from([HOURLY, NIGHTLY, "*/20 1-5 * * * zone=Europe/Rome jitter=5m"]))
def test_whatever_happens_no_due_time_runs_twice_and_none_is_lost_untold(
    catalog: Catalog, happens: list[tuple[str, int]], text: str
) -> None:
    world, server = World(catalog), f"server{next(NUMBERS)}"
    ran: list[datetime] = []
    with capture_logs() as logs:
        world.serve(text, server=server)
        for deed, hours in happens:
            if deed == "pass":
                ran += world.live(world.now + abs(hours) * HOUR / 2, server)
                continue
            if deed == "set":
                world.now += hours * HOUR / 2
            if deed == "restart":
                world.born()
            world.serve(text, server=server)
            ran += world.at(world.now, server)
    assert len(ran) == len(set(ran))
    is_ever_set_back = any(deed == "set" and hours < 0 for deed, hours in happens)
    (line,) = read(text)
    # What rang in the last minutes may still have its jitter before it.
    for due in due_times(line.times, NOON, world.now - 5 * MINUTE):
        assert is_ever_set_back or any(since <= due <= until for since, until in spans(logs))


def spans(logs: list[EventDict]) -> list[tuple[datetime, datetime]]:
    """What each line of the journal accounts for: the time that was due, and those before it."""
    return [
        (datetime.fromisoformat(each.get("due_since", each["due"])), at)
        for each in logs
        if "due" in each and (at := datetime.fromisoformat(each["due"]))
    ]


# ------------------------------------------------------------------------------- the alarm clock
@pytest.fixture
def ringing(catalog: Catalog) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(now: datetime) -> World:
        made.append(World(catalog, now))
        made[-1].schedule.start()
        return made[-1]

    yield make
    for world in made:
        world.schedule.stop()
        assert not world.schedule.is_alive()


def test_what_was_missed_is_made_up_at_the_start(
    world: World, ringing: Callable[..., World]
) -> None:
    world.serve(NIGHTLY)
    later = ringing(NOON + 16 * HOUR)
    assert later.schedule.is_alive()
    later.serve(NIGHTLY)
    assert later.rang.wait(PATIENCE)
    eventually(lambda: later.last(NIGHTLY)[0] == "made up", PATIENCE)


def test_a_clock_that_was_set_is_looked_at_at_once(ringing: Callable[..., World]) -> None:
    world = ringing(NOON)
    world.serve(NIGHTLY)
    world.now = NOON + 16 * HOUR
    world.schedule.look_again()
    assert world.rang.wait(PATIENCE)


def test_a_ring_that_cannot_be_written_down_is_told_and_looked_at_again(
    ringing: Callable[..., World],
) -> None:
    world = ringing(NOON)
    world.serve(NIGHTLY)
    world.raises = StorageFailed("the disk is full")
    world.now = NOON + 16 * HOUR
    world.schedule.look_again()
    assert world.rang.wait(PATIENCE)
    assert world.schedule.is_alive()


def test_the_next_ring_goes_with_its_server_and_its_line(world: World) -> None:
    assert world.schedule.next_ring("main") is None
    world.serve(NIGHTLY, HOURLY)
    assert world.schedule.next_ring("main") == NOON + HOUR
    assert world.schedule.next_of_line("main", NIGHTLY) == NOON + 14 * HOUR
    assert world.schedule.next_of_line("main", "another") is None
    world.schedule.serve({})
    assert world.schedule.next_of_line("main", NIGHTLY) is None


def test_the_same_schedule_with_jitter_is_spread_over_200_servers(catalog: Catalog) -> None:
    world = World(catalog)
    lines = read(f"{NIGHTLY} jitter=1h")
    names = [f"server{number}" for number in range(200)]
    world.schedule.serve({name: Wanted(lines, HOUR) for name in names})
    rings = {world.schedule.next_ring(name) for name in names}
    assert len(rings) > 150
    assert catalog.schedule_runs.last("server7") is not None


def test_outcomes_that_tell_of_a_due_time_are_all_but_two() -> None:
    assert set(Outcome) - set(RUNS) == {Outcome.ARMED, Outcome.OFF}
