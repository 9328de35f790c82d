"""The daemon's chores in time: each rings when it is due, and how it went can be asked.

Chores keep their time by the monotonic clock, so a wall clock that is set neither stops nor repeats
them; the runner does them, so this thread never waits for any. How frequent ones went is known
while the daemon lives; what is seldom is remembered over restarts, or a daemon that is restarted
each day would never come to what is due once a day.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from math import inf
from zlib import crc32

import structlog

from barmand.catalog.chore_runs import ChoreRun, ChoreRuns
from barmand.model.errors import Failure
from barmand.outside.clock import local_now, monotonic
from barmand.service.chore_table import SERVER_CHORES, Chore
from barmand.service.house import Kit
from barmand.service.runner import Runner

log = structlog.get_logger()

DAEMON = ""
"""Stands for the server in what is done for all of them at once."""
SHORTEST_NAP, LONGEST_NAP = 0.01, 1.0
OVERDUE_SPREAD = timedelta(minutes=10)
RETRY_SOON = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoreState:
    """`began` while it runs; `last` once it has; `next_due` is when it runs by itself again.

    `is_polled`: it looks for what may have arrived, as often as wal_poll_interval says.
    """

    server: str
    chore: str
    every: timedelta
    is_polled: bool
    began: datetime | None
    last: ChoreRun | None
    next_due: datetime


@dataclass(slots=True)
class _Entry:
    """One chore of one server. It changes under the lock; `due_at` is monotonic."""

    do: Callable[[], bool]
    every: timedelta
    is_seldom: bool
    is_polled: bool
    due_at: float
    last: ChoreRun | None
    began: datetime | None = None
    begun: int = 0
    ended: int = 0


Key = tuple[str, str]
"""A chore's name and its server's."""


@dataclass(slots=True)
class Chores:
    """`kits` tells whom the daemon serves at this moment; `for_all` is what is done for itself."""

    runner: Runner
    memory: ChoreRuns
    kits: Callable[[], Mapping[str, Kit]]
    poll: timedelta
    for_all: Mapping[str, Callable[[], None]]
    table: Sequence[Chore] = SERVER_CHORES
    clock: Callable[[], float] = monotonic
    _entries: dict[Key, _Entry] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    # ------------------------------------------------------------------------------------- its life
    def start(self) -> None:
        self._thread = threading.Thread(target=self._live, name="chores")
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _live(self) -> None:
        while not self._over.wait(self.ring_due()):
            pass

    def serve(self, servers: Iterable[str]) -> None:
        """These servers' chores and no others'; who was served before keeps its times."""
        remembered = self.memory.all()
        wanted = {(chore.name, name): chore for name in servers for chore in self.table}
        with self._changed:
            known = self._entries
            self._entries = {
                key: known.get(key) or self._entry(key, chore, remembered.get(key))
                for key, chore in wanted.items()
            }
            for name, deed in self.for_all.items():
                key = (name, DAEMON)
                self._entries[key] = known.get(key) or self._own_entry(key, deed)
            self._changed.notify_all()

    def _entry(self, key: Key, chore: Chore, last: ChoreRun | None) -> _Entry:
        every = chore.every or self.poll
        first = first_wait(key, every, None if last is None else last.began, local_now())
        if chore.is_seldom and last is None:
            first = spread(key, OVERDUE_SPREAD)
        due_at = self.clock() + first.total_seconds()
        return _Entry(
            do=partial(self._of_kit, chore, key[1]),
            every=every,
            is_seldom=chore.is_seldom,
            is_polled=chore.every is None,
            due_at=due_at,
            last=last,
        )

    def _own_entry(self, key: Key, deed: Callable[[], None]) -> _Entry:
        def do() -> bool:
            deed()
            return False

        due_at = self.clock() + spread(key, self.poll).total_seconds()
        return _Entry(
            do=do, every=self.poll, is_seldom=False, is_polled=True, due_at=due_at, last=None
        )

    def _of_kit(self, chore: Chore, server: str) -> bool:
        """With the kit that the settings give it when it begins, if they still do."""
        kit = self.kits().get(server)
        if kit is None or not kit.is_active:
            return False
        return chore.deed(kit, self.runner.stopping)

    # ------------------------------------------------------------------------------------- rings
    def ring(self, name: str, server: str) -> None:
        """Have it done soon, whenever it was due; nothing, if the server is not served."""
        self.ask(name, server)

    def ask(self, name: str, server: str) -> int:
        """As `ring`; the number of the run that will have begun after this moment."""
        key = (name, server)
        with self._changed:
            entry = self._entries.get(key)
            number = 0 if entry is None else entry.begun + 1
        if entry is not None:
            self.runner.ring(f"{name} {server}".strip(), partial(self._perform, key))
        return number

    def ring_due(self) -> float:
        """Ring what is due; how long to wait for the next."""
        now = self.clock()
        due: list[Key] = []
        with self._changed:
            nearest = self._nearest()
            if nearest <= now:
                due = [key for key, entry in self._entries.items() if entry.due_at <= now]
                for key in due:
                    entry = self._entries[key]
                    every = entry.every.total_seconds()
                    is_far_behind = now - entry.due_at >= every  # we were stopped for a while
                    entry.due_at = (now if is_far_behind else entry.due_at) + every
                nearest = self._nearest()
        for key in due:
            self.ring(*key)
        return max(min(LONGEST_NAP, nearest - now), SHORTEST_NAP)

    def _nearest(self) -> float:
        return min((entry.due_at for entry in self._entries.values()), default=inf)

    def _perform(self, key: Key) -> None:
        with self._changed:
            entry = self._entries.get(key)
            if entry is None:
                return
            entry.begun += 1
            number, entry.began = entry.begun, local_now()
        result, is_unfinished = "failed", False
        why: str | None = "a fault of barmand: see the journal"
        start = self.clock()
        try:
            is_unfinished = entry.do()
            result, why = "done", None
        except Failure as failure:
            why = failure.message
            raise
        finally:
            run = ChoreRun(
                server=key[1],
                chore=key[0],
                began=entry.began,
                seconds=self.clock() - start,
                result="stopped" if self.runner.stopping.is_set() else result,
                why=why,
            )
            self._ended(entry, run, number)
        if is_unfinished:
            self.ring(*key)

    def _ended(self, entry: _Entry, run: ChoreRun, number: int) -> None:
        try:
            # What a shutdown cut short is not remembered: it is to be done again.
            if entry.is_seldom and run.result != "stopped":
                seconds = round(run.seconds, 3)
                log.info("chore ended", chore=run.chore, result=run.result, seconds=seconds)
                self.memory.note(run)
        finally:
            with self._changed:
                entry.began, entry.last, entry.ended = None, run, number
                if entry.is_seldom and run.result == "failed":
                    soon = min(entry.every, RETRY_SOON).total_seconds()
                    entry.due_at = min(entry.due_at, self.clock() + soon)
                self._changed.notify_all()

    # ------------------------------------------------------------------------------------- told
    def states(self, server: str) -> list[ChoreState]:
        """Of one server, or of the daemon itself (`DAEMON`), in the order of the table."""
        now, at = self.clock(), local_now()
        with self._changed:
            found = [(key[0], replace(e)) for key, e in self._entries.items() if key[1] == server]
        return [
            ChoreState(
                server=server,
                chore=name,
                every=entry.every,
                is_polled=entry.is_polled,
                began=entry.began,
                last=entry.last,
                next_due=at + timedelta(seconds=max(entry.due_at - now, 0)),
            )
            for name, entry in found
        ]

    def wait_for(self, name: str, server: str, number: int, seconds: float) -> bool:
        """Has the run of this number ended? Waits for so long; a server that is gone has none."""
        key = (name, server)

        def has_ended() -> bool:
            entry = self._entries.get(key)
            return entry is None or entry.ended >= number

        with self._changed:
            return self._changed.wait_for(has_ended, seconds)


def spread(key: Key, over: timedelta) -> timedelta:
    """A part of `over` that is this chore's own, the same in each life of the daemon."""
    return over * (crc32(" ".join(key).encode()) / 2**32)


def first_wait(key: Key, every: timedelta, last: datetime | None, now: datetime) -> timedelta:
    """How long after the daemon's start a chore waits: never all of them for the same second."""
    if last is None:
        return spread(key, every)
    rest = min(max(every - (now - last), timedelta()), every)
    return max(rest, spread(key, min(every, OVERDUE_SPREAD)))
