"""The catalogue again, from what lies on disk: a lost state file, or Barman's own catalogue."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.servers import Servers
from barmand.catalog.wal_gaps import Found, WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE
from barmand.model.errors import StorageFailed
from barmand.model.gap import Reach, holes
from barmand.model.wal import SEGMENT_SIZES, Run, runs_of
from barmand.operations.absent import ForgetGone
from barmand.operations.ports import Clock
from barmand.storage import backup_info
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive, look_into

log = structlog.get_logger()

MOST_ASKED = 100
"""Segments that are asked for their size, where none of them may tell."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    server: str
    layout: Layout
    wals: WalArchive
    backups: Backups
    servers: Servers
    wal_runs: WalRuns
    wal_gaps: WalGaps
    forget_gone: ForgetGone
    now: Clock

    def run(self) -> int:
        """Adopt what lies in the server's directories and no row tells of; usually nothing.

        How many backups it were.
        """
        if not self.layout.home.is_dir():
            return 0
        self.forget_gone.run()
        known = {backup.id for backup in self.backups.of_server(self.server)}
        backups = self._adopt_backups(known)
        has_news = self.layout.wals.is_dir() and not self.wal_runs.of_server(self.server)
        segments = self._adopt_wal() if has_news else 0
        identity = backup_info.load_identity(self.layout)
        if identity is not None and self.servers.system_id(self.server) is None:
            system_id, version = identity
            self.servers.know(self.server, now=self.now(), system_id=system_id, version=version)
        if backups or segments:
            log.info("catalogue read from disk", backups=backups, segments=segments)
        return backups

    def _adopt_backups(self, known: AbstractSet[str]) -> int:
        count = 0
        for backup_id in self.layout.backup_ids():
            if backup_id in known:
                continue
            try:
                backup = backup_info.load(self.layout, backup_id)
            except StorageFailed as error:
                log.error("backup not adopted", backup_id=backup_id, error=error.message)  # noqa: TRY400 - one damaged file must not hide the others; the operator reads its name
                continue
            if backup is not None:
                self.backups.adopt(backup, self.now())
                count += 1
        return count

    def _segment_size(self) -> int | None:
        """As the newest backup tells, or else a segment itself, for names alone do not."""
        return self.backups.segment_size(self.server) or self._told_by_a_segment()

    def _told_by_a_segment(self) -> int | None:
        smallest = min(SEGMENT_SIZES)  # every name is one of a cluster with such segments
        for segment, _ in islice(self.wals.segments(smallest), MOST_ASKED):
            path = self.wals.path(segment.name(smallest))
            header = None if path is None else look_into(path)[0]
            if header is not None and header.is_wal:
                return header.segment_size
        return None

    def _adopt_wal(self) -> int:
        segment_size = self._segment_size()
        if segment_size is None:  # a guess would count wrong, and refuse what comes
            return 0
        held = runs_of(self.wals.segments(segment_size))
        self.wal_runs.adopt(self.server, held, segment_size=segment_size, now=self.now())
        self._find_gaps([run for run, _ in held], segment_size)
        return sum(run.last - run.first + 1 for run, _ in held)

    def _find_gaps(self, held: Sequence[Run], segment_size: int) -> None:
        """What is missing between runs, where a backup would be replayed."""
        reaches = [
            reach
            for backup in self.backups.of_server(self.server)
            if backup.status in RESTORABLE and (reach := Reach.of(backup)) is not None
        ]
        found = Found(self.server, segment_size, self.now(), "it was not in the archive")
        for hole in holes(held, reaches):
            self.wal_gaps.tell_missing(found, hole)
