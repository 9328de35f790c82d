"""Unneeded WAL where wal_delete hooks are set: file by file, asked for outside every lock.

What a hook forbids stays, and the next pass asks again. A file that a hook agreed to is judged once
more before it goes: a backup may have begun meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from barmand.catalog.wal_runs import WalRuns
from barmand.model.errors import Refused, Stopped, ToolFailed
from barmand.model.hook import HookEvent
from barmand.model.retention import Needed
from barmand.model.wal import Segment, WalKind, kind_of, runs_of
from barmand.operations.hooks import Hooks
from barmand.operations.ports import Clock, Stop
from barmand.storage.wals import WalArchive

WAL_DELETE = HookEvent.WAL_DELETE
LOOKED_FOR = 100
"""So many files are looked for at a time."""


@dataclass(slots=True)
class Removed:
    """What one pass removed. `kept` are the names of files that stay for now; `forbidden` counts
    the segments among them that a hook keeps.
    """

    segments: list[Segment] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    forbidden: int = 0
    segment_size: int = 0
    is_all: bool = False
    is_whole: bool = False
    """Each file was asked about: neither a stop nor a broken hook ended the pass."""


@dataclass(frozen=True, slots=True)
class HookedRemoval:
    """`needed` judges, with all that is known at that moment."""

    server: str
    wals: WalArchive
    wal_runs: WalRuns
    hooks: Hooks
    needed: Callable[[], Needed]
    guard: AbstractContextManager[object]
    now: Clock

    def run(self, removed: Removed, *, stop: Stop) -> None:
        """Each unneeded file once. Fills `removed`, so that it tells what went also where this
        raises.
        """
        try:
            for path in self._unneeded(removed):
                if stop.is_set():
                    return
                self._take(path, removed, stop)
        except Stopped:
            return
        except ToolFailed:  # it has been told; the other files would only meet the same
            removed.is_all = True

    def _unneeded(self, removed: Removed) -> Iterator[Path]:
        while found := self._look(removed):
            yield from found
        removed.is_all = removed.is_whole = True

    def _look(self, removed: Removed) -> list[Path]:
        with self.guard:
            need = self.needed()
            runs = need.surplus(run.timeline for run in self.wal_runs.of_server(self.server))
            removed.segment_size = need.segment_size
            if not runs:
                return []
            found = self.wals.files(runs, need.segment_size)
            if not found:  # rows of what is gone already
                self.wal_runs.cut(self.server, runs, self.now())
            return [path for path in found if path.name not in removed.kept][:LOOKED_FOR]

    def _take(self, path: Path, removed: Removed, stop: Stop) -> None:
        occasion = self.hooks.of_segment(WAL_DELETE, path)
        try:
            self.hooks.runner.before(occasion, stop=stop)
        except Refused:
            removed.kept.add(path.name)
            removed.forbidden += kind_of(path.name) is WalKind.SEGMENT
            return
        try:
            is_gone = self._remove(path, removed)
        except BaseException as error:
            self.hooks.tell(occasion, error, stop=stop)
            raise
        if is_gone:
            self.hooks.tell(occasion, stop=stop)
        else:
            removed.kept.add(path.name)

    def _remove(self, path: Path, removed: Removed) -> bool:
        """False when it is needed after all. The file first, the row second, as in `prune`."""
        with self.guard:
            segment = Segment.parse(path.name[:24], removed.segment_size)
            runs = self.needed().surplus([segment.timeline])
            if not any(segment in run for run in runs):
                return False
            self.wals.retire_barman_index()
            self.wals.remove_file(path)
            if kind_of(path.name) is WalKind.SEGMENT:
                gone = [run for run, _ in runs_of([(segment, 0)])]
                self.wal_runs.cut(self.server, gone, self.now())
                removed.segments.append(segment)
            return True
