"""Is there room for what comes next: WAL, and the next backup?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from barmand.catalog.backup_counts import BackupCounts
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE, Backup, Status
from barmand.model.finding import Finding, Measure, failed, passed, warned
from barmand.storage.disk import at_the_disk, free_bytes
from barmand.storage.file_systems import keeps_byte_for_byte
from barmand.storage.layout import Layout

FOR_BACKUP = "free space for a backup"
MIB = 1 << 20
LEAST_FREE = 64 * MIB
_ROOM = 1.2
"""How much more than the last backup there should be: a cluster grows."""
_LEAST, _LEAST_LINKED = 0.8, 0.5
"""What the next backup surely takes of what the last took."""
_LINKED = 3
"""Of so many linked backups the smallest counts."""

ClusterSize = Callable[[], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceHealth:
    """`links`: unchanged files of the backup before are linked, so only what is new takes room.

    `method` and `compression` are those of the next backup; `by_the_kernel` is its way of copying.
    """

    server: str
    layout: Layout
    counts: BackupCounts
    wal_runs: WalRuns
    method: str
    compression: str | None = None
    by_the_kernel: bool = False
    links: bool = False
    least_free: int = LEAST_FREE
    """Bytes; two segments, where those are more."""

    def findings(self) -> Iterator[Finding]:
        """Of each file system that WAL and backups are written to."""
        yield _least({path: free_bytes(path) for path in self._disks()}, self._reserve())

    def next_backup(
        self, cluster_size: ClusterSize, *, links: bool | None = None
    ) -> Iterator[Finding]:
        """Does it fit? What surely does not is not begun: it would take the room that WAL needs.

        `cluster_size` is asked only where the answer depends on it; `links` is the order's word.
        """
        base, free = self.layout.base, free_bytes(self.layout.base)
        room = max(0, free - self._reserve())
        least = self._surely(room, cluster_size, links=self.links if links is None else links)
        expected = self.expected()
        if least is not None and least > room:
            yield does_not_fit(base, free, self._reserve(), least)
        elif expected is not None:
            yield for_backup(base, free, expected)
        elif not self.counts.newest(self.server, RESTORABLE):
            size = cluster_size()
            if size is not None and size > room:
                yield first_may_not_fit(base, free, size)

    def _reserve(self) -> int:
        return max(self.least_free, 2 * (self.wal_runs.segment_size(self.server) or 0))

    def _surely(self, room: int, cluster_size: ClusterSize, *, links: bool) -> int | None:
        """What it takes at the very least; None where nothing tells."""
        done = self.counts.newest(self.server, (Status.DONE,), count=_LINKED + 1)
        if not done or not keeps_byte_for_byte(self.layout.base, by_the_kernel=self.by_the_kernel):
            return None
        last = done[0]
        if (last.method, last.compression) != (self.method, self.compression):
            return None
        if links:
            return _smallest_linked(done) if _is_linked(done) else None
        least = int(last.copied.size * _LEAST) if last.copied else 0
        return least if least <= room else min(least, _shrunk(least, last, cluster_size()))

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


def _smallest_linked(done: list[Backup]) -> int:
    sizes = [
        each.copied.deduplicated_size
        for each in done[:_LINKED]
        if each.copied and each.copied.deduplicated_size < each.copied.size
    ]
    return int(min(sizes) * _LEAST_LINKED)


def _shrunk(least: int, last: Backup, size: int | None) -> int:
    """Less, where the cluster has become smaller since then."""
    then = last.cluster.size if last.cluster else None
    return least if not then or size is None else int(least * size / then)


def _least(free: Mapping[Path, int], least: int) -> Finding:
    full = {path: count for path, count in free.items() if count < least}
    words = ", ".join(f"{path}: {_size(count)} free" for path, count in (full or free).items())
    measure = Measure("free", min(free.values()), "B", None, least, is_least=True)
    if full:
        return failed("free space", f"{words}, of at least {_size(least)}", measure=measure)
    return passed("free space", words, measure=measure)


def does_not_fit(base: Path, free: int, reserve: int, least: int) -> Finding:
    words = (
        f"{base}: {_size(free)} free, {_size(reserve)} of it kept for WAL; judged by the last ones "
        f"the next backup takes {_size(least)} at the very least: "
        "delete backups, or make the file system larger"
    )
    return failed(FOR_BACKUP, words, keeps_from_backup=True)


def first_may_not_fit(base: Path, free: int, size: int) -> Finding:
    words = f"{base}: {_size(free)} free, the cluster has {_size(size)}: a backup may not fit"
    return warned(FOR_BACKUP, words)


def for_backup(base: Path, free: int, expected: int) -> Finding:
    name = FOR_BACKUP
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
