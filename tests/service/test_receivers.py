"""One pg_receivewal a server, kept alive: begun again after every end, until it is stopped."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from structlog.testing import capture_logs

from barmand.model.errors import Refused, Stopped, ToolFailed
from barmand.outside.clock import monotonic
from barmand.service.receivers import Pauses, Receivers, Receiving, Source, State
from barmand.service.stopping import StopFlag
from support.waiting import eventually

SHORT = Pauses(first=0.01, longest=0.04, steady=3600)
PATIENCE = 10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The threads log between the phases of a test too, past pytest's capture."""
    with capture_logs():
        yield


Behaviour = Callable[[StopFlag], None]


def stream(stop: StopFlag) -> None:
    """As pg_receivewal does while all is well."""
    assert stop.wait(PATIENCE)
    raise Stopped("pg_receivewal was stopped")


def end(_stop: StopFlag) -> None:
    """As pg_receivewal does when the server goes away in good order."""


def break_off(_stop: StopFlag) -> None:
    raise ToolFailed("pg_receivewal: connection to server was lost")


def fail_by_our_fault(_stop: StopFlag) -> None:
    raise ZeroDivisionError("a bug")


@dataclass(eq=False)
class FakeProgram:
    """Behaves as told at each run in turn; the last way it keeps."""

    behaviours: list[Behaviour]
    runs: int = 0
    last_stop: StopFlag | None = None
    is_running: bool = False

    def receive(self, *, stop: StopFlag, on_start: Callable[[], None]) -> None:
        behave = self.behaviours[min(self.runs, len(self.behaviours) - 1)]
        self.runs += 1
        self.last_stop = stop
        self.is_running = True
        try:
            on_start()
            behave(stop)
        finally:
            self.is_running = False


class Watched:
    """Receivers whose every change of the server `main` is kept."""

    def __init__(
        self, pauses: Pauses = SHORT, is_held: Callable[[str], bool] = lambda _server: False
    ) -> None:
        self.history: list[Receiving] = []
        self.pauses: list[float] = []
        self.receivers = Receivers(self._note, pauses, is_held)

    def _note(self) -> None:
        state = self.receivers.state("main")
        if state is None:
            return
        self.history.append(state)
        if state.state is State.PAUSING and state.attempt_at is not None:
            self.pauses.append(state.attempt_at - monotonic())


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.receivers.stop("the test is over")


def source(*behaviours: Behaviour, slot_name: str | None = None) -> Source:
    return Source("main", FakeProgram(list(behaviours)), slot_name)


def program_of(source: Source) -> FakeProgram:
    assert isinstance(source.program, FakeProgram)
    return source.program


# ------------------------------------------------------------------------------------------- state
def test_a_server_nobody_streams_from_has_no_state(watched: Watched) -> None:
    assert watched.receivers.state("main") is None
    assert not watched.receivers.is_streaming("main")


def test_a_receiver_that_runs_is_streaming(watched: Watched) -> None:
    watched.receivers.serve({"main": source(stream)})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    assert watched.receivers.state("main") == Receiving(State.STREAMING)
    assert [each.state for each in watched.history] == [State.STARTING, State.STREAMING]


def test_a_receiver_that_broke_off_is_counted_told_and_begun_again(watched: Watched) -> None:
    with capture_logs() as logs:
        watched.receivers.serve({"main": source(break_off, stream)})
        eventually(lambda: len(watched.history) > 4, PATIENCE)
    lost, pausing, _, again = watched.history[2:6]
    assert (lost.restarts, lost.last_error) == (1, "pg_receivewal: connection to server was lost")
    assert pausing.state is State.PAUSING
    assert pausing.attempt_at is not None
    assert (again.state, again.restarts, again.last_error) == (State.STREAMING, 1, None)
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert [line["error"] for line in warned] == ["pg_receivewal: connection to server was lost"]


def test_the_same_reason_at_each_attempt_is_told_once(watched: Watched) -> None:
    with capture_logs() as logs:
        watched.receivers.serve({"main": source(break_off)})
        eventually(lambda: len(watched.pauses) > 3, PATIENCE)
    told = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert told == ["WAL streaming interrupted"]
    state = watched.receivers.state("main")
    assert state is not None
    assert state.restarts >= 3


def test_an_end_in_good_order_is_no_error(watched: Watched) -> None:
    streams_from = source(end, end, stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: program_of(streams_from).runs == 3, PATIENCE)
    assert all(each.last_error is None for each in watched.history)


def test_a_fault_of_ours_does_not_end_the_receiver(watched: Watched) -> None:
    streams_from = source(fail_by_our_fault, stream)
    with capture_logs() as logs:
        watched.receivers.serve({"main": streams_from})
        eventually(lambda: program_of(streams_from).runs == 2, PATIENCE)
    assert "receiver ended in a fault of barmand" in [line["event"] for line in logs]
    assert "a fault of barmand; its journal has the traceback" in [
        each.last_error for each in watched.history
    ]


# ------------------------------------------------------------------------------------------ pauses
@pytest.mark.parametrize(
    ("steady", "expected"),
    [(3600, [0.05, 0.1, 0.2, 0.2]), (0, [0.05, 0.05, 0.05, 0.05])],
    ids=["they grow to the longest, also when it said it begins", "one that held begins anew"],
)
def test_the_pauses_between_attempts(steady: float, expected: list[float]) -> None:
    watched = Watched(Pauses(first=0.05, longest=0.2, steady=steady))
    watched.receivers.serve({"main": source(break_off)})
    try:
        eventually(lambda: len(watched.pauses) >= len(expected), PATIENCE)
    finally:
        watched.receivers.stop("the test is over")
    assert watched.pauses[: len(expected)] == pytest.approx(expected, abs=0.045)


