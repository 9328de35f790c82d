"""One group of arrived files into the archive: side by side to disk, in order to the catalogue.

A file is acknowledged in the order bytes, name, row, source: each is durable before the next. The
group shares the syncing of directories and the transaction, and no file of it is gone before them.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from barmand.catalog.wal_runs import WalRuns
from barmand.model.door import Belongs, Expected, Misfit, Unfinished, Verdict
from barmand.model.errors import Failure, StorageFailed
from barmand.model.gap import Branch
from barmand.model.wal import Segment, WalKind, kind_of
from barmand.operations.branches import Branches
from barmand.operations.door import Door
from barmand.operations.hands import Hands
from barmand.operations.ports import Clock
from barmand.operations.quarantine import Quarantine
from barmand.storage.intake import Intake, Prepared, Put
from barmand.storage.wals import WalArchive, size_of

log = structlog.get_logger()

WORKERS = min(4, max(2, len(os.sched_getaffinity(0))))


@dataclass(slots=True)
class Taken:
    """What became of a group."""

    archived: list[Segment] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Left alone: somebody still writes them."""
    failures: list[StorageFailed] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    """Of timelines that were not known before."""
    set_aside: list[str] = field(default_factory=list)
    """Why, of each file that was."""
    held_back: Failure | None = None
    """A hook did not agree: nothing more is taken in this pass."""

    def add(self, other: "Taken") -> None:
        self.archived += other.archived
        self.unfinished += other.unfinished
        self.failures += other.failures
        self.branches += other.branches
        self.set_aside += other.set_aside
        self.held_back = self.held_back or other.held_back


@dataclass(frozen=True, slots=True)
class _Looked:
    path: Path
    verdict: Verdict
    prepared: Prepared | None = None


@dataclass(frozen=True, slots=True)
class TakeIn:
    server: str
    door: Door
    quarantine: Quarantine
    wals: WalArchive
    intake: Intake
    wal_runs: WalRuns
    branches: Branches
    now: Clock
    hands: Hands
    """Shared by all servers: so many files are packed at a time."""

    def run(self, paths: Sequence[Path]) -> Taken:
        """A file that cannot be taken stays where it is and does not hold up the others."""
        taken = Taken()
        named: list[tuple[Belongs, Prepared]] = []
        for looked in self._looked(paths, self.door.expected()):
            try:
                found = looked.result()
                ready = self._decide(found, taken)
                if ready is not None and isinstance(found.verdict, Belongs):
                    self.intake.give_name(ready)
                    named.append((found.verdict, ready))
            except StorageFailed as failure:
                taken.failures.append(failure)
        if named:
            self._acknowledge(named, taken)
        return taken

    def _looked(self, paths: Sequence[Path], expected: Expected) -> list["Future[_Looked]"]:
        """Each judged and its bytes durable, in the order of `paths`; one alone needs no thread."""
        with ThreadPoolExecutor(min(WORKERS, len(paths)), "archive") as pool:
            return [pool.submit(self._look, path, expected) for path in paths]

    def _look(self, path: Path, expected: Expected) -> _Looked:
        verdict = self.door.look(path, expected)
        if not isinstance(verdict, Belongs):
            return _Looked(path, verdict)
        with self.hands.one():
            return _Looked(path, verdict, self.intake.prepare(path))

    def _decide(self, looked: _Looked, taken: Taken) -> Prepared | None:
        """None for what is left alone or set aside."""
        match looked.verdict:
            case Unfinished():
                # Its last write rings again, most likely, and the poll looks.
                taken.unfinished.append(looked.path.name)
            case Misfit(reason, why):
                self.quarantine.set_aside(looked.path, reason, why)
                taken.set_aside.append(why)
            case Belongs():
                return self._compared(looked, taken)
        return None

    def _compared(self, looked: _Looked, taken: Taken) -> Prepared | None:
        prepared = looked.prepared
        if prepared is None or prepared.put in (Put.STORED, Put.SAME):
            return prepared
        if prepared.put is Put.DAMAGED or not self._is_whole(looked):
            # An archived file that is not whole any more must not keep a whole one out.
            why = "it was in the archive, but it is not whole"
            self.quarantine.set_aside(prepared.destination, "damaged", why)
            return self.intake.prepare(looked.path)
        why = self._why_duplicate(prepared)
        self.quarantine.set_aside(looked.path, "duplicate", why)
        taken.set_aside.append(why)
        return None

    def _why_duplicate(self, prepared: Prepared) -> str:
        """Where each came from, for the archived one may be the wrong one."""
        why = f"{prepared.destination} holds another content under its name"
        if prepared.source.parent != self.wals.layout.streaming:
            return f"it was pushed, and {why}"
        return (
            f"PostgreSQL streamed it, and {why}: that one may be the wrong one, pushed while "
            "PostgreSQL still wrote it; compare both with pg_waldump"
        )

    def _is_whole(self, looked: _Looked) -> bool:
        size = looked.verdict.segment_size if isinstance(looked.verdict, Belongs) else None
        if size is None or kind_of(looked.path.name) is not WalKind.SEGMENT:
            return True
        return self.wals.is_whole(looked.path.name, size)

    def _acknowledge(self, named: Sequence[tuple[Belongs, Prepared]], taken: Taken) -> None:
        try:
            self.intake.settle(prepared for _, prepared in named)
            taken.branches += self._remember_branches(named)
            taken.archived += self._record(named)
            self.intake.forget(prepared for _, prepared in named)
        except StorageFailed as failure:
            taken.failures.append(failure)

    def _remember_branches(self, named: Iterable[tuple[Belongs, Prepared]]) -> list[Branch]:
        """Before the rows of segments: these tell where a new timeline must begin."""
        names = (prepared.destination.name for _, prepared in named)
        histories = [name for name in names if kind_of(name) is WalKind.HISTORY]
        return [branch for name in histories if (branch := self.branches.remember(name))]

    def _record(self, named: Iterable[tuple[Belongs, Prepared]]) -> list[Segment]:
        """Rows for the segments; a history, a label or a half is in no run."""
        by_size: dict[int, list[tuple[Segment, int]]] = {}
        for verdict, prepared in named:
            segment, size = verdict.segment, verdict.segment_size
            if segment and size and kind_of(prepared.destination.name) is WalKind.SEGMENT:
                held = (segment, size_of(prepared.destination))
                by_size.setdefault(size, []).append(held)
        for size, held_now in by_size.items():
            self.wal_runs.extend(self.server, held_now, segment_size=size, now=self.now())
            for segment, stored in held_now:
                log.debug("segment archived", segment=segment.name(size), bytes=stored)
        return [segment for held_now in by_size.values() for segment, _ in held_now]
