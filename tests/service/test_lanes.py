"""Threads of chores: as few as do, as many as must be."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from barmand.model.turns import Places
from barmand.service import lanes
from barmand.service.lanes import Lanes

WAIT = 20


@pytest.fixture
def made() -> Iterator[list[Lanes]]:
    made: list[Lanes] = []
    yield made
    for each in made:
        each.close()


def lanes_with(made: list[Lanes], places: int = 4) -> Lanes:
    made.append(Lanes(lambda _name, work: work(), Places(places)))
    return made[-1]


def chore_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("chore ")]


def await_that(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def done_in(lanes: Lanes, name: str) -> threading.Thread:
    """Have a chore done: the thread that did it."""
    threads: list[threading.Thread] = []
    over = threading.Event()

    def work() -> None:
        threads.append(threading.current_thread())
        over.set()

    lanes.ring(name, work)
    assert over.wait(WAIT)
    assert lanes.wait_for_end(WAIT) == []
    return threads[0]


def test_chores_that_follow_one_another_share_a_thread(made: list[Lanes]) -> None:
    own = lanes_with(made)
    first = done_in(own, "archive one")
    await_that(lambda: own._idle == 1)
    second = done_in(own, "archive two")
    assert first is second
    assert second.name == "chore archive two"


def test_what_comes_while_all_are_busy_has_a_thread_of_its_own(
    made: list[Lanes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "MOST_IDLE", 2)
    own = lanes_with(made)
    done_in(own, "archive idle")
    await_that(lambda: own._idle == 1)
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        assert go_on.wait(WAIT)

    for name in ("archive a", "archive b", "archive c"):
        own.ring(name, hang)
    for _ in range(3):
        assert begun.acquire(timeout=WAIT)
    assert {"chore archive a", "chore archive b", "chore archive c"} <= set(chore_threads())
    go_on.set()
    assert own.wait_for_end(WAIT) == []
    await_that(lambda: own._idle == lanes.MOST_IDLE and len(chore_threads()) == lanes.MOST_IDLE)


def test_a_thread_for_which_nothing_comes_ends(
    made: list[Lanes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.05)
    thread = done_in(lanes_with(made), "archive one")
    thread.join(WAIT)
    assert not thread.is_alive()


def test_threads_without_a_chore_end_when_nothing_begins_any_more(made: list[Lanes]) -> None:
    own = lanes_with(made)
    thread = done_in(own, "archive one")
    own.close()
    thread.join(WAIT)
    assert not thread.is_alive()


def test_no_chore_is_lost_between_threads_that_give_up_and_come(
    made: list[Lanes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They give up at the very moments at which others are handed over."""
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.001)
    own = lanes_with(made, places=8)
    done: list[str] = []
    for number in range(400):
        own.ring(f"archive s{number}", lambda number=number: done.append(str(number)))  # type: ignore[misc]
        time.sleep(0.001 if number % 3 else 0)
    await_that(lambda: len(done) == 400)
    assert own.wait_for_end(WAIT) == []
