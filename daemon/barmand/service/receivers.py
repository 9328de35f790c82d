"""Keeps one pg_receivewal alive per streaming server, each in a thread of its own."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import structlog

from barmand.model.errors import Failure, PostgresFailed, Stopped, StorageFailed
from barmand.model.wal import WalKind, kind_of
from barmand.outside.clock import monotonic
from barmand.service.stopping import StopFlag
from barmand.storage.durable import remove_file
from barmand.storage.wals import read_header

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pauses:
    """Between attempts, in seconds: each twice the one before, from `first` to `longest`."""

    first: float = 1.0
    longest: float = 15.0
    steady: float = 60.0
    """A stream that flowed, or held this long, begins again with the shortest pause."""


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


class Program(Protocol):
    def receive(self, *, stop: StopFlag, on_start: Callable[[], None]) -> None: ...


class SlotKeeper(Protocol):
    def create_slot(self, name: str) -> None: ...

    def slot(self, name: str) -> object | None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where one server's WAL is streamed from. Equal sources need no restart at a reload."""

    server: str
    program: Program
    keeper: SlotKeeper
    slot_name: str | None
    makes_slot: bool
    directory: Path

    def demand_slot(self) -> None:
        """The slot reserves WAL from the first contact on, before the first backup."""
        if self.slot_name is None or not self.makes_slot:
            return
        if self.keeper.slot(self.slot_name) is not None:
            return
        try:
            self.keeper.create_slot(self.slot_name)
        except PostgresFailed:
            if self.keeper.slot(self.slot_name) is None:
                raise
            return  # the receiver and a backup may both have found it missing
        log.info("replication slot made", slot=self.slot_name)


class Receivers:
    def __init__(self, on_change: Callable[[], None], pauses: Pauses = PAUSES) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, Receiving] = {}
        self._running: dict[str, tuple[Source, StopFlag, threading.Thread]] = {}
        self._on_change = on_change
        self._pauses = pauses

    def serve(self, sources: Mapping[str, Source]) -> None:
        """Stop what is not wanted any more, start what is new or changed."""
        for server, (source, _, _) in list(self._running.items()):
            if sources.get(server) != source:
                self._end([server], "its settings changed")
        for server, source in sources.items():
            if server not in self._running:
                self._begin(server, source)

    def stop(self, reason: str) -> None:
        self._end(list(self._running), reason)

    def state(self, server: str) -> Receiving | None:
        with self._lock:
            return self._states.get(server)

    def is_streaming(self, server: str) -> bool:
        found = self.state(server)
        return found is not None and found.state is State.STREAMING

    def _begin(self, server: str, source: Source) -> None:
        stop = StopFlag()
        self._set(server, Receiving())
        thread = threading.Thread(
            target=self._keep_alive, args=(source, stop), name=f"receiver {server}"
        )
        self._running[server] = (source, stop, thread)
        thread.start()

    def _end(self, servers: list[str], reason: str) -> None:
        ending = [(server, *self._running.pop(server)) for server in servers]
        for _, _, stop, _ in ending:
            stop.stop(reason)
        for server, _, _, thread in ending:
            thread.join()
            with self._lock:
                self._states.pop(server, None)

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
                    _give_up_lost(source, failure)
                    self._tell_lost(source, failure.message)
                except Exception:
                    log.exception("receiver ended in a fault of barmand")
                    self._tell_lost(source, "a fault of barmand; its journal has the traceback")
                if self.is_streaming(source.server) or monotonic() - begun > self._pauses.steady:
                    pause = self._pauses.first
                self._change(source.server, state=State.PAUSING, attempt_at=monotonic() + pause)
                stop.wait(pause)
                pause = min(pause * 2, self._pauses.longest)
            self._change(source.server, state=State.STOPPED, attempt_at=None)

    def _receive(self, source: Source, stop: StopFlag) -> None:
        if not source.directory.is_dir():
            raise StorageFailed(f"{source.directory} does not exist: is its file system mounted?")
        self._change(source.server, state=State.STARTING, attempt_at=None)
        _clear_padding(source.directory)
        source.demand_slot()

        def flowing() -> None:
            self._change(source.server, state=State.STREAMING, last_error=None)
            log.info("WAL streaming started", slot=source.slot_name)

        source.program.receive(stop=stop, on_start=flowing)

    def _tell_lost(self, source: Source, why: str) -> None:
        found = self.state(source.server) or Receiving()
        if found.last_error != why:  # the same reason at each attempt is told once
            log.warning("WAL streaming interrupted", error=why)
        self._change(source.server, restarts=found.restarts + 1, last_error=why)

    def _change(self, server: str, **facts: object) -> None:
        found = self.state(server) or Receiving()
        self._set(server, replace(found, **facts))  # type: ignore[arg-type] # fields named above
        self._on_change()

    def _set(self, server: str, receiving: Receiving) -> None:
        with self._lock:
            self._states[server] = receiving


def _give_up_lost(source: Source, failure: Failure) -> None:
    """Where PostgreSQL has removed what comes next, the half segment leads nowhere: without it
    the stream goes on at the slot. What lies between is lost, and told.
    """
    if "has already been removed" not in f"{failure.message}\n{failure.hint}":
        return
    for path in source.directory.glob("*.partial"):
        if kind_of(path.name) is WalKind.PARTIAL:
            remove_file(path)
            log.error("WAL lost: PostgreSQL has removed it before it was received", since=path.name)


def _clear_padding(directory: Path) -> None:
    """pg_receivewal fills a new segment with zeros first. Killed in that, or out of space, it
    refuses its own half for ever. There is no WAL in a file that has no first page yet.
    """
    for path in directory.glob("*.partial"):
        if kind_of(path.name) is WalKind.PARTIAL and read_header(path) is None:
            remove_file(path)
            log.warning("segment without WAL removed", file=path.name)
