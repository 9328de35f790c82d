"""One pg_receivewal a server, kept alive: begun again after every end, until it is stopped."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from barmand.model.errors import PostgresFailed, Stopped, ToolFailed
from barmand.outside.clock import monotonic
from barmand.service.receivers import Pauses, Receivers, Receiving, Source, State
from barmand.service.stopping import StopFlag
from fakes import MB, segment_name, wal_segment
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


@dataclass(eq=False)
class FakeKeeper:
    """A PostgreSQL that has slots, or nobody there."""

    slots: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    is_silent: bool = False

    def slot(self, name: str) -> object | None:
        if self.is_silent:
            raise PostgresFailed("cannot reach main")
        return name if name in self.slots else None

    def create_slot(self, name: str) -> None:
        self.slots.append(name)
        self.made.append(name)


class Watched:
    """Receivers whose every change of the server `main` is kept."""

    def __init__(self, pauses: Pauses = SHORT) -> None:
        self.history: list[Receiving] = []
        self.pauses: list[float] = []
        self.receivers = Receivers(self._note, pauses)

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


def source(
    directory: Path,
    *behaviours: Behaviour,
    keeper: FakeKeeper | None = None,
    slot_name: str | None = None,
    makes_slot: bool = True,
) -> Source:
    return Source(
        server="main",
        program=FakeProgram(list(behaviours)),
        keeper=keeper or FakeKeeper(),
        slot_name=slot_name,
        makes_slot=makes_slot,
        directory=directory,
    )


def program_of(source: Source) -> FakeProgram:
    assert isinstance(source.program, FakeProgram)
    return source.program


# ------------------------------------------------------------------------------------------- state
def test_a_server_nobody_streams_from_has_no_state(watched: Watched) -> None:
    assert watched.receivers.state("main") is None
    assert not watched.receivers.is_streaming("main")


def test_a_receiver_that_runs_is_streaming(watched: Watched, tmp_path: Path) -> None:
    watched.receivers.serve({"main": source(tmp_path, stream)})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    assert watched.receivers.state("main") == Receiving(State.STREAMING)
    assert [each.state for each in watched.history] == [State.STARTING, State.STREAMING]


def test_a_receiver_that_broke_off_is_counted_told_and_begun_again(
    watched: Watched, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        watched.receivers.serve({"main": source(tmp_path, break_off, stream)})
        eventually(lambda: len(watched.history) > 4, PATIENCE)
    lost, pausing, _, again = watched.history[2:6]
    assert (lost.restarts, lost.last_error) == (1, "pg_receivewal: connection to server was lost")
    assert pausing.state is State.PAUSING
    assert pausing.attempt_at is not None
    assert (again.state, again.restarts, again.last_error) == (State.STREAMING, 1, None)
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert [line["error"] for line in warned] == ["pg_receivewal: connection to server was lost"]


def test_the_same_reason_at_each_attempt_is_told_once(watched: Watched, tmp_path: Path) -> None:
    keeper = FakeKeeper(is_silent=True)
    with capture_logs() as logs:
        watched.receivers.serve({"main": source(tmp_path, stream, keeper=keeper, slot_name="s")})
        eventually(lambda: len(watched.pauses) > 3, PATIENCE)
    assert [line["event"] for line in logs] == ["WAL streaming interrupted"]
    state = watched.receivers.state("main")
    assert state is not None
    assert state.restarts >= 3
    assert state.last_error == "cannot reach main"


def test_an_end_in_good_order_is_no_error(watched: Watched, tmp_path: Path) -> None:
    streams_from = source(tmp_path, end, end, stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: program_of(streams_from).runs == 3, PATIENCE)
    assert all(each.last_error is None for each in watched.history)


def test_a_fault_of_ours_does_not_end_the_receiver(watched: Watched, tmp_path: Path) -> None:
    streams_from = source(tmp_path, fail_by_our_fault, stream)
    with capture_logs() as logs:
        watched.receivers.serve({"main": streams_from})
        eventually(lambda: program_of(streams_from).runs == 2, PATIENCE)
    assert "receiver ended in a fault of barmand" in [line["event"] for line in logs]
    assert "a fault of barmand; its journal has the traceback" in [
        each.last_error for each in watched.history
    ]


def test_without_its_directory_nothing_is_streamed(watched: Watched, tmp_path: Path) -> None:
    directory = tmp_path / "mount" / "streaming"
    streams_from = source(directory, stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: watched.pauses, PATIENCE)
    state = watched.receivers.state("main")
    assert state is not None
    assert state.last_error == f"{directory} does not exist: is its file system mounted?"
    assert program_of(streams_from).runs == 0
    assert not directory.exists()
    directory.mkdir(parents=True)
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)


# ------------------------------------------------------------------------------------------ pauses
class Unreachable:
    """A server that answers nobody: no stream ever flows."""

    def slot(self, name: str) -> None:
        raise PostgresFailed(f"cannot ask for {name}")

    def create_slot(self, name: str) -> None:
        raise AssertionError(f"{name} was never asked for")


@pytest.mark.parametrize(
    ("has_slot", "steady", "expected"),
    [
        (False, 3600, [0.05, 0.1, 0.2, 0.2]),
        (False, 0, [0.05, 0.05, 0.05, 0.05]),
        (True, 3600, [0.05, 0.05, 0.05, 0.05]),
    ],
    ids=["they grow to the longest", "a long attempt begins anew", "a stream that flowed too"],
)
def test_the_pauses_between_attempts(
    tmp_path: Path, has_slot: bool, steady: float, expected: list[float]
) -> None:
    watched = Watched(Pauses(first=0.05, longest=0.2, steady=steady))
    broken = source(tmp_path, break_off)
    if not has_slot:
        broken = replace(broken, keeper=Unreachable(), slot_name="barmand", makes_slot=True)
    watched.receivers.serve({"main": broken})
    try:
        eventually(lambda: len(watched.pauses) >= len(expected), PATIENCE)
    finally:
        watched.receivers.stop("the test is over")
    assert watched.pauses[: len(expected)] == pytest.approx(expected, abs=0.045)


# ------------------------------------------------------------------------------------------- slots
def test_a_missing_slot_is_made_before_the_stream_begins(watched: Watched, tmp_path: Path) -> None:
    keeper = FakeKeeper()
    watched.receivers.serve({"main": source(tmp_path, stream, keeper=keeper, slot_name="barmand")})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    assert keeper.made == ["barmand"]


@pytest.mark.parametrize(
    ("slots", "slot_name", "makes_slot"),
    [(["barmand"], "barmand", True), ([], "barmand", False), ([], None, True)],
)
def test_no_slot_is_made_that_is_there_or_not_ours_to_make(
    watched: Watched, tmp_path: Path, slots: list[str], slot_name: str | None, makes_slot: bool
) -> None:
    keeper = FakeKeeper(slots)
    watched.receivers.serve(
        {
            "main": source(
                tmp_path, stream, keeper=keeper, slot_name=slot_name, makes_slot=makes_slot
            )
        }
    )
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    assert keeper.made == []


def test_a_slot_that_was_dropped_is_made_again(watched: Watched, tmp_path: Path) -> None:
    keeper = FakeKeeper()

    def lose_slot(_stop: StopFlag) -> None:
        keeper.slots.clear()
        raise ToolFailed("the slot was dropped")

    watched.receivers.serve(
        {"main": source(tmp_path, lose_slot, stream, keeper=keeper, slot_name="barmand")}
    )
    eventually(lambda: keeper.made == ["barmand", "barmand"], PATIENCE)


# ---------------------------------------------------------------------------------------- leftovers
def test_a_half_segment_without_wal_is_removed_before_the_stream_begins(
    watched: Watched, tmp_path: Path
) -> None:
    """pg_receivewal would refuse it for ever."""
    (tmp_path / f"{segment_name(1)}.partial").write_bytes(wal_segment(1))
    (tmp_path / f"{segment_name(2)}.partial").write_bytes(bytes(MB // 2))
    (tmp_path / "notes.partial").write_bytes(b"not ours")
    watched.receivers.serve({"main": source(tmp_path, stream)})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"{segment_name(1)}.partial", "notes.partial"]


# ------------------------------------------------------------------------------------ stop, reload
def test_stopping_waits_until_the_program_has_ended(watched: Watched, tmp_path: Path) -> None:
    streams_from = source(tmp_path, stream)
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


def test_stopping_does_not_wait_for_the_end_of_a_pause(tmp_path: Path) -> None:
    watched = Watched(Pauses(first=3600))
    watched.receivers.serve({"main": source(tmp_path, break_off)})
    eventually(lambda: watched.pauses, PATIENCE)
    begun = monotonic()
    watched.receivers.stop("the test is over")
    assert monotonic() - begun < PATIENCE


def test_a_reload_with_an_equal_source_leaves_its_receiver_alone(
    watched: Watched, tmp_path: Path
) -> None:
    streams_from = source(tmp_path, stream)
    watched.receivers.serve({"main": streams_from})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    watched.receivers.serve({"main": replace(streams_from)})
    program = program_of(streams_from)
    assert (program.runs, program.is_running) == (1, True)
    assert len(watched.history) == 2


def test_a_reload_with_another_source_ends_the_old_and_begins_the_new(
    watched: Watched, tmp_path: Path
) -> None:
    old = source(tmp_path, stream)
    new = replace(old, program=FakeProgram([stream]))
    watched.receivers.serve({"main": old})
    eventually(lambda: watched.receivers.is_streaming("main"), PATIENCE)
    watched.receivers.serve({"main": new})
    assert not program_of(old).is_running
    eventually(lambda: program_of(new).is_running, PATIENCE)
    stopped = program_of(old).last_stop
    assert stopped is not None
    assert stopped.reason == "its settings changed"


def test_a_reload_without_a_server_ends_its_receiver_and_no_other(
    watched: Watched, tmp_path: Path
) -> None:
    goes, stays = source(tmp_path, stream), replace(source(tmp_path, stream), server="other")
    watched.receivers.serve({"main": goes, "other": stays})
    eventually(lambda: program_of(goes).is_running and program_of(stays).is_running, PATIENCE)
    watched.receivers.serve({"other": stays})
    assert not program_of(goes).is_running
    assert program_of(stays).is_running
    assert watched.receivers.state("main") is None