# -------------------------------------------------------------------------------------------- held
def test_a_held_receiver_ends_and_stays_ended_over_a_reload_until_it_is_let_go() -> None:
    held = {"main"}
    watched = Watched(is_held=held.__contains__)
    streams_from = source(stream)
    try:
        held.clear()
        watched.receivers.serve({"main": streams_from})
        eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
        held.add("main")
        watched.receivers.hold("main", "an operator stopped it")
        watched.receivers.serve({"main": replace(streams_from, slot_name="another")})
        assert not program_of(streams_from).is_running
        assert not watched.receivers.is_running("main")
        held.clear()
        watched.receivers.resume("main")
        eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    finally:
        watched.receivers.stop("the test is over")


def test_nothing_is_received_while_a_server_is_paused(watched: Watched) -> None:
    streams_from = source(stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    with watched.receivers.paused("main", "its stream is reset"):
        assert not program_of(streams_from).is_running
    eventually(lambda: program_of(streams_from).is_running, PATIENCE)


# ------------------------------------------------------------------------------------ stop, reload
def test_stopping_waits_until_the_program_has_ended(watched: Watched) -> None:
    streams_from = source(stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    watched.receivers.stop("barmand was shut down")
    program = program_of(streams_from)
    assert not program.is_running
    assert program.last_stop is not None
    assert program.last_stop.reason == "barmand was shut down"
    assert watched.history[-1].state is State.STOPPED
    assert watched.receivers.state("main") is None
    assert "receiver main" not in [thread.name for thread in threading.enumerate()]


def test_stopping_does_not_wait_for_the_end_of_a_pause() -> None:
    watched = Watched(Pauses(first=3600))
    watched.receivers.serve({"main": source(break_off)})
    eventually(lambda: watched.pauses, PATIENCE)
    begun = monotonic()
    watched.receivers.stop("the test is over")
    assert monotonic() - begun < PATIENCE


def test_a_reload_with_an_equal_source_leaves_its_receiver_alone(watched: Watched) -> None:
    streams_from = source(stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    watched.receivers.serve({"main": replace(streams_from)})
    program = program_of(streams_from)
    assert (program.runs, program.is_running) == (1, True)
    assert len(watched.history) == 2


def test_a_reload_with_another_source_ends_the_old_and_begins_the_new(watched: Watched) -> None:
    old = source(stream)
    new = replace(old, program=FakeProgram([stream]))
    watched.receivers.serve({"main": old})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    watched.receivers.serve({"main": new})
    assert not program_of(old).is_running
    eventually(lambda: program_of(new).is_running, PATIENCE)
    stopped = program_of(old).last_stop
    assert stopped is not None
    assert stopped.reason == "its settings changed"


def test_a_reload_without_a_server_ends_its_receiver_and_no_other(watched: Watched) -> None:
    goes, stays = source(stream), replace(source(stream), server="other")
    watched.receivers.serve({"main": goes, "other": stays})
    eventually(lambda: program_of(goes).is_running and program_of(stays).is_running, PATIENCE)
    watched.receivers.serve({"other": stays})
    assert not program_of(goes).is_running
    assert program_of(stays).is_running
    assert watched.receivers.state("main") is None


# ------------------------------------------------------------------------------------------- hangs
def test_one_that_hangs_holds_up_nobody_and_its_successor_waits_for_its_end(
    monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr("barmand.service.receivers.END_SECONDS", 0.05)
    monkeypatch.setattr("barmand.service.receivers.LOOK_SECONDS", 0.01)
    may_end = threading.Event()

    def hang(_stop: StopFlag) -> None:
        assert may_end.wait(PATIENCE)
        raise ToolFailed("the disk is back, and says what it had to say")

    receivers, first, second = watched.receivers, source(hang), source(stream)
    receivers.serve({"main": first})
    eventually(lambda: receivers.is_streaming("main"), PATIENCE)
    with capture_logs() as logs:
        receivers.serve({"main": second})
    assert "receiver does not end, and is left behind" in [line["event"] for line in logs]
    assert receivers.has_left_work_behind
    with pytest.raises(Refused, match="does not end"), receivers.paused("main", "reset"):
        pytest.fail("two would write into one folder")
    assert program_of(second).runs == 0
    may_end.set()
    eventually(lambda: receivers.is_streaming("main"), PATIENCE)
    assert program_of(second).is_running
    assert not receivers.has_left_work_behind
    assert receivers.state("main") == Receiving(State.STREAMING)  # what the first said is not ours


def test_what_hangs_does_not_keep_the_daemon_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barmand.service.receivers.END_SECONDS", 0.05)
    may_end = threading.Event()

    def hang(_stop: StopFlag) -> None:
        assert may_end.wait(PATIENCE)

    receivers = Receivers(lambda: None, SHORT)
    receivers.serve({"main": source(hang)})
    eventually(lambda: receivers.is_streaming("main"), PATIENCE)
    receivers.stop("barmand was shut down")
    assert receivers.has_left_work_behind
    assert receivers.state("main") is None
    may_end.set()
    eventually(lambda: not receivers.has_left_work_behind, PATIENCE)
    assert receivers.state("main") is None
