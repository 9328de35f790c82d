"""The one door through which work starts: once, apart, and never without an end."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from structlog.testing import capture_logs

from barmand.model.errors import Refused, Stopped, ToolFailed
from barmand.model.progress import Phase
from barmand.model.queueing import Limits
from barmand.model.turns import Places
from barmand.service import lanes
from barmand.service.job import Job, Key
from barmand.service.runner import Runner
from support.waiting import eventually

KEY = Key("backup", "main", "20240501T023000")
OTHER = Key("backup", "other", "20240501T023000")
PATIENCE = 10


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(Limits(2))
    yield made
    made.stop("the test is over")


class Gate:
    """Work that tells when it began, and ends when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.times = 0

    def __call__(self, _job: Job | None = None) -> None:
        self.times += 1
        self.begun.set()
        assert self.let_go.wait(PATIENCE)

    def wait(self) -> None:
        assert self.begun.wait(PATIENCE)


@pytest.fixture
def gates() -> Iterator[Callable[[], Gate]]:
    """Gates that are all open at the end, so that no thread stays behind one."""
    made: list[Gate] = []

    def make() -> Gate:
        made.append(Gate())
        return made[-1]

    yield make
    for gate in made:
        gate.let_go.set()


def queue(
    runner: Runner, job: Job, work: Callable[[Job], None], host: str = "db1", request: str = ""
) -> None:
    runner.queue(job, work, host=host, request=request or job.key.server)


def begin(runner: Runner, key: Key, work: Callable[[Job], None]) -> Job:
    job = runner.enlist(key)
    queue(runner, job, work)
    return job


# -------------------------------------------------------------------------------------------- jobs
def test_a_job_is_there_from_queueing_to_its_end(runner: Runner, gates: Callable[[], Gate]) -> None:
    gate = gates()
    assert not runner.has(KEY)
    begin(runner, KEY, gate)
    gate.wait()
    assert runner.has(KEY)
    gate.let_go.set()
    runner.wait_for_end(KEY, PATIENCE)
    assert not runner.has(KEY)


def test_the_same_job_twice_is_refused(runner: Runner) -> None:
    runner.enlist(KEY)
    with pytest.raises(Refused, match="a backup of 20240501T023000 of main is under way"):
        runner.enlist(KEY)
    runner.enlist(OTHER)


def test_a_job_that_has_ended_may_come_again(runner: Runner) -> None:
    for _ in range(2):
        begin(runner, KEY, lambda _: None)
        runner.wait_for_end(KEY, PATIENCE)


def test_jobs_of_several_servers_run_at_once(runner: Runner, gates: Callable[[], Gate]) -> None:
    one, two = gates(), gates()
    begin(runner, KEY, one)
    begin(runner, OTHER, two)
    one.wait()
    two.wait()


def test_waiting_for_an_end_has_an_end(runner: Runner) -> None:
    runner.enlist(KEY)
    runner.wait_for_end(KEY, 0.01)
    assert runner.has(KEY)


def test_the_log_of_a_job_says_whose_it_is(runner: Runner) -> None:
    told: list[dict[str, object]] = []
    begin(runner, KEY, lambda _: told.append(structlog.contextvars.get_contextvars()))
    runner.wait_for_end(KEY, PATIENCE)
    assert told == [{"server": "main", "backup_id": KEY.backup_id, "job": "backup"}]
    assert structlog.contextvars.get_contextvars() == {}


