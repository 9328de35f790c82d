"""Chores come again and again, spread, by a clock that nobody sets; seldom ones over restarts."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.catalog.chore_runs import ChoreRun
from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.errors import StorageFailed
from barmand.outside.clock import local_now
from barmand.service.chore_table import Chore
from barmand.service.chores import DAEMON, OVERDUE_SPREAD, Chores, first_wait
from barmand.service.house import Kit
from barmand.service.runner import Runner
from barmand.service.stopping import StopFlag

PATIENCE = 10
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Deeds:
    """What was done, for whom; and what is to happen when it is."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failing = False
        self.left = 0
        self.hold: dict[str, threading.Event] = {}

    def often(self, kit: Kit, _stop: StopFlag) -> bool:
        if kit.name in self.hold:
            self.hold[kit.name].wait(PATIENCE)
        self.done.append(f"often {kit.name}")
        self.left -= 1
        return self.left > 0

    def seldom(self, kit: Kit, _stop: StopFlag) -> bool:
        self.done.append(f"seldom {kit.name}")
        if self.failing:
            raise StorageFailed("the disk is gone")
        return False


class House:
    """Chores of servers that are as active as `kits` says, and a clock that the test moves."""

    def __init__(self, catalog: Catalog, *servers: str) -> None:
        self.deeds = Deeds()
        self.kits = {name: kit(name) for name in servers}
        self.runner = Runner(1)
        self.clock = 0.0
        self.catalog = catalog
        self.own = threading.Semaphore(0)
        self.chores = Chores(
            self.runner,
            catalog.chore_runs,
            kits=lambda: self.kits,
            poll=30 * timedelta(seconds=1),
            for_all={"watch": self.own.release},
            table=(
                Chore(name="often", deed=self.deeds.often),
                Chore(name="seldom", deed=self.deeds.seldom, every=DAY, is_seldom=True),
            ),
            clock=lambda: self.clock,
        )
        self.chores.serve(servers)

    def pass_by(self, time: timedelta) -> list[str]:
        """What is done when so much time goes by, and everybody is ready again."""
        self.deeds.done.clear()
        self.clock += time.total_seconds()
        entries = self.chores._entries.items()
        due = {key: entry.begun + 1 for key, entry in entries if entry.due_at <= self.clock}
        self.chores.ring_due()
        assert all(self.chores.wait_for(*key, number, PATIENCE) for key, number in due.items())
        return sorted(self.deeds.done)

    def done(self, name: str, server: str) -> None:
        assert self.chores.wait_for(name, server, self.chores.ask(name, server), PATIENCE)


def kit(name: str, *, is_active: bool = True) -> Kit:
    """As much of a kit as these chores look at."""
    return cast("Kit", SimpleNamespace(name=name, is_active=is_active))


@pytest.fixture
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path_factory.mktemp("state") / "barmand.db")
    yield opened
    opened.close()


@pytest.fixture
def house_of(catalog: Catalog) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(*servers: str) -> House:
        made.append(House(catalog, *servers))
        return made[-1]

    yield make
    for house in made:
        house.chores.stop()
        house.runner.stop("the test is over")


def test_a_chore_comes_once_in_its_time_however_long_nobody_looked(
    house_of: Callable[..., House],
) -> None:
    house = house_of("main")
    assert house.pass_by(HOUR) == ["often main", "seldom main"]
    assert house.pass_by(MINUTE) == ["often main"]
    assert house.pass_by(timedelta(seconds=1)) == []
    assert house.pass_by(2 * DAY) == ["often main", "seldom main"]


def test_what_is_left_is_done_at_once(house_of: Callable[..., House]) -> None:
    house = house_of("main")
    house.deeds.left = 3
    number = house.chores.ask("often", "main")
    assert house.chores.wait_for("often", "main", number + 2, PATIENCE)
    assert house.deeds.done == ["often main"] * 3


def test_an_inactive_server_and_one_that_is_not_served_have_no_chores(
    house_of: Callable[..., House],
) -> None:
    house = house_of("main")
    house.kits["main"] = kit("main", is_active=False)
    house.done("often", "main")
    assert house.deeds.done == []
    house.chores.serve([])
    house.chores.ring("often", "main")
    assert house.chores.states("main") == []


