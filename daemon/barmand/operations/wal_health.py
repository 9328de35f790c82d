"""How well a server's WAL comes in: what a check finds without asking anybody."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from barmand.catalog.wal_gaps import WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.errors import StorageFailed
from barmand.model.finding import Finding
from barmand.model.gap import GapState
from barmand.operations.examining import failed
from barmand.operations.ports import Clock
from barmand.storage.arrivals import arrivals
from barmand.storage.aside import set_aside_in
from barmand.storage.disk import at_the_disk, free_bytes
from barmand.storage.layout import Layout

MIB = 1 << 20
FRESH = timedelta(days=1)
"""As long an alarm is raised for a file that was set aside; then it is only counted."""
LEAST_FREE = 64 * MIB


@dataclass(frozen=True, slots=True)
class WalHealth:
    """Barman's `max_incoming_wals_queue` and `last_wal_maximum_age`; None where there is none."""

    server: str
    layout: Layout
    wal_gaps: WalGaps
    wal_runs: WalRuns
    most_waiting: int | None
    oldest: timedelta | None
    now: Clock
    least_free: int = LEAST_FREE
    """Bytes; two segments, where those are more."""

    def findings(self) -> Iterator[Finding]:
        yield self._gaps()
        yield self._aside()
        yield self._free_space()
        if self.most_waiting is not None:
            yield self._queue(self.most_waiting)
        if self.oldest is not None:
            yield self._age(self.oldest)

    def waiting(self) -> int:
        """Files that have arrived and are not archived yet. Raises StorageFailed."""
        places = (self.layout.incoming, self.layout.streaming)
        return sum(len(arrivals(place)) for place in places)

    def set_aside(self) -> int:
        """Files in errors/. Raises StorageFailed."""
        return len(set_aside_in(self.layout.errors))

    def _gaps(self) -> Finding:
        name = "WAL gaps"
        gaps = self.wal_gaps.of_server(self.server)
        unknown = [gap for gap in gaps if gap.state is GapState.OPEN]
        if unknown:
            count = sum(gap.count for gap in unknown)
            hint = (
                f"{count} segment(s) missing: `barmanctl wal-gaps {self.server}` names them; "
                "no recovery comes past them, so take a backup"
            )
            return Finding(name, hint, is_ok=False)
        return Finding(name, f"{len(gaps)} acknowledged" if gaps else "none")

    def _aside(self) -> Finding:
        name, errors = "WAL set aside", self.layout.errors
        try:
            found = set_aside_in(errors)
        except StorageFailed as error:
            return failed(name, error)
        if not found:
            return Finding(name, "none")
        newest = found[-1]
        words = f"{len(found)} file(s) in {errors}, the newest {newest.name}"
        if self.now() - newest.since >= FRESH:
            return Finding(name, words)
        hint = f"{words}; `WAL file set aside` in the log tells why: then move it away or remove it"
        return Finding(name, hint, is_ok=False)

    def _free_space(self) -> Finding:
        """Of each file system that WAL and backups are written to."""
        name = "free space"
        segment_size = self.wal_runs.segment_size(self.server) or 0
        least = max(self.least_free, 2 * segment_size)
        try:
            free = {path: free_bytes(path) for path in self._disks()}
        except StorageFailed as error:
            return failed(name, error)
        full = {path: count for path, count in free.items() if count < least}
        words = ", ".join(f"{path}: {count} bytes free" for path, count in (full or free).items())
        if full:
            return Finding(name, f"{words}, of at least {least}", is_ok=False)
        return Finding(name, words)

    def _disks(self) -> list[Path]:
        """One folder of each file system."""
        layout, found = self.layout, dict[int, Path]()
        for path in (layout.wals, layout.incoming, layout.streaming, layout.base):
            with at_the_disk("look at", path):
                found.setdefault(path.stat().st_dev, path)
        return list(found.values())

    def _queue(self, most: int) -> Finding:
        name = "WAL waiting"
        try:
            count = self.waiting()
        except StorageFailed as error:
            return failed(name, error)
        return Finding(name, f"{count} files, of at most {most}", is_ok=count <= most)

    def _age(self, oldest: timedelta) -> Finding:
        name = "last archived WAL"
        last = self.wal_runs.last_archived(self.server)
        if last is None:
            return Finding(name, "none yet", is_ok=False)
        age = self.now() - last.at
        words = f"{last.name}, {_words(age)} ago, of at most {_words(oldest)}"
        return Finding(name, words, is_ok=age <= oldest)


def _words(span: timedelta) -> str:
    return str(timedelta(seconds=int(span.total_seconds())))
