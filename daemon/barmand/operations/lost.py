"""WAL that never comes: told once, with its range, wherever it was noticed."""

from dataclasses import dataclass

import structlog

from barmand.catalog.events import Events
from barmand.catalog.wal_gaps import Found, WalGaps
from barmand.model.event import Event
from barmand.model.wal import Run, format_lsn
from barmand.operations.archive import NAMED_SEGMENTS, names_of
from barmand.operations.ports import Clock

log = structlog.get_logger()

WAL_LOST = "WAL lost"


@dataclass(frozen=True, slots=True)
class LostWal:
    """Called with a range; equal to another of the same catalogue, as its users must be."""

    events: Events
    wal_gaps: WalGaps
    now: Clock

    def __call__(  # noqa: PLR0917 - a range is these words, in this order
        self, server: str, timeline: int, first_lsn: int, last_lsn: int, size: int, why: str
    ) -> None:
        """`last_lsn` points behind the last byte that is lost; both are on segments' borders."""
        run = Run(timeline, first_lsn // size, last_lsn // size - 1)
        facts: dict[str, object] = {
            "timeline": timeline,
            "first_lsn": format_lsn(first_lsn),
            "last_lsn": format_lsn(last_lsn),
            "count": run.last - run.first + 1,
            "segments": names_of([run], size, NAMED_SEGMENTS),
            "why": why,
        }
        self.wal_gaps.tell_missing(Found(server, size, self.now(), why), run)
        if self.events.add_once(Event(at=self.now(), kind=WAL_LOST, server=server, facts=facts)):
            log.error(WAL_LOST, server=server, **facts)
