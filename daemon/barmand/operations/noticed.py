"""Archived WAL that is noticed to be gone or damaged: a gap at once, and an alarm."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from barmand.catalog.events import Events
from barmand.catalog.servers import Servers
from barmand.catalog.wal_runs import WalRuns
from barmand.model.door import Belongs, Expected, judge
from barmand.model.event import Event
from barmand.model.wal import Segment, WalKind, kind_of, runs_of
from barmand.operations.archive import NAMED_SEGMENTS, names_of
from barmand.operations.ports import Clock
from barmand.storage.disk import at_the_disk
from barmand.storage.ground import complaint
from barmand.storage.wals import WalArchive, look_into

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Noticed:
    server: str
    wals: WalArchive
    servers: Servers
    wal_runs: WalRuns
    events: Events
    guard: AbstractContextManager[object]
    now: Clock

    def tell_name(self, name: str) -> None:
        """As `tell`, of a file of any name; only segments are in rows."""
        size = self.wal_runs.segment_size(self.server)
        if size is None or kind_of(name) is not WalKind.SEGMENT:
            return
        try:
            segment = Segment.parse(name, size)
        except ValueError:
            return
        self.tell([segment], size)

    def tell(self, suspects: Sequence[Segment], size: int) -> None:
        """Those that the rows tell of, and that are not whole at a second look, become a gap.

        Nothing while the archive as a whole seems gone: a mount that comes back has it all.
        Raises StorageFailed for a disk that does not answer.
        """
        with self.guard:
            if self._seems_gone():
                return
            known = self.wal_runs.of_server(self.server)
            lost = [
                segment
                for segment in suspects
                if any(segment in run for run in known) and not self._is_sound(segment, size)
            ]
            if not lost:
                return
            gone = [run for run, _ in runs_of((segment, 0) for segment in lost)]
            why = "it was asked for, and is not whole in the archive any more"
            self.wal_runs.lose(self.server, gone, segment_size=size, why=why, now=self.now())
        names = names_of(gone, size, NAMED_SEGMENTS)
        facts: dict[str, object] = {"lost": len(lost), "segments": names}
        kind = "archived WAL lost or damaged"
        if self.events.add_once(Event(at=self.now(), kind=kind, server=self.server, facts=facts)):
            log.error(kind, server=self.server, **facts)

    def _seems_gone(self) -> bool:
        layout = self.wals.layout
        is_known = self.servers.system_id(self.server) is not None
        if complaint(layout, is_known=is_known) is not None:
            return True
        with at_the_disk("list", layout.wals):  # a bare file system has its lost+found at most
            return not any(path.name != "lost+found" for path in layout.wals.iterdir())

    def _is_sound(self, segment: Segment, size: int) -> bool:
        """To its last byte, where it is packed."""
        name = segment.name(size)
        path = self.wals.path(name)
        if path is None:
            return False
        header, count = look_into(path)
        verdict = judge(name, header, count, Expected())
        return isinstance(verdict, Belongs)
