"""The slot that keeps WAL for us: is it there, and does it keep more than the server can bear?"""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.model.finding import Finding, Level, Measure, failed, passed, warned
from barmand.operations.ports import Slot

MIB = 1 << 20
_TITLE, _WAL = "replication slot", "replication slot WAL"


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """`most_held`, in bytes, counts where PostgreSQL sets no limit of its own."""

    most_held: int


def slot_findings(name: str, slot: Slot | None, limits: SlotLimits) -> Iterator[Finding]:
    if slot is None:
        hint = f"slot {name} does not exist; with `create_slot = auto` it is made"
        yield failed(_TITLE, hint, keeps_from_backup=True)
        return
    if not slot.has_reserved_wal:
        hint = f"slot {name} reserves no WAL ({slot.wal_status}): drop it, and let it be made anew"
        yield failed(_TITLE, hint, keeps_from_backup=True)
        return
    yield passed(_TITLE, name) if slot.is_active else warned(_TITLE, f"{name} is not active")
    yield _held(slot, limits)


def _held(slot: Slot, limits: SlotLimits) -> Finding:
    """PostgreSQL's own limit takes the slot away, ours only raises the alarm; half of either is
    time enough to do something.
    """
    held = max(0, slot.held_bytes or 0)
    most = limits.most_held if slot.safe_bytes is None else held + slot.safe_bytes
    words = f"{slot.wal_status}, {held // MIB} MiB kept for it"
    if slot.safe_bytes is not None:
        words += f", lost after {slot.safe_bytes // MIB} MiB more"
    measure = Measure("slot_wal", held, "B", most / 2, most * 4 / 5)
    match _danger(slot, held, most):
        case Level.OK:
            return passed(_WAL, words, measure=measure)
        case Level.WARNING:
            return warned(_WAL, f"{words}: more than half of what it may keep", measure=measure)
        case Level.FAILED:
            words += ": the server keeps WAL that nobody fetches, until its disk is full or it "
            return failed(_WAL, f"{words}gives up", measure=measure)


def _danger(slot: Slot, held: int, most: int) -> Level:
    if is_in_danger(slot) or held > most * 4 / 5:
        return Level.FAILED
    return Level.WARNING if held > most / 2 else Level.OK


def is_in_danger(slot: Slot) -> bool:
    """Kept beyond max_wal_size with nobody at it, or four fifths of the way to its end."""
    if slot.wal_status not in ("reserved", "extended"):
        return True
    if slot.safe_bytes is not None:
        return slot.safe_bytes < ((slot.held_bytes or 0) + slot.safe_bytes) / 5
    return slot.wal_status == "extended" and not slot.is_active
