"""Does a server's WAL flow? What a check says of its receiver, and who must do what about it."""

from dataclasses import dataclass
from enum import StrEnum

from barmand.model.finding import Finding, Level, passed

_NAME = "receive-wal running"


class Pulse(StrEnum):
    """BEGINNING: it has not failed yet, and is young. TRYING: it will, again and again."""

    FLOWING = "flowing"
    BEGINNING = "beginning"
    TRYING = "trying"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Flow:
    """How a receiver is, and that in words."""

    pulse: Pulse
    words: str

    @property
    def is_flowing(self) -> bool:
        return self.pulse is Pulse.FLOWING


def flow_finding(flow: Flow, *, has_slot: bool) -> Finding:
    """A daemon that has just begun must not page whoever has 200 servers."""
    if flow.is_flowing:
        return passed(_NAME, flow.words)
    level = Level.WARNING if flow.pulse is Pulse.BEGINNING else Level.FAILED
    hint = flow.words if has_slot else f"{flow.words}; and no slot keeps WAL (`slot_name`)"
    return Finding(_NAME, hint, level, keeps_from_backup=not has_slot)
