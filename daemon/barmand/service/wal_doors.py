"""WAL comes in by push and goes out by get: what is answered to whom."""

from collections.abc import Iterator

from barmand.model.errors import UsageError
from barmand.service.caller import Handed
from barmand.service.house import Kit
from barmand.wire.door_messages import (
    AskPushReady,
    FetchedReply,
    GetWal,
    PeekWal,
    PushedReply,
    PushReadyReply,
    WalNamesReply,
    WalPush,
)
from barmand.wire.messages import Reply


def pushed(kit: Kit, request: WalPush, file: int | None) -> Iterator[Reply]:
    if file is None:
        raise UsageError("a push comes with its file")
    is_new = kit.push.run(request.name, file)
    try:
        yield PushedReply(server=kit.name, name=request.name, is_new=is_new)
    finally:
        # Whether or not the sender still hears us, the file is ours now.
        kit.push.ring_archive()


def ready(kit: Kit, request: AskPushReady) -> Reply:
    kit.push.demand_ready()
    return PushReadyReply(server=request.server)


def fetched(kit: Kit, request: GetWal) -> Reply | Handed:
    found = kit.fetch.run(request.name, partial=request.partial, held=request.held)
    if found is None:
        return FetchedReply(server=kit.name, name=request.name, found=False)
    reply = FetchedReply(
        server=kit.name,
        name=request.name,
        found=True,
        is_same=found.file is None,
        size_bytes=found.size,
        stamp=found.stamp,
        source=found.place.value,
    )
    return reply if found.file is None else Handed(reply, found.file)


def peeked(kit: Kit, request: PeekWal) -> Reply:
    return WalNamesReply(server=kit.name, names=kit.fetch.peek(request.name, request.count))
