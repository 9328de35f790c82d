"""Work that a chore does as a job: seen in `status`, and never twice at the same time."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from barmand.model.errors import Stopped
from barmand.service.job import Job, Key
from barmand.service.runner import Runner
from barmand.service.stopping import StopFlag

T = TypeVar("T")


def alone(runner: Runner, key: Key, work: Callable[[StopFlag], T]) -> T:
    """Do `work` in this thread; its result or its failure. Raises Refused, Stopped.

    It is given the job's own stop: the daemon's end sets that, and so does who cancels it.
    """
    job = runner.enlist(key)
    outcome: Future[T] = Future()

    def perform(job: Job) -> None:
        try:
            outcome.set_result(work(job.stop))
        except BaseException as error:  # noqa: BLE001 - it is raised again below, by the result
            outcome.set_exception(error)

    runner.perform(job, perform)
    if not outcome.done():
        raise Stopped(job.stop.reason)
    return outcome.result()
