"""Keeps one pg_receivewal alive per streaming server, each in a thread of its own.

A thread that hangs in the kernel, on a dead mount say, is left behind when it is to end: nobody
waits for it longer than a while but the receiver that comes after it.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import structlog

from barmand.model.errors import Failure, Refused, Stopped
from barmand.outside.clock import local_now, monotonic
from barmand.service.stopping import StopFlag

log = structlog.get_logger()

END_SECONDS = 20.0
"""So long it is waited for the end of receivers, all together."""
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """Between attempts, in seconds: each twice the one before, from `first` to `longest`."""

    first: float = 1.0
    longest: float = 15.0
    steady: float = 10.0
    """A stream that held this long begins again with the shortest pause. That it said it begins
    is not enough: it says so before PostgreSQL has agreed.
    """


PAUSES = Pauses()


class State(StrEnum):
    STARTING = "starting"
    STREAMING = "streaming"
    PAUSING = "pausing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Receiving:
    """What is known of one receiver. `attempt_at` is on the monotonic clock."""

    state: State = State.STARTING
    restarts: int = 0
    attempt_at: float | None = None
    last_error: str | None = None
    since: datetime = field(default_factory=local_now, compare=False)
    """In this state."""


class Program(Protocol):
    def receive(self, *, stop: StopFlag, on_start: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where one server's WAL is streamed from. Equal sources need no restart at a reload."""

    server: str
    program: Program
    slot_name: str | None = None


class Receivers:
    """`is_held` tells whose receiver an operator has stopped, until it is started again."""

    def __init__(
        self,
        on_change: Callable[[], None],
        pauses: Pauses = PAUSES,
        is_held: Callable[[str], bool] = lambda _server: False,
    ) -> None:
        self._lock = threading.Lock()
        self._serving = threading.RLock()
        self._sources: dict[str, Source] = {}
        self._is_held = is_held
        self._told: dict[str, str] = {}
        self._states: dict[str, Receiving] = {}
        self._running: dict[str, tuple[Source, StopFlag, threading.Thread]] = {}
        self._speaking: dict[str, threading.Thread] = {}
        self._left: dict[str, threading.Thread] = {}
        self._on_change = on_change
        self._pauses = pauses

    def serve(self, sources: Mapping[str, Source]) -> None:
        """Stop what is not wanted any more, start what is new or changed."""
        with self._serving:
            self._sources = dict(sources)
            running = {server: source for server, (source, _, _) in self._running.items()}
            changed = [server for server, each in running.items() if sources.get(server) != each]
            self._end(changed, "its settings changed")
            for server in sources:
                self.resume(server)

    def hold(self, server: str, reason: str) -> None:
        """End this server's receiver, if it runs; `is_held` says that it stays so."""
        with self._serving:
            if server in self._running:
                self._end([server], reason)

    def resume(self, server: str) -> None:
        with self._serving:
            if server not in self._running and not self._is_held(server):
                self._begin(server, self._sources[server])

    def is_held(self, server: str) -> bool:
        """Has an operator stopped it?"""
        return self._is_held(server)

    def is_running(self, server: str) -> bool:
        """Also while it pauses between two attempts."""
        with self._serving:
            return server in self._running

    @contextmanager
    def paused(self, server: str, reason: str) -> Iterator[None]:
        """Nothing is received within; afterwards it goes on, unless it is held.

        Raises Refused for a receiver that does not end.
        """
        with self._serving:
            self.hold(server, reason)
            try:
                self._refuse_left(server)
                yield
            finally:
                if server in self._sources:
                    self.resume(server)

    def stop(self, reason: str) -> None:
        with self._serving:
            self._sources = {}
            self._end(list(self._running), reason)

    @property
    def has_left_work_behind(self) -> bool:
        with self._serving:
            return any(thread.is_alive() for thread in self._left.values())

    def state(self, server: str) -> Receiving | None:
        with self._lock:
            return self._states.get(server)

    def is_streaming(self, server: str) -> bool:
        found = self.state(server)
        return found is not None and found.state is State.STREAMING

    def _begin(self, server: str, source: Source) -> None:
        stop, before = StopFlag(), self._left.get(server)
        thread = threading.Thread(
            target=self._live, args=(source, stop, before), name=f"receiver {server}", daemon=True
        )
        with self._lock:
            self._states[server] = Receiving()
            self._speaking[server] = thread
        self._running[server] = (source, stop, thread)
        thread.start()

    def _end(self, servers: list[str], reason: str) -> None:
        ending = [(server, *self._running.pop(server)) for server in servers]
        for _, _, stop, _ in ending:
            stop.stop(reason)
        deadline = monotonic() + END_SECONDS
        for server, _, _, thread in ending:
            thread.join(max(0.0, deadline - monotonic()))
            if thread.is_alive():
                log.error("receiver does not end, and is left behind", server=server)
                self._left[server] = thread
            self._told.pop(server, None)
            with self._lock:
                self._states.pop(server, None)
                self._speaking.pop(server, None)

    def _refuse_left(self, server: str) -> None:
        left = self._left.get(server)
        if left is not None and left.is_alive():
            raise Refused(
                f"the WAL receiver of {server} does not end: it hangs",
                hint="Does the disk that it writes to answer? It begins again once that one ends.",
            )

    def _live(self, source: Source, stop: StopFlag, before: threading.Thread | None) -> None:
        """Two must never write into one folder: who hangs comes to its end first."""
        while before is not None and before.is_alive():
            if stop.wait(LOOK_SECONDS):
                return
        self._keep_alive(source, stop)

    def _keep_alive(self, source: Source, stop: StopFlag) -> None:
        """One receiver's life: what happens to it ends here, and is told."""
        with structlog.contextvars.bound_contextvars(server=source.server, job="receive-wal"):
            pause = self._pauses.first
            while not stop.is_set():
                begun = monotonic()
                try:
                    self._receive(source, stop)
                except Stopped:
                    break
                except Failure as failure:
                    self._tell_lost(source, failure.message)
                except Exception:
                    log.exception("receiver ended in a fault of barmand")
                    self._tell_lost(source, "a fault of barmand; its journal has the traceback")
                if monotonic() - begun > self._pauses.steady:
                    pause = self._pauses.first
                    self._told.pop(source.server, None)
                self._change(source.server, state=State.PAUSING, attempt_at=monotonic() + pause)
                stop.wait(pause)
                pause = min(pause * 2, self._pauses.longest)
            self._change(source.server, state=State.STOPPED, attempt_at=None)

    def _receive(self, source: Source, stop: StopFlag) -> None:
        self._change(source.server, state=State.STARTING, attempt_at=None)

        def flowing() -> None:
            self._change(source.server, state=State.STREAMING, last_error=None)
            log.info("WAL streaming started", slot=source.slot_name)

        source.program.receive(stop=stop, on_start=flowing)

    def _tell_lost(self, source: Source, why: str) -> None:
        found = self.state(source.server) or Receiving()
        if self._told.get(source.server) != why:  # the same reason at each attempt is told once
            self._told[source.server] = why
            log.warning("WAL streaming interrupted", error=why)
        self._change(source.server, restarts=found.restarts + 1, last_error=why)

    def _change(self, server: str, **facts: object) -> None:
        found = self.state(server) or Receiving()
        if facts.get("state", found.state) is not found.state:
            facts["since"] = local_now()
        with self._lock:
            if self._speaking.get(server) is not threading.current_thread():
                return  # it was left behind: another one speaks for the server, or none
            self._states[server] = replace(found, **facts)  # type: ignore[arg-type] # fields named above
        self._on_change()
