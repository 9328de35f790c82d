"""Receive one server's WAL as it is written: where to begin, and what is lost if that is gone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.catalog.events import Events
from barmand.catalog.servers import Servers
from barmand.model.errors import PostgresFailed, Refused, StorageFailed, ToolFailed
from barmand.model.event import Event
from barmand.model.lineage import Lineage, between, lineage_of
from barmand.model.standby_names import names_us
from barmand.model.wal import Run, Segment, WalKind, format_lsn, kind_of
from barmand.operations.ports import Clock, Stop, WalProgram, WalServer, Writing
from barmand.operations.slots import SlotKeeper
from barmand.operations.stream_place import Here, StreamPlace, place_words
from barmand.storage import backup_info
from barmand.storage.durable import write_whole
from barmand.storage.in_hand import InHand
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive

log = structlog.get_logger()

_GONE = "has already been removed"
_FIRST = 1
"""The timeline of a cluster that was never promoted; it has no history."""

OnLost = Callable[[str, int, int, int, int, str], None]
"""Told server, timeline, first LSN, the LSN behind the last, the segment size, and why."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The segment at which the stream begins anew, and how many are lost before it."""

    begin: str
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """`ring_archive` is called for each whole segment; `on_lost` for WAL that never comes."""

    server: str
    source: WalServer
    program: WalProgram
    keeper: SlotKeeper
    layout: Layout
    wals: WalArchive
    place: StreamPlace
    servers: Servers
    events: Events
    application_name: str
    in_hand: InHand
    ring_archive: Callable[[str], None]
    on_lost: OnLost
    now: Clock

    def receive(self, *, stop: Stop, on_start: Callable[[], None]) -> None:
        """Until `stop` (Stopped) or until the stream breaks (another Failure)."""
        if not self.layout.streaming.is_dir():
            raise StorageFailed(
                f"{self.layout.streaming} does not exist: is its file system mounted?"
            )
        here = self._look()
        self.keeper.demand()
        reserved = self.keeper.restart_lsn()
        self._fetch_histories(here.lineage)
        self.place.prepare(here)
        try:
            self._stream(here, stop, on_start)
        except ToolFailed as failure:
            if _GONE in f"{failure.message}\n{failure.hint}":
                self._give_up(reserved)
            raise

    def demand_slot(self, seconds: int) -> None:
        """For a backup. Another cluster gets no slot of ours; the backup's check tells of that.

        PostgreSQL has so many seconds for each question.
        """
        if self._known() in (None, self.source.within(seconds).writing().system_id):
            self.keeper.within(seconds).demand()

    def reset(self) -> Reset:
        """Begin at the slot, or at what the server writes now; what lies between is lost, and told.

        Only while nothing is received. Raises Refused where we are ahead of the server.
        """
        here = self._look()
        self._fetch_histories(here.lineage)
        lsn = self.keeper.restart_lsn() or here.flushed_lsn
        number = lsn // here.size
        begin = Segment(here.lineage.at(number * here.size), number)
        wanted = self.place.wanted(here)
        if wanted is not None and wanted.number > here.flushed_lsn // here.size:
            raise Refused(
                f"{self.server} has received WAL up to {place_words(wanted, here.size)}, "
                f"but the server has written only up to {format_lsn(here.flushed_lsn)}",
                hint="Is it the right server? Then it will get there by itself.",
            )
        lost = self._skip(here, wanted, begin, "the receiver was reset")
        return Reset(begin.name(here.size), sum(run.last - run.first + 1 for run in lost))

    # ---------------------------------------------------------------------------------- the server
    def _look(self) -> Here:
        """Never mix two clusters: raises Refused where another one answers."""
        identity, writing = self.source.identify(), self.source.writing()
        self._demand_same(writing)
        lineage = self._lineage(identity.timeline)
        return Here(writing, lineage, identity.flushed_lsn)

    def _known(self) -> str | None:
        stored = backup_info.load_identity(self.layout)
        return self.servers.system_id(self.server) or (stored[0] if stored else None)

    def _demand_same(self, writing: Writing) -> None:
        known = self._known()
        if known is None:
            backup_info.save_identity(self.layout, writing.system_id, writing.version)
            self.servers.know(
                self.server,
                now=self.now(),
                system_id=writing.system_id,
                version=writing.version,
            )
        elif known != writing.system_id:
            self._tell_once(
                "WAL source is another cluster", {"system_id": writing.system_id, "known": known}
            )
            raise Refused(
                f"the server that WAL is streamed from is system {writing.system_id}, "
                f"but {self.server} is {known}",
                hint="Mend its connection; for a new cluster, configure a server of another name.",
            )

    def _lineage(self, timeline: int) -> Lineage:
        if timeline == _FIRST:
            return Lineage(timeline)
        text = self.source.history(timeline)
        try:
            return lineage_of(timeline, text.decode(errors="replace"))
        except ValueError as error:
            raise PostgresFailed(
                f"{self.server} gives a history of timeline {timeline} that is none",
                hint=str(error),
            ) from error

    def _fetch_histories(self, lineage: Lineage) -> None:
        """Of every timeline that the server went through, also of one that we never saw."""
        for timeline in lineage.timelines:
            name = f"{timeline:08X}.history"
            if timeline == _FIRST or self.wals.holds(name):
                continue
            if any((place / name).exists() for place in _arriving(self.layout)):
                continue
            try:
                content = self.source.history(timeline)
            except PostgresFailed as failure:
                # The newest history names all ancestors; a server need not keep theirs.
                log.info("history not fetched", file=name, error=failure.message)
                continue
            write_whole(self.layout.streaming / name, content)
            log.info("history fetched", file=name)

    # ------------------------------------------------------------------------------------ stream
    def _stream(self, here: Here, stop: Stop, on_start: Callable[[], None]) -> None:
        def finished(timeline: int, lsn: int) -> None:
            self.in_hand.finished(Segment(timeline, (lsn - 1) // here.size), here.size)
            self.ring_archive(self.server)

        def switched(timeline: int) -> None:
            log.info("WAL source changed its timeline", timeline=timeline)
            self.in_hand.switched(timeline)
            self.ring_archive(self.server)

        names = here.writing.synchronous_standby_names
        self.in_hand.begin(self.layout.streaming)
        self.ring_archive(self.server)
        try:
            self.program.receive(
                stop=stop,
                on_start=on_start,
                on_finished=finished,
                on_timeline=switched,
                is_synchronous=names_us(names, self.application_name),
            )
        finally:
            self.in_hand.end()
            self.ring_archive(self.server)

    # --------------------------------------------------------------------------------- what is lost
    def _give_up(self, reserved: int | None) -> None:
        """PostgreSQL has removed what comes next: go on at the oldest that it still has.

        `reserved` is the slot's LSN before the attempt: pg_receivewal's first report may have moved
        the slot back to where it began, and PostgreSQL believes that it has what it removed.
        """
        here = self._look()
        wanted = self.place.wanted(here)
        if wanted is None:
            return
        if here.writing.lists_wal:
            oldest = self._oldest_listed(here)
        else:
            oldest = self._oldest_kept(here, reserved, wanted)
        if oldest > wanted.number:
            behind = Segment(here.lineage.at(oldest * here.size), oldest)
            self._skip(here, wanted, behind, "PostgreSQL removed it before it was received")

    def _oldest_listed(self, here: Here) -> int:
        """The number of the first segment from which on the server has all."""
        newest = here.flushed_lsn // here.size
        numbers = set(_numbers(self.source.segment_names(), here))
        while newest - 1 in numbers:
            newest -= 1
        return newest

    def _oldest_kept(self, here: Here, reserved: int | None, wanted: Segment) -> int:
        """The number of the first segment that the slot keeps; of the newest without a slot."""
        if reserved is not None and reserved // here.size <= wanted.number:
            self.keeper.renew("it was moved back to WAL that PostgreSQL has removed")
            reserved = self.keeper.restart_lsn()
        return (here.flushed_lsn if reserved is None else reserved) // here.size

    def _skip(self, here: Here, first: Segment | None, behind: Segment, why: str) -> list[Run]:
        """Told first, skipped second: dying in between tells it twice, never zero times."""
        lost = [] if first is None else between(here.lineage, first, behind, here.size)
        for run in lost:
            begin, end = run.first * here.size, (run.last + 1) * here.size
            self.on_lost(self.server, run.timeline, begin, end, here.size, why)
        self.place.lead_to(behind, here)
        return lost

    def _tell_once(self, kind: str, facts: dict[str, object]) -> None:
        self.events.add_once(Event(at=self.now(), kind=kind, server=self.server, facts=facts))


def _numbers(names: list[str], here: Here) -> list[int]:
    """Of the segments on the server's own line of timelines."""
    return [
        Segment.parse(name, here.size).number
        for name in names
        if kind_of(name) is WalKind.SEGMENT and int(name[:8], 16) in here.lineage.timelines
    ]


def _arriving(layout: Layout) -> tuple[Path, ...]:
    return (layout.streaming, layout.incoming)
