"""The replication slot of a server's WAL stream: made, examined, made again, dropped."""

from dataclasses import dataclass, replace

import structlog

from barmand.catalog.events import Events
from barmand.model.errors import PostgresFailed
from barmand.model.event import Event
from barmand.operations.ports import Clock, Slot, SlotServer
from barmand.operations.slot_health import is_in_danger

log = structlog.get_logger()

LOST = "lost"
_MAKE = "With `create_slot = auto` it is made; or `barmanctl receive-wal {} --create-slot`."


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotKeeper:
    server: str
    source: SlotServer
    name: str | None
    makes: bool
    events: Events
    now: Clock

    def within(self, seconds: int) -> "SlotKeeper":
        """The same keeper, with so many seconds for each question to PostgreSQL."""
        return replace(self, source=self.source.within(seconds))

    def find(self) -> Slot | None:
        return None if self.name is None else self.source.slot(self.name)

    def restart_lsn(self) -> int | None:
        """From where on the server keeps WAL for us."""
        slot = self.find()
        return None if slot is None else slot.restart_lsn

    def demand(self) -> None:
        """The slot reserves WAL from the first contact on, before the first backup.

        One that PostgreSQL has given up keeps nothing any more; it is made anew.
        """
        if self.name is None:
            return
        slot = self.source.slot(self.name)
        if slot is None:
            if self.makes:
                self.create(is_fine_if_there=True)
            return
        if slot.wal_status == LOST:
            self.renew("PostgreSQL has given it up (max_slot_wal_keep_size)")
        elif is_in_danger(slot):
            self._warn(slot)

    def create(self, *, is_fine_if_there: bool) -> bool:
        """True when it was made now. Raises PostgresFailed."""
        name = self._named()
        if is_fine_if_there and self.source.slot(name) is not None:
            return False
        try:
            self.source.create_slot(name)
        except PostgresFailed:
            if not is_fine_if_there or self.source.slot(name) is None:
                raise
            return False  # the receiver and a backup may both have found it missing
        log.info("replication slot made", slot=name)
        self._tell("replication slot made", {"slot": name})
        return True

    def renew(self, why: str) -> None:
        """Anew what keeps nothing for us any more. Raises PostgresFailed where we may not."""
        name = self._named()
        self._tell("replication slot lost", {"slot": name})
        log.error("replication slot lost: PostgreSQL keeps no WAL for it any more", slot=name)
        if not self.makes:
            raise PostgresFailed(
                f"slot {name} of {self.server} is lost: {why}",
                hint=f"Drop it and make it anew. {_MAKE.format(self.server)}",
            )
        self.drop()
        self.create(is_fine_if_there=True)

    def drop(self) -> None:
        name = self._named()
        self.source.drop_slot(name)
        log.info("replication slot dropped", slot=name)
        self._tell("replication slot dropped", {"slot": name})

    def _named(self) -> str:
        if self.name is None:
            raise PostgresFailed(
                f"server {self.server} streams without a slot", hint="Set `slot_name`."
            )
        return self.name

    def _warn(self, slot: Slot) -> None:
        """Before the primary's disk is full, or the slot given up."""
        facts: dict[str, object] = {"slot": self.name, "wal_status": slot.wal_status}
        if self.events.add_once(
            Event(at=self.now(), kind="replication slot in danger", server=self.server, facts=facts)
        ):
            log.error("replication slot in danger", held_bytes=slot.held_bytes, **facts)

    def _tell(self, kind: str, facts: dict[str, object]) -> None:
        self.events.add(Event(at=self.now(), kind=kind, server=self.server, facts=facts))
