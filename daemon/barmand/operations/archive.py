"""Incoming WAL into the archive; which backups are safe now."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.events import Events
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE, Backup, Status
from barmand.model.door import Belongs, Expected, Misfit, Unfinished
from barmand.model.errors import StorageFailed
from barmand.model.event import Event
from barmand.model.wal import Run, Segment, WalKind, format_lsn, kind_of, missing, runs_of
from barmand.operations.door import Door
from barmand.operations.ports import Clock
from barmand.operations.quarantine import Quarantine
from barmand.operations.record import Record
from barmand.storage.arrivals import arrivals
from barmand.storage.layout import Layout
from barmand.storage.wals import Put, WalArchive, size_of

log = structlog.get_logger()

NAMED_SEGMENTS = 10


@dataclass(frozen=True, slots=True)
class Archive:
    server: str
    layout: Layout
    wals: WalArchive
    wal_runs: WalRuns
    backups: Backups
    door: Door
    quarantine: Quarantine
    events: Events
    record: Record
    guard: AbstractContextManager[object]
    now: Clock

    def run(self, is_over: Callable[[], bool]) -> None:
        """One pass: all that has arrived, then the backups that wait.

        One pass at a time a server; `is_over` ends it between two files. A file that cannot be
        taken stays where it is and does not hold up the others; the first failure is raised at the
        end.
        """
        self.wals.retire_barman_index()
        expected = self.door.expected()
        failures: list[StorageFailed] = []
        incomplete: list[str] = []
        for directory in (self.layout.streaming, self.layout.incoming):
            for path in arrivals(directory):
                if is_over():
                    return
                try:
                    if not self._accept(path, expected):
                        incomplete.append(path.name)
                except StorageFailed as failure:
                    failures.append(failure)
        if incomplete:
            self._tell_once("WAL segment incomplete", {"segments": incomplete[:NAMED_SEGMENTS]})
        self.settle()
        if failures:
            raise failures[0]

    def settle(self) -> None:
        """Make every waiting backup DONE whose last needed segment is here."""
        for backup in self.backups.waiting(self.server):
            self.look_at(backup)

    def look_at(self, backup: Backup) -> Backup:
        """DONE if its WAL is whole, else the same: a missing segment never fails a backup.

        Several may look at once, and one may delete it; the server's guard lets one at a time.
        """
        with self.guard:
            backup = self.backups.get(self.server, backup.id)
            self._drop_lost(backup)
            return self._judge(backup) if backup.status is Status.WAITING_FOR_WALS else backup

    def missing(self, backup: Backup) -> list[Run]:
        """The segments that the backup needs and the archive does not have."""
        needed = backup.needed()
        return [] if needed is None else missing(needed, list(self.wal_runs.of_server(self.server)))

    def heal(self) -> None:
        """At start: take in what lies in the archive, unknown to the catalogue.

        A daemon that dies between a segment's last rename and its row leaves such a segment. Rows
        are read first: a deletion takes files first, so what it removes meanwhile is not taken in.
        """
        size = self.wal_runs.segment_size(self.server)
        if size is None:
            return
        known = list(self.wal_runs.of_server(self.server))
        lost = [
            (segment, count)
            for segment, count in self.wals.segments(size)
            if not any(segment in run for run in known)
            and self.wals.is_whole(segment.name(size), size)
        ]
        if lost:
            self.wal_runs.extend(self.server, lost, segment_size=size, now=self.now())

    def _drop_lost(self, backup: Backup) -> None:
        """Rows tell what was archived; what is not whole on disk any more counts as missing."""
        needed, cluster = backup.needed(), backup.cluster
        if needed is None or cluster is None or backup.status not in RESTORABLE:
            return
        held = self.wal_runs.of_server(self.server)
        lost = [
            segment
            for segment in needed.segments()
            if any(segment in run for run in held)
            and not self.wals.is_whole(segment.name(cluster.segment_size), cluster.segment_size)
        ]
        if lost:
            gone = [run for run, _ in runs_of((segment, 0) for segment in lost)]
            self.wal_runs.cut(self.server, gone)
            names = names_of(gone, cluster.segment_size, NAMED_SEGMENTS)
            facts = {"lost": len(lost), "segments": names}
            if self._tell_once("archived WAL lost or damaged", facts, backup):
                log.error("archived WAL lost or damaged", backup_id=backup.id, **facts)

    def _judge(self, backup: Backup) -> Backup:
        gaps = self.missing(backup)
        if gaps and backup.cluster is not None and self._found_on_disk(gaps, backup):
            gaps = self.missing(backup)
        if gaps:
            self._tell_missing(backup, gaps)
            return backup
        done = self.record.move(backup, backup.secured(self.now()))
        self._tell_done(done)
        return done

    def _accept(self, path: Path, expected: Expected) -> bool:
        """False when it is left alone: somebody still writes it."""
        match self.door.look(path, expected):
            case Unfinished():
                # Its last write rings again, most likely, and the poll looks.
                return False
            case Misfit(reason, why):
                self.quarantine.set_aside(path, reason, why)
            case Belongs(segment, segment_size):
                self._take(path, segment, segment_size)
        return True

    def _take(self, path: Path, segment: Segment | None, segment_size: int | None) -> None:
        if segment is None or segment_size is None or kind_of(path.name) is not WalKind.SEGMENT:
            self._put(path)
            return
        self._make_way(path.name, segment_size)
        if self._put(path):
            held = [(segment, segment_size)]
            self.wal_runs.extend(self.server, held, segment_size=segment_size, now=self.now())
            log.debug("segment archived", segment=path.name)

    def _make_way(self, name: str, segment_size: int) -> None:
        """An archived segment that is not whole any more must not keep a whole one out."""
        archived = self.wals.path(name)
        if archived is not None and not self.wals.is_whole(name, segment_size):
            self.quarantine.set_aside(
                archived, "damaged", "it was in the archive, but it is not whole"
            )

    def _put(self, path: Path) -> bool:
        """True when the archive holds that very content; it is durable then."""
        match self.wals.put(path):
            case Put.STORED | Put.SAME:
                return True
            case Put.DIFFERENT:
                why = "the archive holds another content under its name"
                self.quarantine.set_aside(path, "duplicate", why)
                return False

    def _found_on_disk(self, gaps: Sequence[Run], backup: Backup) -> bool:
        """The directory is the truth about WAL: take in what lies there and no row tells."""
        size = backup.cluster.segment_size if backup.cluster else 0
        found = [self._take_in(segment, size) for gap in gaps for segment in gap.segments()]
        return any(found)

    def _take_in(self, segment: Segment, segment_size: int) -> bool:
        name = segment.name(segment_size)
        path = self.wals.path(name)
        if path is None or not self.wals.is_whole(name, segment_size):
            return False
        held = [(segment, size_of(path))]
        self.wal_runs.extend(self.server, held, segment_size=segment_size, now=self.now())
        return True

    def _tell_missing(self, backup: Backup, gaps: Sequence[Run]) -> None:
        size = backup.cluster.segment_size if backup.cluster else 0
        facts: dict[str, object] = {
            "missing": sum(gap.last - gap.first + 1 for gap in gaps),
            "segments": names_of(gaps, size, NAMED_SEGMENTS),
        }
        if self._tell_once("backup waits for WAL", facts, backup):
            log.info("backup waits for WAL", backup_id=backup.id, **facts)

    def _tell_once(self, kind: str, facts: dict[str, object], backup: Backup | None = None) -> bool:
        backup_id = None if backup is None else backup.id
        return self.events.add_once(
            Event(at=self.now(), kind=kind, server=self.server, backup_id=backup_id, facts=facts)
        )

    def _tell_done(self, backup: Backup) -> None:
        if backup.copied is not None and backup.copied_at is not None:
            log.info(
                "backup done",
                backup_id=backup.id,
                bytes=backup.copied.size,
                begin_lsn=format_lsn(backup.copied.begin_lsn),
                end_lsn=format_lsn(backup.copied.end_lsn),
                seconds=round(backup.copied.copy_seconds, 1),
                waited_seconds=round((self.now() - backup.copied_at).total_seconds(), 1),
            )


def names_of(gaps: Sequence[Run], segment_size: int, most: int) -> list[str]:
    """At most `most` file names, in order."""
    names: list[str] = []
    for gap in gaps:
        for segment in gap.segments():
            if len(names) == most:
                return names
            names.append(segment.name(segment_size))
    return names
