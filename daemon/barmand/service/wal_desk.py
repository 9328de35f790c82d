"""Which operation answers which request about WAL."""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.catalog.memory import Catalog
from barmand.service.house import House, Kit
from barmand.service.runner import Runner
from barmand.wire.messages import AnyNote, Reply
from barmand.wire.wal_messages import ArchivedReply, ArchiveWal, WalRequest

Answer = Iterator[AnyNote | Reply | None]


@dataclass(frozen=True, slots=True)
class WalDesk:
    catalog: Catalog
    runner: Runner

    def answer(self, request: WalRequest, house: House) -> Answer:
        """Raises Failure, before or between replies."""
        match request:
            case ArchiveWal():
                yield self._archive(house.working_kit(request.server))

    def _archive(self, kit: Kit) -> Reply:
        passed = kit.archive.run(self.runner.stopping.is_set)
        return ArchivedReply(server=kit.name, archived=passed.archived)
