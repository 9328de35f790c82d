"""Which operation answers which request about WAL."""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.catalog.memory import Catalog
from barmand.service import wal_doors
from barmand.service.caller import Handed
from barmand.service.house import House, Kit
from barmand.service.runner import Runner
from barmand.wire.messages import AnyNote, Reply
from barmand.wire.wal_messages import (
    ArchivedReply,
    ArchiveWal,
    GetWal,
    PeekWal,
    WalPush,
    WalRequest,
)

Answer = Iterator[AnyNote | Reply | Handed | None]


@dataclass(frozen=True, slots=True)
class WalDesk:
    catalog: Catalog
    runner: Runner

    def answer(self, request: WalRequest, house: House, file: int | None) -> Answer:
        """Raises Failure, before or between replies."""
        match request:
            case ArchiveWal():
                yield self._archive(house.working_kit(request.server))
            case WalPush():
                yield from wal_doors.pushed(house.working_kit(request.server), request, file)
            case GetWal():
                yield wal_doors.fetched(house.kit(request.server), request)
            case PeekWal():
                yield wal_doors.peeked(house.kit(request.server), request)

    def _archive(self, kit: Kit) -> Reply:
        passed = kit.archive.run(self.runner.stopping.is_set)
        return ArchivedReply(server=kit.name, archived=passed.archived)
