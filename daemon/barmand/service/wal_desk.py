"""Which operation answers which request about WAL."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from barmand.catalog.memory import Catalog
from barmand.model.gap import MISSING_STATES, GapState
from barmand.model.reason import demand_reason
from barmand.outside.clock import local_now
from barmand.service import wal_doors
from barmand.service.awaiting import awaited
from barmand.service.caller import Handed
from barmand.service.holding import Holding
from barmand.service.house import House, Kit
from barmand.service.job import Job, Key
from barmand.service.listing import listed
from barmand.service.receivers import Receivers
from barmand.service.runner import Runner
from barmand.service.stream_desk import StreamDesk, replication
from barmand.service.switching import check_archive, switch
from barmand.service.views import gap_view
from barmand.wire.door_messages import AskPushReady, DoorRequest, GetWal, PeekWal, WalPush
from barmand.wire.messages import AnyNote, Reply
from barmand.wire.stream_messages import (
    AskReplication,
    CheckWalArchive,
    ReceiveWal,
    StreamRequest,
    SwitchWal,
)
from barmand.wire.wal_messages import (
    AcknowledgeGap,
    ArchivedReply,
    ArchiveWal,
    GapReply,
    GapsReply,
    ListFiles,
    RebuildServer,
    RebuiltReply,
    WalGaps,
    WalRequest,
)

Answer = Iterator[AnyNote | Reply | Handed | None]


@dataclass(frozen=True, slots=True)
class WalDesk:
    catalog: Catalog
    runner: Runner
    receivers: Receivers

    def answer(self, request: WalRequest, house: House, who: str) -> Answer:
        """Raises Failure, before or between replies."""
        match request:
            case ArchiveWal():
                yield self._archive(house.wal_kit(request.server))
            case WalGaps():
                yield self._gaps(request, house)
            case AcknowledgeGap():
                yield self._acknowledge(request, house, who)
            case RebuildServer():
                yield from self._rebuild(house.kit(request.server))
            case ListFiles():
                yield from listed(request, house, self.catalog)
            case _:
                assert_never(request)

    def answer_stream(self, request: StreamRequest, house: House, who: str) -> Answer:
        """As `answer`, about the stream."""
        match request:
            case ReceiveWal():
                stream = StreamDesk(self.receivers, Holding(self.catalog.events, local_now))
                yield stream.answer(request, house.kit(request.server), who)
            case SwitchWal():
                kit = house.working_kit(request.server)
                yield from switch(request, kit, self.catalog, self.runner)
            case CheckWalArchive():
                yield check_archive(request, house.kit(request.server), self.catalog)
            case AskReplication():
                yield replication(request, house.kit(request.server))
            case _:
                assert_never(request)

    @staticmethod
    def answer_at_the_door(request: DoorRequest, house: House, file: int | None) -> Answer:
        """As `answer`, of what PostgreSQL pushes and fetches; `file` stays the caller's."""
        match request:
            case WalPush():
                yield from wal_doors.pushed(house.wal_kit(request.server), request, file)
            case AskPushReady():
                yield wal_doors.ready(house.wal_kit(request.server), request)
            case GetWal():
                yield wal_doors.fetched(house.known_kit(request.server), request)
            case PeekWal():
                yield wal_doors.peeked(house.known_kit(request.server), request)
            case _:
                assert_never(request)

    def _archive(self, kit: Kit) -> Reply:
        passed = kit.archive.run(self.runner.stopping.is_set)
        return ArchivedReply(server=kit.name, archived=passed.archived)

    def _gaps(self, request: WalGaps, house: House) -> Reply:
        house.kit(request.server)
        states = tuple(GapState) if request.all else MISSING_STATES
        gaps = self.catalog.wal_gaps.of_server(request.server, states)
        return GapsReply(server=request.server, gaps=[gap_view(gap) for gap in gaps])

    def _acknowledge(self, request: AcknowledgeGap, house: House, who: str) -> Reply:
        house.kit(request.server)
        demand_reason(request.reason)
        gap = self.catalog.wal_gaps.acknowledge(
            request.server, request.gap, reason=request.reason, actor=who, now=local_now()
        )
        return GapReply(gap=gap_view(gap))

    def _rebuild(self, kit: Kit) -> Answer:
        def work(job: Job) -> RebuiltReply:
            forgotten = kit.rebuild.forget_gone.run()
            backups = kit.rebuild.run()
            compared = kit.accounts.compare(job.stop.is_set)
            return RebuiltReply(
                server=kit.name,
                adopted_backups=backups,
                forgotten_backups=forgotten,
                adopted_wals=compared.taken_in,
                lost_wals=compared.lost,
            )

        key = Key("rebuild", kit.name, "")
        yield (yield from awaited(self.runner, key, work, tells=False))