# ---------------------------------------------------------------------------------------- withdraw
def test_a_job_withdrawn_before_it_began_never_begins(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    never = gates()
    job = runner.enlist(KEY)
    assert runner.withdraw(KEY, "cancelled by alice") is True
    assert not runner.has(KEY)
    assert job.stop.reason == "cancelled by alice"
    queue(runner, job, never)
    begin(runner, OTHER, lambda _: None)
    runner.wait_for_end(OTHER, PATIENCE)
    assert never.times == 0


def test_a_job_that_has_begun_is_told_to_stop(runner: Runner, gates: Callable[[], Gate]) -> None:
    gate = gates()
    job = begin(runner, KEY, gate)
    gate.wait()
    assert runner.withdraw(KEY, "cancelled by alice") is False
    assert job.stop.is_set()
    assert job.stop.reason == "cancelled by alice"
    assert runner.has(KEY)


def test_what_is_not_there_cannot_be_withdrawn(runner: Runner) -> None:
    assert runner.withdraw(KEY, "cancelled") is None


def test_a_withdrawn_job_makes_room_and_does_not_end_its_successor(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    gate = gates()
    withdrawn = runner.enlist(KEY)
    runner.withdraw(KEY, "cancelled")
    begin(runner, KEY, gate)
    gate.wait()
    runner.perform(withdrawn, gate)
    assert runner.has(KEY)
    assert gate.times == 1


# ---------------------------------------------------------------------------------------- failures
def failing(error: Exception) -> Callable[[Job], None]:
    def work(_job: Job) -> None:
        raise error

    return work


def test_a_failure_of_a_job_ends_at_the_boundary(runner: Runner) -> None:
    with capture_logs() as logs:
        begin(runner, KEY, failing(ToolFailed("pg_basebackup failed")))
        runner.wait_for_end(KEY, PATIENCE)
    assert not runner.has(KEY)
    (line,) = logs
    assert (line["log_level"], line["code"]) == ("debug", "ToolFailed")


def test_a_fault_of_ours_is_told_with_its_traceback_and_the_next_job_runs(runner: Runner) -> None:
    done = threading.Event()
    with capture_logs() as logs:
        begin(runner, KEY, failing(ZeroDivisionError("a bug")))
        runner.wait_for_end(KEY, PATIENCE)
    (line,) = logs
    assert (line["log_level"], line["exc_info"]) == ("error", True)
    begin(runner, KEY, lambda _: done.set())
    assert done.wait(PATIENCE)


def test_a_fault_of_a_chore_does_not_end_the_chores(runner: Runner) -> None:
    done = threading.Event()

    def chore() -> None:
        raise ToolFailed("no")

    with capture_logs() as logs:
        for number in range(Places().count + 1):
            runner.ring(f"archive {number}", chore)
        runner.ring("archive main", done.set)
        assert done.wait(PATIENCE)
    assert {line["event"] for line in logs} == {"chore failed"}


# ------------------------------------------------------------------------------------------ chores
def test_a_chore_asked_for_often_is_done_once_and_once_more_at_most(runner: Runner) -> None:
    behind, times = threading.Event(), []
    for _ in range(50):
        runner.ring("archive main", lambda: times.append(1))
    runner.ring("archive other", behind.set)
    assert behind.wait(PATIENCE)
    runner.stop("done")
    assert 1 <= len(times) <= 50


def test_chores_that_hang_take_no_place_from_other_servers(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    hung = [gates() for _ in range(3 * Places().count)]
    for number, gate in enumerate(hung):
        runner.ring(f"archive dead{number}", gate)
        runner.ring(f"prune dead{number}", gate)
    done = [threading.Event() for _ in range(20)]
    for number, event in enumerate(done):
        runner.ring(f"archive alive{number}", event.set)
    for event in done:
        assert event.wait(3 * PATIENCE)
    for gate in hung:
        gate.wait()


def test_a_job_apart_never_waits_for_chores(runner: Runner, gates: Callable[[], Gate]) -> None:
    for number in range(3 * Places().count):
        runner.ring(f"archive {number}", gates())
    done = [threading.Event() for _ in range(5)]
    for number, event in enumerate(done):
        deletion = runner.enlist(Key("delete", "main", str(number)))
        runner.apart(deletion, lambda _, event=event: event.set())
    for event in done:
        assert event.wait(PATIENCE)


def test_threads_of_chores_end_with_them_but_for_a_few(runner: Runner) -> None:
    before = threading.active_count()
    done = [threading.Event() for _ in range(200)]
    for number, event in enumerate(done):
        runner.ring(f"archive {number}", event.set)
    for event in done:
        assert event.wait(PATIENCE)
    eventually(lambda: threading.active_count() <= before + 1 + lanes.MOST_IDLE)


def test_a_chore_asked_for_while_it_runs_is_done_once_more(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    chore, second = gates(), threading.Event()

    def work() -> None:
        if chore.times == 1:
            second.set()
        chore()

    runner.ring("archive main", work)
    chore.wait()
    for _ in range(5):
        runner.ring("archive main", work)
    assert not second.is_set()
    chore.let_go.set()
    assert second.wait(PATIENCE)
    runner.stop("done")
    assert chore.times == 2


def test_one_chore_of_a_name_runs_at_a_time(runner: Runner) -> None:
    at_once, most, times = 0, 0, 0
    lock, enough = threading.Lock(), threading.Event()

    def chore() -> None:
        nonlocal at_once, most, times
        with lock:
            at_once += 1
            most = max(most, at_once)
        with lock:
            at_once -= 1
            times += 1
        if times >= 3:
            enough.set()

    def ring_often() -> None:
        while not enough.is_set():
            runner.ring("archive main", chore)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ring_often)
        assert enough.wait(PATIENCE)
    assert most == 1


def test_chores_never_queue_behind_copies(runner: Runner, gates: Callable[[], Gate]) -> None:
    for key in (KEY, OTHER):
        copy = gates()
        begin(runner, key, copy)
        copy.wait()
    archived = threading.Event()
    runner.ring("archive main", archived.set)
    assert archived.wait(PATIENCE)


def test_a_job_can_be_performed_beside_the_copies(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    for key in (KEY, OTHER):
        copy = gates()
        begin(runner, key, copy)
        copy.wait()
    deletion = Key("delete", "main", "20240101T000000")
    done = threading.Event()
    runner.apart(runner.enlist(deletion), lambda _: done.set())
    assert done.wait(PATIENCE)


def test_the_log_of_a_chore_says_whose_it_is(runner: Runner) -> None:
    told: list[dict[str, object]] = []
    done = threading.Event()

    def chore() -> None:
        told.append(structlog.contextvars.get_contextvars())
        done.set()

    runner.ring("archive main", chore)
    assert done.wait(PATIENCE)
    assert told == [{"server": "main", "job": "archive main"}]


# ---------------------------------------------------------------------------------------- progress
def test_progress_is_queued_until_told_and_gone_with_the_job(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    gate = gates()
    job = runner.enlist(KEY)
    queued = runner.progress(KEY)
    assert queued is not None
    assert queued.phase is Phase.QUEUED
    assert runner.all_progress() == []
    queue(runner, job, gate)
    gate.wait()
    runner.reporter(job)(Phase.COPYING, 5, 10)
    ((key, progress),) = runner.all_progress()
    assert (key, progress) == (KEY, runner.progress(KEY))
    assert (progress.phase, progress.bytes_done, progress.bytes_total) == (Phase.COPYING, 5, 10)
    gate.let_go.set()
    runner.wait_for_end(KEY, PATIENCE)
    assert runner.progress(KEY) is None


def test_elapsed_time_counts_within_the_phase(runner: Runner) -> None:
    job = runner.enlist(KEY)
    report = runner.reporter(job)
    report(Phase.COPYING, 1, 10)
    assert job.progress.elapsed == 0
    report(Phase.COPYING, 2, 10)
    assert job.progress.elapsed > 0
    report(Phase.SYNCING, None, None)
    assert job.progress.elapsed == 0


# -------------------------------------------------------------------------------------------- stop
def test_stopping_stops_what_runs_with_the_reason_and_waits_for_its_end(runner: Runner) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        begun.set()
        assert job.stop.wait(PATIENCE)
        assert job.stop.reason == "shut down"
        ended.set()

    begin(runner, KEY, work)
    assert begun.wait(PATIENCE)
    runner.stop("shut down")
    assert ended.is_set()
    assert not runner.has(KEY)


def test_work_that_still_waits_for_a_worker_is_performed_with_its_stop_set(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    wall = [gates(), gates()]
    for key, gate in zip((KEY, OTHER), wall, strict=True):
        begin(runner, key, gate)
        gate.wait()
    reasons: list[str] = []
    begin(runner, Key("backup", "third", "x"), lambda job: reasons.append(job.stop.reason))
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(runner.stop, "shut down")
        assert runner.stopping.wait(PATIENCE)
        for gate in wall:
            gate.let_go.set()
        stopping.result(PATIENCE)
    assert reasons == ["shut down"]


def test_nobody_waits_for_ever_for_a_job_that_a_stop_kept_from_beginning(runner: Runner) -> None:
    runner.enlist(KEY)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(runner.wait_for_end, KEY, 60)
        runner.stop("shut down")
        waiting.result(PATIENCE)
    assert not runner.has(KEY)


def test_a_stop_leaves_behind_what_does_not_end(
    runner: Runner, gates: Callable[[], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barmand.service.runner.STOP_SECONDS", 0.1)
    hung, deletion = gates(), gates()
    runner.ring("archive main", hung)
    runner.apart(runner.enlist(KEY), deletion)
    hung.wait()
    deletion.wait()
    with capture_logs() as logs:
        runner.stop("shut down")
    assert runner.has_left_work_behind
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["work"] == ["archive main", "backup main 20240501T023000"]


def test_a_stop_leaves_behind_also_what_waited_and_hangs_when_it_is_to_end(
    gates: Callable[[], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verification of a backup whose disk does not answer, say: another one hangs before it."""
    monkeypatch.setattr("barmand.service.runner.STOP_SECONDS", 0.1)
    runner, hung, next_one = Runner(Limits(1)), gates(), gates()
    for key, gate in ((KEY, hung), (Key("verification", "main", "20240502T023000"), next_one)):
        runner.queue_reading(runner.enlist(key), gate)
    hung.wait()
    with capture_logs():
        runner.stop("shut down")
    assert next_one.begun.is_set()
    assert runner.has_left_work_behind


def test_nothing_new_begins_after_a_stop(runner: Runner, gates: Callable[[], Gate]) -> None:
    never = gates()
    runner.stop("shut down")
    runner.ring("archive main", never)
    job = runner.enlist(KEY)
    assert job.stop.reason == "shut down"
    with pytest.raises(Stopped, match="shut down"):
        runner.apart(job, never)
    assert never.times == 0


def test_a_chore_asked_for_again_while_stopping_is_not_done_again(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    chore = gates()
    runner.ring("archive main", chore)
    chore.wait()
    runner.ring("archive main", chore)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(runner.stop, "shut down")
        assert runner.stopping.wait(PATIENCE)
        chore.let_go.set()
        stopping.result(PATIENCE)
    assert chore.times == 1


# ------------------------------------------------------------------------------------------- queue
def keys(*servers: str) -> list[Key]:
    return [Key("backup", server, "20240501T023000") for server in servers]


def test_as_many_run_as_the_limit_allows_and_the_next_begins_when_one_ends(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    made = [gates() for _ in range(3)]
    for key, gate in zip(keys("a", "b", "c"), made, strict=True):
        begin(runner, key, gate)
    made[0].wait()
    made[1].wait()
    (third,) = keys("c")
    queued = runner.progress(third)
    assert queued is not None
    assert queued.place is not None
    assert (queued.place.position, queued.place.count) == (1, 1)
    assert queued.place.waits_for == "waits for a place (max_parallel_backups = 2)"
    assert not made[2].begun.is_set()
    made[0].let_go.set()
    made[2].wait()
    begun = runner.progress(third)
    assert begun is not None
    assert begun.place is None


def test_the_places_of_one_answer_are_those_of_one_queue(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    for key in keys("a", "b", "c", "d", "e"):
        begin(runner, key, gates())
    is_over = threading.Event()

    def come_and_go() -> None:
        (key,) = keys("restless")
        while not is_over.is_set():
            begin(runner, key, gates())
            runner.withdraw(key, "it was too long")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            told = runner.moment().values()
            places = [each.place for each in told if each.place is not None]
            assert sorted(place.position for place in places) == list(range(1, len(places) + 1))
            assert {place.count for place in places} == {len(places)}
    finally:
        is_over.set()
        thread.join()


def test_a_limit_that_is_raised_lets_the_next_begin(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    made = [gates() for _ in range(4)]
    for key, gate in zip(keys("a", "b", "c", "d"), made, strict=True):
        begin(runner, key, gate)
    runner.limit(Limits(3))
    made[2].wait()
    assert not made[3].begun.is_set()


def test_a_full_host_lets_others_pass(runner: Runner, gates: Callable[[], Gate]) -> None:
    runner.limit(Limits(2, per_host=1))
    made = [gates() for _ in range(3)]
    names = keys("a", "b", "c")
    for key, gate, host in zip(names, made, ("db1", "db1", "db2"), strict=True):
        queue(runner, runner.enlist(key), gate, host)
    made[0].wait()
    made[2].wait()
    assert not made[1].begun.is_set()
    made[0].let_go.set()
    made[1].wait()


def test_a_storm_of_cancels_leaves_nothing_and_loses_no_place(
    runner: Runner, gates: Callable[[], Gate]
) -> None:
    wall = [gates(), gates()]
    for key, gate in zip(keys("a", "b"), wall, strict=True):
        begin(runner, key, gate)
        gate.wait()
    storm = keys(*(f"s{number}" for number in range(100)))
    never = gates()
    for key in storm:
        begin(runner, key, never)
    with ThreadPoolExecutor(8) as pool:
        withdrawn = list(pool.map(lambda key: runner.withdraw(key, "cancelled"), storm * 2))
    assert withdrawn.count(True) == len(storm)
    assert withdrawn.count(None) == len(storm)
    for gate in wall:
        gate.let_go.set()
    after = gates()
    begin(runner, KEY, after)
    after.wait()
    assert never.times == 0


def test_every_job_of_many_is_performed_once_whatever_the_limit_does_meanwhile(
    runner: Runner,
) -> None:
    done: list[str] = []
    many = keys(*(f"s{number}" for number in range(200)))
    for number, key in enumerate(many):
        begin(runner, key, lambda job: done.append(job.key.server))
        if number % 20 == 0:
            runner.limit(Limits(1 + number % 7, per_host=2))
    for key in many:
        runner.wait_for_end(key, PATIENCE)
    assert sorted(done) == sorted(key.server for key in many)


# ------------------------------------------------------------------------------------------- hooks
class Hooked:
    """A backup whose hooks hang until they are let go, before it and after it."""

    def __init__(self, runner: Runner, gates: Callable[[], Gate]) -> None:
        self.runner = runner
        self.before, self.copying, self.after = gates(), gates(), gates()

    def __call__(self, job: Job) -> None:
        report = self.runner.reporter(job)
        report(Phase.AGREEING, None, None)
        self.before()
        report(Phase.CHECKPOINT, None, None)
        self.copying()
        report(Phase.HOOKS, None, None)
        self.after()


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """One place for backups, which hooks give up at once."""
    monkeypatch.setattr("barmand.service.runner.HOOKS_PATIENCE_SECONDS", 0.01)
    made = Runner(Limits(1))
    yield made
    made.stop("the test is over")


def test_hooks_that_hang_before_a_backup_give_its_place_to_another(
    single: Runner, gates: Callable[[], Gate]
) -> None:
    hooked, other, third = Hooked(single, gates), gates(), gates()
    begin(single, KEY, hooked)
    hooked.before.wait()
    begin(single, OTHER, other)
    other.wait()
    begin(single, Key("backup", "third", "20240501T023000"), third)
    hooked.before.let_go.set()
    eventually(lambda: (told := single.progress(KEY)) and told.phase is Phase.QUEUED)
    assert not hooked.copying.begun.is_set()
    other.let_go.set()
    hooked.copying.wait()  # before the third, which has not begun yet
    assert not third.begun.is_set()
    hooked.copying.let_go.set()
    third.wait()
    hooked.after.wait()  # both at once: hooks after a backup need no place
    third.let_go.set()
    hooked.after.let_go.set()
    eventually(lambda: not single.has(KEY))


def test_who_waits_for_its_place_can_be_stopped(single: Runner, gates: Callable[[], Gate]) -> None:
    hooked, other = Hooked(single, gates), gates()
    begin(single, KEY, hooked)
    hooked.before.wait()
    begin(single, OTHER, other)
    other.wait()
    hooked.before.let_go.set()
    eventually(lambda: (told := single.progress(KEY)) and told.phase is Phase.QUEUED)
    assert single.withdraw(KEY, "cancelled") is False
    hooked.copying.wait()
    hooked.copying.let_go.set()
    hooked.after.let_go.set()
    eventually(lambda: not single.has(KEY))
    other.let_go.set()
    third = gates()
    begin(single, KEY, third)
    third.wait()


def test_quick_hooks_keep_their_place(gates: Callable[[], Gate]) -> None:
    runner = Runner(Limits(1))
    hooked, other = Hooked(runner, gates), gates()
    begin(runner, KEY, hooked)
    hooked.before.wait()
    begin(runner, OTHER, other)
    hooked.before.let_go.set()
    hooked.copying.wait()
    assert not other.begun.is_set()
    hooked.copying.let_go.set()
    other.wait()
    hooked.after.let_go.set()
    other.let_go.set()
    runner.stop("done")


def test_hooks_that_end_as_their_time_is_over_keep_their_place(gates: Callable[[], Gate]) -> None:
    """The clock rings, and before it is heard the copy has begun."""
    runner, copying, other = Runner(Limits(1)), gates(), gates()

    def work(job: Job) -> None:
        report = runner.reporter(job)
        report(Phase.AGREEING, None, None)
        timer = job.patience
        assert timer is not None
        report(Phase.CHECKPOINT, None, None)
        timer.function(*timer.args)
        copying()

    begin(runner, KEY, work)
    copying.wait()
    begin(runner, OTHER, other)
    assert not other.begun.is_set()
    copying.let_go.set()
    other.wait()
    other.let_go.set()
    runner.stop("done")
