"""Requests about a server's WAL stream: its receiver, its slot, and who else it streams to."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from barmand.model.errors import NotFound, PostgresFailed, Refused
from barmand.model.wal import format_lsn
from barmand.operations.ports import Slot
from barmand.operations.streaming import Streaming
from barmand.outside.wal_source import Replica
from barmand.service.holding import Holding
from barmand.service.house import Kit
from barmand.service.receivers import Receivers
from barmand.service.views import receiver_view, utc
from barmand.wire.messages import Reply
from barmand.wire.stream_messages import (
    AskReplication,
    ReceiveWal,
    ReceiveWalReply,
    ReplicationReply,
    ReplicaView,
    SlotView,
)

_RESET = "its stream is reset"


@dataclass(frozen=True, slots=True)
class Done:
    """What a request changed."""

    changed: bool = False
    begins_at: str | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class StreamDesk:
    receivers: Receivers
    holding: Holding

    def answer(self, request: ReceiveWal, kit: Kit, who: str) -> Reply:
        """Raises Refused where the server's WAL is not streamed, or its settings rest."""
        if kit.wal_kit.streaming is None:
            raise Refused(
                f"WAL of server {kit.name} is not streamed",
                hint="Set `streaming_archiver = on`, then `barmanctl reload`.",
            )
        done = self._do(request, kit, kit.wal_kit.streaming, who)
        slot, problem = _slot(kit)
        return ReceiveWalReply(
            server=kit.name,
            action=request.action,
            changed=done.changed,
            receiver=receiver_view(self.receivers.state(kit.name), kit.wal_kit.keeper.name),
            slot=slot,
            problem=problem,
            begins_at=done.begins_at,
            lost_segments=done.lost,
        )

    def _do(self, request: ReceiveWal, kit: Kit, streaming: Streaming, who: str) -> Done:
        match request.action:
            case "show":
                return Done()
            case "start":
                return self._start(kit, who)
            case "stop":
                return self._stop(kit.name, who)
            case "reset":
                with self.receivers.paused(kit.name, _RESET):
                    reset = streaming.reset()
                return Done(changed=True, begins_at=reset.begin, lost=reset.lost)
            case "create-slot":
                keeper = kit.wal_kit.keeper
                return Done(keeper.create(is_fine_if_there=request.if_not_exists))
            case "drop-slot":
                return self._drop_slot(kit)
            case _:
                assert_never(request.action)

    def _start(self, kit: Kit, who: str) -> Done:
        if not kit.is_active:
            raise Refused(f"server {kit.name} is inactive (active = false)")
        was_held = self.holding.is_held(kit.name)
        if was_held:
            self.holding.let_go(kit.name, who)
        self.receivers.resume(kit.name)
        return Done(was_held)

    def _stop(self, server: str, who: str) -> Done:
        was_held = self.holding.is_held(server)
        if not was_held:  # remembered first: a reload in between must not start it again
            self.holding.hold(server, who)
        self.receivers.hold(server, f"stopped by {who}")
        return Done(not was_held)

    def _drop_slot(self, kit: Kit) -> Done:
        if self.receivers.is_running(kit.name):
            raise Refused(
                f"the slot of server {kit.name} is in use by its receiver",
                hint=f"First `barmanctl receive-wal {kit.name} --stop`.",
            )
        keeper = kit.wal_kit.keeper
        if keeper.find() is None:
            raise NotFound(f"slot {keeper.name} of server {kit.name} does not exist")
        keeper.drop()
        return Done(changed=True)


def _slot(kit: Kit) -> tuple[SlotView | None, str | None]:
    name = kit.wal_kit.keeper.name
    if name is None:
        return None, None
    try:
        slot = kit.wal_kit.keeper.find()
    except PostgresFailed as failure:  # what was asked for is done; only the look failed
        return None, failure.message
    return _slot_view(name, slot), None


def _slot_view(name: str, slot: Slot | None) -> SlotView:
    if slot is None:
        nothing = dict.fromkeys(("wal_status", "restart_lsn", "held_bytes", "safe_bytes"))
        return SlotView(name=name, exists=False, active=False, **nothing)
    return SlotView(
        name=name,
        exists=True,
        active=slot.is_active,
        wal_status=slot.wal_status,
        restart_lsn=None if slot.restart_lsn is None else format_lsn(slot.restart_lsn),
        held_bytes=slot.held_bytes,
        safe_bytes=slot.safe_bytes,
    )


def replication(request: AskReplication, kit: Kit) -> Reply:
    wal_kit = kit.wal_kit
    source = wal_kit.source if request.source == "wal-host" else wal_kit.backup_host
    lsn, replicas = source.streams()
    views = [_replica_view(replica) for replica in replicas]
    return ReplicationReply(
        server=kit.name,
        target=request.target,
        minimal=request.minimal,
        current_lsn=lsn,
        replicas=[view for view in views if request.target in ("all", view.kind)],
    )


def _replica_view(replica: Replica) -> ReplicaView:
    return ReplicaView(
        kind="hot-standby" if replica.is_standby else "wal-streamer",
        pid=replica.pid,
        application_name=replica.application_name,
        user=replica.user,
        address=replica.address,
        state=replica.state,
        sync_state=replica.sync_state,
        slot_name=replica.slot_name,
        since=utc(replica.since),
        sent_lsn=replica.sent_lsn,
        write_lsn=replica.write_lsn,
        flush_lsn=replica.flush_lsn,
        replay_lsn=replica.replay_lsn,
        sent_behind=replica.sent_behind,
        write_behind=replica.write_behind,
        flush_behind=replica.flush_behind,
        replay_behind=replica.replay_behind,
        write_lag=_seconds(replica.write_lag),
        flush_lag=_seconds(replica.flush_lag),
        replay_lag=_seconds(replica.replay_lag),
    )


def _seconds(lag: timedelta | None) -> float | None:
    return None if lag is None else lag.total_seconds()
