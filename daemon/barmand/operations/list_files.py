"""The files on disk that a backup consists of, one by one however many there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from barmand.catalog.backups import Backups
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE, Backup
from barmand.model.errors import Refused
from barmand.model.wal import Run
from barmand.storage.layout import Layout
from barmand.storage.trees import files_below
from barmand.storage.wals import WalArchive


class FileTarget(StrEnum):
    """Which of a backup's files; Barman's words."""

    STANDALONE = "standalone"
    """Its copy, and the WAL without which that is not consistent."""
    DATA = "data"
    """Its copy."""
    WAL = "wal"
    """All WAL from its beginning on, up to the end of the next backup if there is one."""
    FULL = "full"
    """Its copy and all that WAL."""


@dataclass(frozen=True, slots=True)
class ListFiles:
    layout: Layout
    wals: WalArchive
    wal_runs: WalRuns
    backups: Backups

    def run(self, backup: Backup, target: FileTarget) -> Iterator[Path]:
        """Raises Refused at once where WAL is asked for and it is not known which."""
        needed, cluster = backup.needed(), backup.cluster
        if target is FileTarget.DATA:
            return self._copy(backup)
        if needed is None or cluster is None:
            raise Refused(
                f"backup {backup.id} of {backup.server} is {backup.status}: which WAL it needs is "
                "not known",
                hint="`--target data` lists its copy.",
            )
        return self._with_wal(backup, needed, cluster.segment_size, target)

    def _with_wal(
        self, backup: Backup, needed: Run, segment_size: int, target: FileTarget
    ) -> Iterator[Path]:
        if target is not FileTarget.WAL:
            yield from self._copy(backup)
        if target is FileTarget.STANDALONE:
            yield from self._archived([needed], segment_size)
            return
        yield from (self.layout.wal(name) for name in self.wals.histories())
        yield from self._archived(self._from_its_beginning(backup, needed), segment_size)

    def _copy(self, backup: Backup) -> Iterator[Path]:
        """Data and tablespaces; not what lies beside them."""
        home = self.layout.backup(backup.id)
        for folder in sorted(home.iterdir()) if home.is_dir() else ():
            if folder == self.layout.data(backup.id) or folder.name.isdecimal():
                yield from files_below(folder)

    def _from_its_beginning(self, backup: Backup, needed: Run) -> list[Run]:
        end = self._end_of_next(backup, needed)
        return [
            Run(run.timeline, max(run.first, needed.first), last)
            for run in self.wal_runs.of_server(backup.server)
            if run.timeline >= needed.timeline
            if (last := run.last if end is None else min(run.last, end)) >= needed.first
        ]

    def _end_of_next(self, backup: Backup, needed: Run) -> int | None:
        """The last segment of the backup that began next."""
        others = (
            run
            for other in self.backups.of_server(backup.server)
            if other.status in RESTORABLE and (run := other.needed()) is not None
        )
        later = [run for run in others if run.first > needed.first]
        return min(later, key=lambda run: run.first).last if later else None

    def _archived(self, runs: list[Run], segment_size: int) -> Iterator[Path]:
        for run in runs:
            for segment in run.segments():
                path = self.wals.path(segment.name(segment_size))
                if path is not None:
                    yield path
