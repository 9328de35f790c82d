"""A chore's work as a job: it is seen, and nobody does the same meanwhile."""

from collections.abc import Iterator

import pytest

from barmand.model.errors import Refused, Stopped, StorageFailed
from barmand.model.queueing import Limits
from barmand.service.alone import alone
from barmand.service.job import Key
from barmand.service.runner import Runner
from barmand.service.stopping import StopFlag

KEY = Key("delete", "main", "20240501T023000")


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(Limits(2))
    yield made
    made.stop("the test is over")


def test_its_result_is_told_and_it_is_a_job_meanwhile(runner: Runner) -> None:
    assert alone(runner, KEY, lambda _stop: runner.has(KEY)) is True
    assert not runner.has(KEY)


def test_who_is_at_it_already_is_not_disturbed(runner: Runner) -> None:
    runner.enlist(KEY)
    with pytest.raises(Refused, match="is under way"):
        alone(runner, KEY, lambda _stop: pytest.fail("it was done twice"))


def test_its_failure_is_its_own(runner: Runner) -> None:
    def fail(_stop: StopFlag) -> None:
        raise StorageFailed("no space")

    with pytest.raises(StorageFailed, match="no space"):
        alone(runner, KEY, fail)
    assert not runner.has(KEY)


def test_withdrawn_before_it_began_it_is_stopped(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist = runner.enlist

    def enlist_and_withdraw(key: Key) -> object:
        job = enlist(key)
        runner.withdraw(key, "cancelled")
        return job

    monkeypatch.setattr(runner, "enlist", enlist_and_withdraw)
    with pytest.raises(Stopped, match="cancelled"):
        alone(runner, KEY, lambda _stop: pytest.fail("it was done"))


def test_who_cancels_it_stops_what_is_under_way(runner: Runner) -> None:
    def work(stop: StopFlag) -> None:
        assert runner.withdraw(KEY, "cancelled by dba") is False
        assert stop.is_set()
        raise Stopped(stop.reason)

    with pytest.raises(Stopped, match="cancelled by dba"):
        alone(runner, KEY, work)
