"""Where one server's stream goes on, and streaming/ made ready for that."""

from dataclasses import dataclass

import structlog

from barmand.catalog.wal_runs import WalRuns
from barmand.model.lineage import Lineage, advanced, behind_held, on_line
from barmand.model.wal import Run, Segment, format_lsn
from barmand.operations.ports import Writing
from barmand.operations.quarantine import Quarantine
from barmand.operations.slots import SlotKeeper
from barmand.storage.durable import move_whole, remove_file
from barmand.storage.layout import Layout
from barmand.storage.streamed import (
    Streamed,
    begins_as,
    mark,
    mend_halves,
    streamed,
    written,
)
from barmand.storage.wals import WalArchive

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Here:
    """The server as it is at the beginning of a stream."""

    writing: Writing
    lineage: Lineage
    flushed_lsn: int

    @property
    def size(self) -> int:
        return self.writing.segment_size


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlace:
    server: str
    layout: Layout
    wals: WalArchive
    quarantine: Quarantine
    wal_runs: WalRuns
    keeper: SlotKeeper

    def wanted(self, here: Here) -> Segment | None:
        """What comes next; None where nothing of this server is here and no slot tells."""
        held = list(self.wal_runs.of_server(self.server))
        mine = [
            each
            for each in streamed(self.layout.streaming, here.size)
            if each.segment.timeline in here.lineage.timelines
        ]
        if mine:
            last = max(mine, key=lambda each: each.rank)
            return advanced(here.lineage, last.following, held, here.size)
        wanted = behind_held(here.lineage, held, here.size)
        reserved = self.keeper.restart_lsn()
        if reserved is None:
            return wanted
        kept = reserved // here.size
        if wanted is None or kept < wanted.number:  # to receive a segment twice does no harm
            return Segment(here.lineage.at(kept * here.size), kept)
        return wanted

    def prepare(self, here: Here) -> None:
        """See to it that pg_receivewal begins there, with nothing in its way."""
        wanted = self.wanted(here)
        found = streamed(self.layout.streaming, here.size)
        for path in mend_halves(found, here.size):
            self._set_aside(path.name, "too-long", "it is longer than a segment")
        if wanted is not None:
            self.lead_to(wanted, here)

    def lead_to(self, wanted: Segment, here: Here) -> None:
        """It begins at the half of the highest rank; a whole one may be archived at any moment."""
        begin = Streamed(self.layout.streaming, wanted, is_half=True)
        held = list(self.wal_runs.of_server(self.server))
        found = streamed(self.layout.streaming, here.size)
        for each in found:
            if each.rank > begin.rank and each.is_half:
                self._set_aside(each.path.name, "forked", self._why_not(each, wanted, here))
            elif each.rank > begin.rank:
                move_whole(each.path, self.layout.incoming / each.path.name)
            elif each.is_half and each.rank < begin.rank:
                self._clear(each, _covering(each, here, held), here)
        if not any(each.rank == begin.rank for each in found):
            mark(self.layout.streaming, wanted, here.size)

    def _clear(self, half: Streamed, cover: Segment | None, here: Here) -> None:
        """It goes only where the archive tells all that it tells, byte for byte."""
        if cover is None:
            return
        name, count = cover.name(here.size), written(half.path)
        shared = min(count, _shared(half.segment, cover, here))
        archived = self.wals.path(name)
        if archived is None or not begins_as(archived, half.path, shared):
            why = (
                f"PostgreSQL streamed it, and {name} in the archive does not begin as it does: "
                "that one may be the wrong one, pushed while PostgreSQL still wrote it"
            )
            self.quarantine.set_aside(half.path, "differs", why)
        elif shared < count:
            self._set_aside(half.path.name, "forked", self._why_not(half, cover, here))
        else:
            remove_file(half.path)
            log.info("half segment removed: the archive has it whole", file=half.path.name)

    def _why_not(self, half: Streamed, wanted: Segment, here: Here) -> str:
        why = f"{self.server} goes on without it, from {place_words(wanted, here.size)}"
        left = here.lineage.end(half.segment.timeline)
        if left is not None:
            why += f"; it left timeline {half.segment.timeline} at {format_lsn(left)}"
        return why

    def _set_aside(self, name: str, reason: str, why: str) -> None:
        self.quarantine.set_aside(self.layout.streaming / name, reason, why, is_alarm=False)


def _covering(half: Streamed, here: Here, held: list[Run]) -> Segment | None:
    """The archived segment that has all of it: itself, whole, or that of the timeline that
    followed; None where the archive has neither.
    """
    if half.segment.timeline not in here.lineage.timelines:
        return None
    candidate = on_line(here.lineage, half.segment, here.size)
    if candidate == half.segment and not any(candidate in run for run in held):
        candidate = _followed(here, candidate)
    return candidate if any(candidate in run for run in held) else None


def _shared(segment: Segment, cover: Segment, here: Here) -> int:
    """How many bytes both have in common: on the timeline that followed, those before it began."""
    left = here.lineage.end(segment.timeline)
    if cover == segment or left is None:
        return here.size
    return max(0, left - segment.number * here.size)


def _followed(here: Here, segment: Segment) -> Segment:
    """The same place on the timeline that followed, where its own was left in it."""
    end = here.lineage.end(segment.timeline)
    if end is None or segment.number != end // here.size:
        return segment
    return Segment(here.lineage.following(segment.timeline), segment.number)


def place_words(segment: Segment, size: int) -> str:
    return f"{format_lsn(segment.number * size)} on timeline {segment.timeline}"
