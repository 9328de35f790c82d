"""Is there room for what comes next: WAL, and the next backup?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from barmand.catalog.backup_counts import BackupCounts
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE, Backup
from barmand.model.finding import Finding, Measure, failed, passed, warned
from barmand.storage.disk import at_the_disk, free_bytes
from barmand.storage.layout import Layout

MIB = 1 << 20
LEAST_FREE = 64 * MIB
_ROOM = 1.2
"""How much more than the last backup there should be: a cluster grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceHealth:
    """`links`: unchanged files of the backup before are linked, so only what is new takes room."""

    server: str
    layout: Layout
    counts: BackupCounts
    wal_runs: WalRuns
    links: bool = False
    least_free: int = LEAST_FREE
    """Bytes; two segments, where those are more."""

    def findings(self) -> Iterator[Finding]:
        """Of each file system that WAL and backups are written to."""
        segment_size = self.wal_runs.segment_size(self.server) or 0
        least = max(self.least_free, 2 * segment_size)
        yield _least({path: free_bytes(path) for path in self._disks()}, least)
        expected = self.expected()
        if expected is not None:
            yield for_backup(self.layout.base, free_bytes(self.layout.base), expected)

    def expected(self) -> int | None:
        """What the next backup may take, as the last ones did; None where nothing tells."""
        last = self.counts.newest(self.server, RESTORABLE, count=2)
        if not last or last[0].copied is None:
            return None
        if not self.links:
            return last[0].copied.size
        # The first of linked backups is whole: it says nothing of those that follow.
        return last[0].copied.deduplicated_size if _is_linked(last) else None

    def _disks(self) -> list[Path]:
        """One folder of each file system."""
        layout, found = self.layout, dict[int, Path]()
        for path in (layout.wals, layout.incoming, layout.streaming, layout.base):
            with at_the_disk("look at", path):
                found.setdefault(path.stat().st_dev, path)
        return list(found.values())


def _is_linked(last: list[Backup]) -> bool:
    copied = last[0].copied
    return len(last) > 1 and copied is not None and copied.deduplicated_size < copied.size


def _least(free: Mapping[Path, int], least: int) -> Finding:
    full = {path: count for path, count in free.items() if count < least}
    words = ", ".join(f"{path}: {_size(count)} free" for path, count in (full or free).items())
    measure = Measure("free", min(free.values()), "B", None, least, is_least=True)
    if full:
        return failed("free space", f"{words}, of at least {_size(least)}", measure=measure)
    return passed("free space", words, measure=measure)


def for_backup(base: Path, free: int, expected: int) -> Finding:
    name = "free space for a backup"
    words = f"{base}: {_size(free)} free, the last backup took {_size(expected)}"
    if free < expected:
        return failed(name, f"{words}: the next one may not fit; free space, or delete backups")
    if free < expected * _ROOM:
        return warned(name, f"{words}: the next one just fits")
    return passed(name, words)


def _size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", MIB)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
