"""The slot that keeps WAL for us: is it there, and does it keep more than the server can bear?"""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.model.finding import Finding, Level, Measure, failed, passed, warned
from barmand.operations.flow import Flow, Pulse
from barmand.operations.ports import Slot

MIB = 1 << 20
_TITLE, _WAL = "replication slot", "replication slot WAL"


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """`most_held`, in bytes, counts where PostgreSQL sets no limit of its own."""

    most_held: int


@dataclass(frozen=True, slots=True)
class SlotWays:
    """`makes`: the server's receiver makes a missing slot (create_slot = auto)."""

    server: str
    makes: bool
    flow: Flow

    @property
    def command(self) -> str:
        return f"`barmanctl receive-wal {self.server}"


def slot_findings(
    name: str, slot: Slot | None, limits: SlotLimits, ways: SlotWays
) -> Iterator[Finding]:
    if slot is None:
        hint = f"slot {name} does not exist: {_making(ways)}"
        yield failed(_TITLE, hint, keeps_from_backup=True)
        return
    if not slot.has_reserved_wal:
        begin = "--start" if ways.makes else "--create-slot` and `--start"
        hint = f"slot {name} reserves no WAL ({slot.wal_status}): have it made anew with "
        hint += f"{ways.command} --stop`, then `--drop-slot`, then `{begin}`"
        yield failed(_TITLE, hint, keeps_from_backup=True)
        return
    hint = f"{name} is not active: {_reading(ways)}"
    yield passed(_TITLE, name) if slot.is_active else warned(_TITLE, hint)
    yield _held(slot, limits)


def _making(ways: SlotWays) -> str:
    if not ways.makes:
        return f"{ways.command} --create-slot` makes it"
    if ways.flow.pulse is Pulse.STOPPED:
        return f"the receiver makes it, and is stopped; {ways.command} --start` starts it"
    return f"the receiver makes it when it begins; {ways.command} --create-slot` does so now"


def _reading(ways: SlotWays) -> str:
    match ways.flow.pulse:
        case Pulse.STOPPED:
            return f"nobody fetches from it; {ways.command} --start` starts the receiver"
        case Pulse.FLOWING:
            return f"the receiver has just begun, or lost its connection; {ways.command}` tells"
        case Pulse.BEGINNING | Pulse.TRYING:
            return "the receiver does not stream yet; `receive-wal running` says why"


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
