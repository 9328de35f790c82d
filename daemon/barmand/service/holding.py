"""Receivers that an operator has stopped: remembered as what happened last, over every restart."""

from dataclasses import dataclass

from barmand.catalog.events import Events
from barmand.model.event import Event
from barmand.operations.ports import Clock

_HELD = "WAL receiver stopped"
_LET_GO = "WAL receiver started"


@dataclass(frozen=True, slots=True)
class Holding:
    events: Events
    now: Clock

    def is_held(self, server: str) -> bool:
        return self.events.last_of(server, (_HELD, _LET_GO)) == _HELD

    def hold(self, server: str, who: str) -> None:
        self._tell(_HELD, server, who)

    def let_go(self, server: str, who: str) -> None:
        self._tell(_LET_GO, server, who)

    def _tell(self, kind: str, server: str, who: str) -> None:
        self.events.add(Event(at=self.now(), kind=kind, server=server, actor=who))