def test_the_daemons_own_chores_come_too(house_of: Callable[..., House]) -> None:
    house = house_of()
    house.pass_by(MINUTE)
    assert house.own.acquire(timeout=PATIENCE)
    (state,) = house.chores.states(DAEMON)
    assert (state.chore, state.last and state.last.result) == ("watch", "done")


def test_how_each_run_went_is_told(house_of: Callable[..., House]) -> None:
    house = house_of("main")
    often, seldom = house.chores.states("main")
    assert (often.last, often.began, often.every) == (None, None, timedelta(seconds=30))
    assert local_now() <= often.next_due <= local_now() + often.every
    house.done("often", "main")
    house.deeds.failing = True
    house.done("seldom", "main")
    often, seldom = house.chores.states("main")
    assert often.last is not None
    assert (often.last.result, often.last.why) == ("done", None)
    assert seldom.last is not None
    assert (seldom.last.result, seldom.last.why) == ("failed", "the disk is gone")


def test_only_what_is_seldom_is_written_down(house_of: Callable[..., House]) -> None:
    house = house_of("main")
    house.done("often", "main")
    assert house.catalog.chore_runs.all() == {}
    house.done("seldom", "main")
    assert house.catalog.chore_runs.all().keys() == {("seldom", "main")}


def test_what_is_seldom_goes_on_where_the_daemons_last_life_left_off(
    house_of: Callable[..., House],
) -> None:
    house_of("main").done("seldom", "main")
    later = house_of("main")
    state = later.chores.states("main")[1]
    assert state.last is not None
    assert state.next_due > local_now() + DAY - HOUR
    assert later.pass_by(DAY - HOUR) == ["often main"]
    assert later.pass_by(HOUR) == ["often main", "seldom main"]


def test_what_was_overdue_when_the_daemon_starts_comes_soon(
    house_of: Callable[..., House], catalog: Catalog
) -> None:
    long_ago = ChoreRun(
        server="main", chore="seldom", began=NOW - 90 * DAY, seconds=1.5, result="done"
    )
    catalog.chore_runs.note(long_ago)
    assert "seldom main" in house_of("main").pass_by(OVERDUE_SPREAD)


def test_what_is_seldom_and_failed_is_tried_again_within_the_hour(
    house_of: Callable[..., House],
) -> None:
    house = house_of("main")
    house.deeds.failing = True
    house.done("seldom", "main")
    assert house.pass_by(HOUR) == ["often main", "seldom main"]


def test_what_a_shutdown_cuts_short_is_to_be_done_again(house_of: Callable[..., House]) -> None:
    house = house_of("main")
    held = house.deeds.hold["main"] = threading.Event()
    number = house.chores.ask("often", "main")
    house.runner.stopping.stop("the daemon ends")
    held.set()
    assert house.chores.wait_for("often", "main", number, PATIENCE)
    state = house.chores.states("main")[0]
    assert state.last is not None
    assert state.last.result == "stopped"


def test_a_reload_leaves_the_times_as_they_are(house_of: Callable[..., House]) -> None:
    house = house_of("main")
    house.pass_by(HOUR)
    house.chores.serve(["main", "other"])
    assert house.pass_by(timedelta(seconds=1)) == []


def test_it_lives_by_itself(house_of: Callable[..., House]) -> None:
    house = house_of("main")
    assert not house.chores.is_alive()
    house.clock = MINUTE.total_seconds()
    house.chores.start()
    assert house.chores.is_alive()
    assert house.chores.wait_for("often", "main", 1, PATIENCE)
    house.chores.stop()
    assert not house.chores.is_alive()


def test_the_chores_of_200_servers_are_spread(house_of: Callable[..., House]) -> None:
    house = house_of(*(f"server{number}" for number in range(200)))
    at_once = [
        sum(second <= entry.due_at < second + 1 for entry in house.chores._entries.values())
        for second in range(30)
    ]
    assert max(at_once) < 20
    assert sum(at_once) > 200


moments = st.integers(-(10**7), 10**7).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(st.text(max_size=5), st.integers(1, 10**6), st.none() | moments)
def test_the_first_wait_is_never_longer_than_the_period(
    server: str, seconds: int, last: datetime | None
) -> None:
    every = timedelta(seconds=seconds)
    wait = first_wait(("chore", server), every, last, NOW)
    assert timedelta() <= wait <= every
    if last is not None and last <= NOW:
        assert wait >= min(every - (NOW - last), every)
