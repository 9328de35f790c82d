"""Copy or link the files of a cluster on this machine, with several workers.

A worker takes the next batch when it is free, so the work balances itself. The first failure stops
all.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from barmand.model.backup import Damage
from barmand.model.errors import Stopped, StorageFailed
from barmand.model.pgdata import RelationFile, may_vanish
from barmand.storage.data_tree import Batch, Survey
from barmand.storage.disk import at_the_disk, heed
from barmand.storage.live_copy import LiveCopy, Looks, Seen
from barmand.storage.manifest import Manifest
from barmand.storage.pace import EitherStop, Pace, Stop

BLOCKS_A_SEGMENT = 131_072
COMPARE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """The backup whose unchanged files are linked. `root` is its folder, with `data` below.

    A file with the same size and time is the same if it changed before `safe_before` (ns): before
    that backup began. A later one is compared byte by byte. `checksums` are those of its manifest.
    """

    root: Path
    safe_before_ns: int
    checksums: dict[str, str]


@dataclass(slots=True)
class LocalCopy:
    """`progress` hears of bytes, from every worker; `pace` may hold one back."""

    looks: Looks
    reference: Reference | None
    manifest: Manifest | None
    stop: Stop
    progress: Callable[[int], None]
    pace: Pace
    home: Path
    """base/<ID>: targets are below, as are a reference's files below its root."""

    def run(self, survey: Survey, jobs: int) -> list[Damage]:
        """Raises StorageFailed, Stopped. Nothing is synced yet."""
        queue = iter(survey.batches)
        lock = threading.Lock()
        end = EitherStop(self.stop, threading.Event())
        with ThreadPoolExecutor(jobs, thread_name_prefix="copy") as pool:
            workers = [pool.submit(self._work, _shared(queue, lock, end), end) for _ in range(jobs)]
        errors = [error for worker in workers if (error := worker.exception()) is not None]
        # The failure itself, not a worker that it has stopped.
        for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
            raise error
        return [damage for worker in workers for damage in worker.result()]

    def _work(self, batches: Iterator[Batch], end: EitherStop) -> list[Damage]:
        copier = LiveCopy(self.looks, end, lambda count: self._took(count, end))
        damages: list[Damage] = []
        try:
            for batch in batches:
                for name in batch.names:
                    heed(end, "copying", batch.tree.source)
                    damage = self._take(copier, batch, name)
                    if damage is not None:
                        damages.append(damage)
        except BaseException:
            end.other.set()
            raise
        return damages

    def _took(self, count: int, end: Stop) -> None:
        self.progress(count)
        self.pace.take(count, end)

    def _take(self, copier: LiveCopy, batch: Batch, name: str) -> Damage | None:
        path = f"{batch.folder}/{name}" if batch.folder else name
        source, target = batch.tree.source / path, batch.tree.target / path
        shown = batch.tree.prefix + path
        try:
            seen = self._link(source, target, shown) or self._copy(copier, source, target, shown)
        except StorageFailed as error:
            if _is_gone(source, error) and may_vanish(shown):
                target.unlink(missing_ok=True)
                return None
            raise
        if self.manifest is not None and seen.checksum is not None:
            self.manifest.add(shown, seen.size, seen.changed_ns, seen.checksum)
        return Damage(shown, seen.bad_blocks) if seen.bad_blocks else None

    def _copy(self, copier: LiveCopy, source: Path, target: Path, shown: str) -> Seen:
        target.unlink(missing_ok=True)
        return copier.copy(source, target, RelationFile.of(shown, BLOCKS_A_SEGMENT))

    def _link(self, source: Path, target: Path, shown: str) -> Seen | None:
        """Link `target` to the reference's file, if that is the same; None if it must be copied."""
        if self.reference is None:
            return None
        old = self.reference.root / target.relative_to(self.home)
        with at_the_disk("look at", source):
            facts = source.stat()
        try:
            before = old.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if (before.st_size, before.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns):
            return None
        checksum = self.reference.checksums.get(shown)
        if self.manifest is not None and checksum is None:
            return None
        if facts.st_mtime_ns >= self.reference.safe_before_ns and not _same(source, old):
            return None
        with at_the_disk("link", target):
            target.unlink(missing_ok=True)
            try:
                os.link(old, target)
            except FileNotFoundError:
                return None  # that backup is being deleted
        self.progress(facts.st_size)
        return Seen(facts.st_size, facts.st_mtime_ns, checksum, ())


def _shared(queue: Iterator[Batch], lock: threading.Lock, end: EitherStop) -> Iterator[Batch]:
    """The next batch for whoever asks first; none once a worker has failed."""
    while not end.other.is_set():
        with lock:
            batch = next(queue, None)
        if batch is None:
            return
        yield batch


def _is_gone(source: Path, error: StorageFailed) -> bool:
    """Was it the original that is no more? Where a copy should go, nothing may be missing."""
    cause = error.__cause__
    return isinstance(cause, FileNotFoundError) and str(cause.filename) == str(source)


def _same(one: Path, other: Path) -> bool:
    with at_the_disk("compare", one), one.open("rb") as mine:
        try:
            theirs = other.open("rb")
        except FileNotFoundError:
            return False
        with theirs:
            while piece := mine.read(COMPARE_BYTES):
                if piece != theirs.read(len(piece)):
                    return False
            return not theirs.read(1)
