"""Several workers on one queue of loads: the first failure stops them all."""

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from barmand.model.backup import Damage, Doubt
from barmand.model.errors import Stopped
from barmand.model.progress import Phase
from barmand.outside.rsync_limits import Halting
from barmand.outside.rsync_trees import Load

_POLL_SECONDS = 0.5

Report = Callable[[Phase, int | None, int | None], None]
"""Told the phase, the bytes copied and the bytes expected."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Set by a stop, or when another worker has failed."""

    stop: Halting
    failed: threading.Event = field(default_factory=threading.Event)

    @property
    def reason(self) -> str:
        return self.stop.reason

    def is_set(self) -> bool:
        return self.stop.is_set() or self.failed.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """In steps: a stop may be set by more than what it waits for."""
        left = float("inf") if timeout is None else timeout
        while left > 0 and not self.is_set():
            self.stop.wait(min(left, _POLL_SECONDS))
            left -= _POLL_SECONDS
        return self.is_set()


class Progress:
    """The bytes of all workers."""

    def __init__(self, total: int, report: Report) -> None:
        self._total = total
        self._report = report
        self._done = 0
        self._lock = threading.Lock()
        self.add(0)

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._report(Phase.COPYING, self._done, max(self._done, self._total))


def spread(
    loads: Sequence[Load], jobs: int, fetch: Callable[[Load], list[Damage | Doubt]], halt: Halt
) -> list[Damage | Doubt]:
    """Raises what the first worker that failed has raised; Stopped if all was stopped."""
    queue, lock = iter(loads), threading.Lock()
    failures: list[BaseException] = []

    def work() -> list[Damage | Doubt]:
        try:
            return [each for load in _shared(queue, lock, halt) for each in fetch(load)]
        except BaseException as error:
            failures.append(error)
            halt.failed.set()
            raise

    with ThreadPoolExecutor(jobs, thread_name_prefix="rsync") as pool:
        workers = [pool.submit(contextvars.copy_context().run, work) for _ in range(jobs)]
    if halt.stop.is_set():
        raise Stopped(halt.reason)
    if failures:
        raise failures[0]
    return [each for worker in workers for each in worker.result()]


def _shared(queue: Iterator[Load], lock: threading.Lock, halt: Halt) -> Iterator[Load]:
    """The next load for whoever asks first."""
    while not halt.is_set():
        with lock:
            load = next(queue, None)
        if load is None:
            return
        yield load
