"""Which operation answers which request about WAL."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from barmand.catalog.memory import Catalog
from barmand.outside.clock import local_now
from barmand.service.holding import Holding
from barmand.service.house import House, Kit
from barmand.service.receivers import Receivers
from barmand.service.runner import Runner
from barmand.service.stream_desk import StreamDesk, replication
from barmand.service.switching import check_archive, switch
from barmand.wire.messages import AnyNote, Reply
from barmand.wire.wal_messages import (
    ArchivedReply,
    ArchiveWal,
    AskReplication,
    CheckWalArchive,
    ReceiveWal,
    SwitchWal,
    WalRequest,
)

Answer = Iterator[AnyNote | Reply | None]


@dataclass(frozen=True, slots=True)
class WalDesk:
    catalog: Catalog
    runner: Runner
    receivers: Receivers

    def answer(self, request: WalRequest, house: House, who: str) -> Answer:
        """Raises Failure, before or between replies."""
        match request:
            case ArchiveWal():
                yield self._archive(house.working_kit(request.server))
            case ReceiveWal():
                stream = StreamDesk(self.receivers, Holding(self.catalog.events, local_now))
                yield stream.answer(request, house.kit(request.server), who)
            case SwitchWal():
                yield from switch(
                    request, house.working_kit(request.server), self.catalog, self.runner
                )
            case CheckWalArchive():
                yield check_archive(request, house.kit(request.server), self.catalog)
            case AskReplication():
                yield replication(request, house.kit(request.server))
            case _:
                assert_never(request)

    def _archive(self, kit: Kit) -> Reply:
        before = self.catalog.wal_runs.count(kit.name)
        kit.archive.run(self.runner.stopping.is_set)
        archived = self.catalog.wal_runs.count(kit.name) - before
        return ArchivedReply(server=kit.name, archived=archived)
