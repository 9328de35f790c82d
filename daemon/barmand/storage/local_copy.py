"""Copy or link the files of a cluster on this machine, with several workers.

A worker takes the next batch when it is free, so the work balances itself. The first failure stops
all.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog

from barmand.model.backup import Damage, Doubt
from barmand.model.errors import Stopped, StorageFailed
from barmand.model.pgdata import RelationFile, may_vanish
from barmand.storage.attempts import Attempts
from barmand.storage.batch_queue import BatchQueue
from barmand.storage.disk import at_the_disk, heed
from barmand.storage.linking import Links, Reference
from barmand.storage.live_copy import LiveCopy
from barmand.storage.manifest import Manifest
from barmand.storage.pace import EitherStop, Paces, Starts, Stop
from barmand.storage.seen import PIECE_BYTES, Looks, Seen
from barmand.storage.survey import Batch, Survey
from barmand.storage.unjudged import Unjudged

log = structlog.get_logger()

BLOCKS_A_SEGMENT = 131_072


@dataclass(frozen=True, slots=True)
class Crew:
    """So many workers, of which at most `batch_size` start in each period."""

    jobs: int = 1
    batch_size: int = 10
    batch_period: float = 1.0


@dataclass(slots=True)
class Meter:
    """One worker's. What a failed attempt had copied of a file is not told twice."""

    tell: Callable[[int], None]
    _told: int = 0
    _done: int = 0

    def begin(self, told: int = 0) -> None:
        """Another file, of which so many bytes were told already."""
        self._told, self._done = told, 0

    def again(self) -> None:
        """The same file, from its beginning."""
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._done > self._told:
            more, self._told = self._done - self._told, self._done
            self.tell(more)


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a batch: where it is, where its copy goes, its path in the data directory."""

    batch: Batch
    source: Path
    target: Path
    shown: str
    relation: RelationFile | None

    @staticmethod
    def of(batch: Batch, name: str) -> "Item":
        path = f"{batch.folder}/{name}" if batch.folder else name
        tree = batch.tree
        shown = tree.prefix + path
        relation = RelationFile.of(shown, BLOCKS_A_SEGMENT)
        return Item(batch, tree.source / path, tree.target / path, shown, relation)


@dataclass(frozen=True, slots=True)
class Worker:
    """What one thread works with."""

    copier: LiveCopy
    meter: Meter
    attempts: Attempts


@dataclass(slots=True)
class LocalCopy:
    """`progress` hears of bytes, from every worker; `paces` may hold one back.

    A file whose copy fails is tried again, as `attempts` says; those that are done stay.
    """

    looks: Looks
    reference: Reference | None
    manifest: Manifest | None
    attempts: Attempts
    progress: Callable[[int], None]
    paces: Paces
    home: Path
    """base/<ID>: targets are below, as are a reference's files below its root."""
    _links: Links | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.reference is not None:
            needs_checksums = self.manifest is not None
            self._links = Links(self.reference, self.home, needs_checksums=needs_checksums)

    def run(self, survey: Survey, crew: Crew) -> list[Damage | Doubt]:
        """Raises StorageFailed, Stopped. Nothing is synced yet."""
        queue = BatchQueue(survey.batches, self.paces.spaces.keys())
        end = EitherStop(self.attempts.stop, threading.Event())
        starts = Starts(crew.batch_size, crew.batch_period, EitherStop(end, queue.drained))
        with ThreadPoolExecutor(crew.jobs, thread_name_prefix="copy") as pool:
            workers = [
                # A thread's log lines name server and backup by its context.
                pool.submit(contextvars.copy_context().run, self._work, number, queue, starts, end)
                for number in range(1, crew.jobs + 1)
            ]
        errors = [error for worker in workers if (error := worker.exception()) is not None]
        # The failure itself, not a worker that it has stopped.
        for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
            raise error
        return [each for worker in workers for each in worker.result()]

    def _work(
        self, number: int, queue: BatchQueue, starts: Starts, end: EitherStop
    ) -> list[Damage | Doubt]:
        starts.wait()
        heed(end, "copying to", self.home)
        if queue.drained.is_set():
            return []  # the others do it all
        log.info("copy worker starts", worker=number)
        found: list[Damage | Doubt] = []
        unjudged = Unjudged[tuple[Item, Seen]]()
        try:
            for batch in queue.batches():
                worker = self._worker(batch.tree.prefix, end)
                for name in self._unlinked(batch, end):
                    heed(end, "copying", batch.tree.source)
                    item = Item.of(batch, name)
                    worker.meter.begin()
                    seen = self._take(worker, item, leaves_small=True)
                    if seen is not None and seen.unjudged and item.relation is not None:
                        unjudged.add((item, seen), seen.unjudged, item.relation.first_block)
                    elif seen is not None:
                        found += self._told(item, seen)
                    if unjudged.is_enough:
                        found += self._settle(unjudged, end)
            found += self._settle(unjudged, end)
        except BaseException:
            end.other.set()
            raise
        return found

    def _unlinked(self, batch: Batch, end: Stop) -> Sequence[str]:
        """What is left to be brought when all that can be linked at once was."""
        if self._links is None:
            return batch.names
        heed(end, "linking", batch.tree.source)
        linked, left = self._links.of_batch(batch)
        for path, seen in linked:
            if self.manifest is not None and seen.checksum is not None:
                self.manifest.add(path, seen.size, seen.changed_ns, seen.checksum)
        self.progress(sum(seen.size for _, seen in linked))
        return left

    def _worker(self, prefix: str, end: Stop) -> Worker:
        meter = Meter(self.progress)

        def took(count: int) -> None:
            meter.add(count)
            self.paces.take(prefix, count, end)

        piece = self.paces.piece(prefix, PIECE_BYTES)
        copier = LiveCopy(self.looks, end, took, piece)
        return Worker(copier, meter, replace(self.attempts, stop=end))

    def _settle(self, unjudged: Unjudged[tuple[Item, Seen]], end: Stop) -> list[Damage | Doubt]:
        """Judge what waits. A file with a wrong page is copied once more, and looked at closely."""
        found: list[Damage | Doubt] = []
        for (item, seen), wrong in unjudged.judge():
            judged: Seen | None = seen
            if wrong:
                worker = self._worker(item.batch.tree.prefix, end)
                worker.meter.begin(told=seen.size)
                judged = self._take(worker, item, leaves_small=False)
            if judged is not None:
                found += self._told(item, judged)
        return found

    def _told(self, item: Item, seen: Seen) -> list[Damage | Doubt]:
        if self.manifest is not None and seen.checksum is not None:
            self.manifest.add(item.shown, seen.size, seen.changed_ns, seen.checksum)
        return seen.found(item.shown)

    def _take(self, worker: Worker, item: Item, *, leaves_small: bool) -> Seen | None:
        """None when PostgreSQL has dropped it."""
        bring = partial(self._bring, worker, item, leaves_small)
        try:
            return worker.attempts.run(bring)
        except StorageFailed as error:
            if _is_gone(item.source, error) and may_vanish(item.shown):
                item.target.unlink(missing_ok=True)
                return None
            raise

    def _bring(self, worker: Worker, item: Item, leaves_small: bool) -> Seen:
        """Linked or copied. What an attempt before left goes first: it may be a link by now."""
        worker.meter.again()
        try:
            return self._brought(worker, item, leaves_small=leaves_small)
        except StorageFailed as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
        with at_the_disk("remove", item.target):
            item.target.unlink()
        return self._brought(worker, item, leaves_small=leaves_small)

    def _brought(self, worker: Worker, item: Item, *, leaves_small: bool) -> Seen:
        if self._links is not None:
            linked = self._links.of_file(item.source, item.target, item.shown)
            if linked is not None:
                worker.meter.add(linked.size)
                return linked
        return worker.copier.copy(
            item.source, item.target, item.relation, leaves_small=leaves_small
        )


def _is_gone(source: Path, error: StorageFailed) -> bool:
    """Was it the original that is no more? Where a copy should go, nothing may be missing."""
    cause = error.__cause__
    return isinstance(cause, FileNotFoundError) and str(cause.filename) == str(source)
