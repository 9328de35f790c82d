"""Does the catalogue tell what lies in the archive? The directory is the truth about WAL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from barmand.catalog.wal_runs import WalRuns
from barmand.model.errors import StorageFailed
from barmand.model.wal import Run, Segment, missing, runs_of
from barmand.operations.branches import Branches
from barmand.operations.ports import Clock
from barmand.storage.ground import complaint
from barmand.storage.wals import WalArchive

log = structlog.get_logger()

LOST = "its file is not in the archive any more, or not whole"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Compared:
    """Segments that the catalogue did not know, and those that it knew and are gone."""

    taken_in: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Accounts:
    server: str
    wals: WalArchive
    wal_runs: WalRuns
    branches: Branches
    guard: AbstractContextManager[object]
    now: Clock

    def compare(self, is_over: Callable[[], bool]) -> Compared:
        """Look at every archived file, and make the rows tell what there is.

        Rows are read first: whatever is archived or removed while the directory is read is judged
        again, one by one. `is_over` ends it early, with nothing claimed that was not seen.

        Names, sizes and first bytes are looked at. What a file holds is compared with its sum when
        it is fetched or restored: to do it here would read the whole archive each day.
        """
        size = self.wal_runs.segment_size(self.server)
        if size is None:
            return Compared()
        known = self.wal_runs.of_server(self.server)
        self._demand_ground()
        lies_here = [run for run, _ in runs_of(self._whole(size, is_over))]
        if is_over():
            return Compared()
        if known and not lies_here:
            raise StorageFailed(
                f"{self.wals.layout.wals} holds no WAL, and some was archived there",
                hint="Is its file system mounted?",
            )
        taken_in = self._take_in(_differing(lies_here, known), size)
        lost = self._lose(_differing(known, lies_here), size)
        with self.guard:
            self.branches.renew()
        if taken_in or lost:
            log.warning("catalogue and archive differed", taken_in=taken_in, lost=lost)
        return Compared(taken_in, lost)

    def know(self, sound: Sequence[Segment], size: int) -> int:
        """Segments that were found whole, to their last byte: those of which no row tells get
        theirs, and heal the gap in which they lie. How many these were.
        """
        known = self.wal_runs.of_server(self.server)
        unknown = [each for each in sound if not any(each in run for run in known)]
        if not unknown:
            return 0
        count = self._take_in([run for run, _ in runs_of((each, 0) for each in unknown)], size)
        log.info("archived WAL is known again", segments=count)
        return count

    def _demand_ground(self) -> None:
        """On a bare mount point nothing is lost: it is not there, that is all."""
        why_not = complaint(self.wals.layout, is_known=False)
        if why_not is not None:
            raise StorageFailed(f"the archive of {self.server} is not compared: {why_not}")

    def _whole(self, size: int, is_over: Callable[[], bool]) -> Iterator[tuple[Segment, int]]:
        for segment, count in self.wals.segments(size):
            if is_over():
                return
            if count == size or self.wals.is_whole(segment.name(size), size):
                yield segment, count

    def _take_in(self, unknown: Sequence[Run], size: int) -> int:
        """Those that are there still; a removal takes files first."""
        count = 0
        segments = (segment for run in unknown for segment in run.segments())
        while batch := [segment for segment, _ in zip(segments, range(_AT_ONCE), strict=False)]:
            with self.guard:
                held = [
                    (segment, self.wals.bytes_of(segment.name(size)))
                    for segment in batch
                    if self.wals.is_whole(segment.name(size), size)
                ]
                self.wal_runs.extend(self.server, held, segment_size=size, now=self.now())
            count += len(held)
        return count

    def _lose(self, absent: Sequence[Run], size: int) -> int:
        """Those that the rows still tell of, and are not there at a second look."""
        if not absent:
            return 0
        with self.guard:
            known = self.wal_runs.of_server(self.server)
            gone = [
                segment
                for run in absent
                for segment in run.segments()
                if any(segment in each for each in known)
                and not self.wals.is_whole(segment.name(size), size)
            ]
            lost = [run for run, _ in runs_of((segment, 0) for segment in gone)]
            if lost:
                self.wal_runs.lose(self.server, lost, segment_size=size, why=LOST, now=self.now())
        return len(gone)


def _differing(ours: Sequence[Run], theirs: Sequence[Run]) -> list[Run]:
    """What is in `ours` and not in `theirs`."""
    return [piece for run in ours for piece in missing(run, list(theirs))]
