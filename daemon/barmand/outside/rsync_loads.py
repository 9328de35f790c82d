"""Fetch one load: start rsync, again if need be, until every file is here and whole."""

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from barmand.model.backup import Damage, Doubt
from barmand.model.errors import Stopped, ToolFailed
from barmand.model.order import Order, Reuse
from barmand.outside.rsync import Fetch, Reference
from barmand.outside.rsync_ahead import Ahead
from barmand.outside.rsync_arrivals import Arrivals
from barmand.outside.rsync_limits import Halting, Limits
from barmand.outside.rsync_past import Past
from barmand.outside.rsync_trees import Load, judge_of
from barmand.outside.rsync_ways import Ways
from barmand.outside.rsync_words import Ending, Entry
from barmand.storage.disk import at_the_disk
from barmand.storage.manifest import Manifest
from barmand.storage.pace import Starts
from barmand.storage.seen import Looks

log = structlog.get_logger()

FRESH_FETCHES = 3
"""How often a file with bad pages is fetched anew: it may have been read while it was written."""

_SLOW_FILE_SECONDS = 0.005
_SLOW_BYTES_A_SECOND = 20_000_000


class Tally:
    """Told the bytes that one load has so far: never fewer than before."""

    def __init__(self, load: Load, add: Callable[[int], None]) -> None:
        self._most = load.bytes
        self._counted = 0
        self._add = add

    def reach(self, count: int) -> None:
        more = min(count, self._most) - self._counted
        if more > 0:
            self._counted += more
            self._add(more)

    def complete(self) -> None:
        self.reach(self._most)


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a command of rsync's is tried. The pause ends early at a stop."""

    order: Order
    starts: Starts
    stop: Halting
    report_pause: Callable[[], None] = lambda: None

    def run(
        self, command: Callable[[], Ending], facts: dict[str, object], again: Callable[[], None]
    ) -> frozenset[str]:
        """What was gone. Raises ToolFailed, StorageFailed, Stopped.

        `again` comes before every further attempt.
        """
        for attempts_left in range(self.order.retry_times, -1, -1):
            self.starts.wait()
            if self.stop.is_set():
                raise Stopped(self.stop.reason)
            log.info("rsync starts", **facts)
            ending = command()
            if ending.error is None:
                return ending.gone
            if not attempts_left or not ending.may_be_retried:
                raise ending.error
            log.warning("rsync failed, another attempt follows", error=ending.error.message)
            self.report_pause()
            if self.stop.wait(self.order.retry_sleep):
                raise Stopped(self.stop.reason) from ending.error
            again()
        raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Fetches loads; several workers share it. `space_shares` by a tablespace's prefix."""

    ways: Ways
    attempts: Attempts
    looks: Looks
    reuse: Reuse
    past: Past | None
    manifest: Manifest | None
    beside: Path
    limits: Limits
    add_bytes: Callable[[int], None]

    def fetch(self, load: Load) -> list[Damage | Doubt]:
        """All of it: what is not here then was dropped by PostgreSQL. What is wrong is told."""
        known = None if self.past is None else self.past.known(load)
        tally = Tally(load, self.add_bytes)
        reference = None
        if known is not None:
            reference = Reference(folder=known.folder, reuse=self.reuse, has_doubts=load.has_doubts)
        with (
            self.limits.part(load.tree.prefix, load.bytes) as limit,
            _folder_in(self.beside) as half,
            closing(Ahead(half, load, self.looks, self.attempts.stop)) as ahead,
        ):
            arrivals = Arrivals(load.tree, self.looks, known, ahead, self.attempts.stop)
            unsettled = self._bring(load, arrivals, tally, reference, limit)
            for _ in range(FRESH_FETCHES):
                if not unsettled:
                    break
                for name in unsettled:
                    arrivals.drop(name)
                fresh = replace(load, names=tuple(unsettled))
                unsettled = self._bring(fresh, arrivals, tally, None, limit)
        tally.complete()
        _demand(load.tree.source, set(unsettled) - set(arrivals.bad_names()))
        if self.manifest is not None:
            arrivals.tell(self.manifest)
        return arrivals.found()

    def _bring(
        self,
        load: Load,
        arrivals: Arrivals,
        tally: Tally,
        reference: Reference | None,
        limit: int | None,
    ) -> list[str]:
        """Returns the names of what did not come although it was there, or has bad pages."""

        def hear(entry: Entry) -> None:
            if entry.kind == "f":
                arrivals.hear(entry)

        def progress(count: int) -> None:
            tally.reach(count)
            arrivals.ahead.go_on()

        with _listed(load.names, self.beside) as names, self.ways.one() as rsync:
            files = Fetch(
                source=load.tree.source,
                target=load.tree.target,
                names=names,
                beside=arrivals.ahead.folder,
                reference=reference,
                limit=limit,
                quiet_seconds=_quiet_seconds(load),
            )
            gone = self.attempts.run(
                lambda: rsync.fetch(
                    files,
                    judge=judge_of(load.tree, is_required=load.is_required),
                    on_entry=hear,
                    on_progress=progress,
                    stop=self.attempts.stop,
                ),
                facts={
                    "source": str(load.tree.source),
                    "files": len(load.names),
                    "bytes": load.bytes,
                    "kib_per_second": limit,
                },
                again=lambda: arrivals.unshare(load.names),
            )
        missing = arrivals.settle(load.names)
        strayed = [name for name in missing if str(load.tree.source / name) not in gone]
        return strayed + arrivals.bad_names()


def _demand(source: Path, missing: Collection[str]) -> None:
    """A file passed over is no success of rsync's, whatever its exit code."""
    for name in missing:
        raise ToolFailed(f"{source / name} did not arrive, though rsync names no reason")


def _quiet_seconds(load: Load) -> float:
    """What a slow disk may take to look at every file there, and to read those in doubt."""
    read = load.bytes / _SLOW_BYTES_A_SECOND if load.has_doubts else 0
    return len(load.names) * _SLOW_FILE_SECONDS + read


@contextmanager
def _folder_in(folder: Path) -> Iterator[Path]:
    """For the half files of one load."""
    with (
        at_the_disk("make directory in", folder),
        tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as made,
    ):
        yield Path(made)


@contextmanager
def _listed(names: Sequence[str], folder: Path) -> Iterator[Path]:
    """A file that lists `names` as rsync reads them; `./` keeps `#` and `;` from being comments."""
    with at_the_disk("write in", folder), tempfile.NamedTemporaryFile(dir=folder) as file:
        for name in names:
            file.write(b"./" + name.encode(errors="surrogateescape") + b"\0")
        file.flush()
        yield Path(file.name)
