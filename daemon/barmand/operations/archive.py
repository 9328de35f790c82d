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
from barmand.model.event import Event
from barmand.model.wal import Run, Segment, format_lsn, missing, runs_of
from barmand.operations.hooked_intake import HookedTakeIn
from barmand.operations.ports import Clock
from barmand.operations.record import Record
from barmand.operations.taking_in import TakeIn, Taken
from barmand.storage.arrivals import arrivals
from barmand.storage.in_hand import InHand
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive, look_into, size_of

log = structlog.get_logger()

NAMED_SEGMENTS = 10
GROUP_FILES = 64
GROUP_BYTES = 512 * 1024 * 1024
"""What shares one transaction and one syncing of directories; a backup waits no longer for it."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How many files one pass takes from each directory; 0 is all."""

    incoming: int = 0
    streaming: int = 0


ALL_AT_ONCE = Batches()


@dataclass(frozen=True, slots=True)
class Passed:
    archived: int
    left: int
    """For the next pass: what its batch had no room for."""


@dataclass(frozen=True, slots=True)
class Archive:
    server: str
    layout: Layout
    wals: WalArchive
    wal_runs: WalRuns
    backups: Backups
    take_in: TakeIn | HookedTakeIn
    events: Events
    record: Record
    guard: AbstractContextManager[object]
    passing: AbstractContextManager[object]
    in_hand: InHand
    """What pg_receivewal is still at is left alone: it rings once it is finished."""
    now: Clock
    batches: Batches = ALL_AT_ONCE

    def run(self, is_over: Callable[[], bool]) -> Passed:
        """One pass: what has arrived, then the backups that wait.

        One pass at a time a server; `is_over` ends it between two files. A file that cannot be
        taken stays where it is and does not hold up the others; the first failure is raised at the
        end.
        """
        with self.passing:
            self.wals.retire_barman_index()
            taken = Taken()
            left = self._take_all(taken, is_over)
            if is_over():
                return Passed(len(taken.archived), left)
            if taken.unfinished:
                facts: dict[str, object] = {"segments": taken.unfinished[:NAMED_SEGMENTS]}
                self._tell_once("WAL segment incomplete", facts)
            self.take_in.branches.judge(taken.branches)
            self.settle()
        if taken.held_back is not None:
            raise taken.held_back
        if taken.failures:
            raise taken.failures[0]
        return Passed(len(taken.archived), left)

    def _take_all(self, taken: Taken, is_over: Callable[[], bool]) -> int:
        """How many files are left for the next pass, beyond the batches."""
        left = 0
        for directory, batch in (
            (self.layout.streaming, self.batches.streaming),
            (self.layout.incoming, self.batches.incoming),
        ):
            found = arrivals(directory, takes_partial=directory == self.layout.incoming)
            waiting = self.in_hand.free(found)
            room = batch or len(waiting)
            while waiting and room and not is_over() and taken.held_back is None:
                group = _group(waiting, room, is_over)
                del waiting[: len(group)]
                now = self.take_in.run(group)
                # What could not be taken leaves its room to the others.
                room -= len(group) - len(now.unfinished) - len(now.failures)
                taken.add(now)
                self._settle_complete(now)
            left += len(waiting)
        return left

    def _settle_complete(self, now: Taken) -> None:
        """At once after each group: no backup waits for the rest of a long queue."""
        for backup in self.backups.waiting(self.server) if now.archived else ():
            if not self.missing(backup):
                self.look_at(backup)

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
            if backup.status is Status.WAITING_FOR_WALS:
                return self._judge(backup)
            if backup.status in RESTORABLE:
                self._found_on_disk(self.missing(backup), backup)
            return backup

    def missing(self, backup: Backup) -> list[Run]:
        """The segments that the backup needs and the archive does not have."""
        needed = backup.needed()
        return (
            [] if needed is None else missing(needed, list(self.wal_runs.near(self.server, needed)))
        )

    def heal(self) -> None:
        """At start: take in what lies in the archive, unknown to the catalogue.

        A daemon that dies between a segment's last rename and its row leaves such a segment. Rows
        are read first: a deletion takes files first, so what it removes meanwhile is not taken in.
        """
        with self.passing:
            self.wals.clear_leftovers()
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
        held = self.wal_runs.near(self.server, needed)
        lost = [
            segment
            for segment in needed.segments()
            if any(segment in run for run in held)
            and not self.wals.is_whole(segment.name(cluster.segment_size), cluster.segment_size)
        ]
        if lost:
            gone = [run for run, _ in runs_of((segment, 0) for segment in lost)]
            self.wal_runs.lose(
                self.server,
                gone,
                segment_size=cluster.segment_size,
                why="it is not whole in the archive any more",
                now=self.now(),
            )
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

    def _found_on_disk(self, gaps: Sequence[Run], backup: Backup) -> bool:
        """The directory is the truth about WAL: take in what lies there and no row tells."""
        size = backup.cluster.segment_size if backup.cluster else 0
        found = [self._take_in(segment, size) for gap in gaps for segment in gap.segments()]
        return any(found)

    def _take_in(self, segment: Segment, segment_size: int) -> bool:
        name = segment.name(segment_size)
        path = self.wals.path(name)
        if path is None or look_into(path)[1] != segment_size:  # a packed one to its end
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


def _group(waiting: Sequence[Path], room: int, is_over: Callable[[], bool]) -> list[Path]:
    """The next files to be taken together, one at least."""
    group, total = [waiting[0]], 0
    for path in waiting[1 : min(room, GROUP_FILES)]:
        total += size_of(group[-1])
        if total >= GROUP_BYTES or is_over():
            break
        group.append(path)
    return group


def names_of(gaps: Sequence[Run], segment_size: int, most: int) -> list[str]:
    """At most `most` file names, in order."""
    names: list[str] = []
    for gap in gaps:
        for segment in gap.segments():
            if len(names) == most:
                return names
            names.append(segment.name(segment_size))
    return names
