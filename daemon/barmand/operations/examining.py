"""Findings that more than one examination makes."""

from collections.abc import Iterator

from barmand.model.compression import Compression
from barmand.model.errors import Failure
from barmand.model.finding import Finding
from barmand.operations.ports import CopyTool, Readiness, Slot, Versioned

MIB = 1 << 20


def granted(name: str, is_granted: bool, grant: str) -> Finding:
    hint = "the role may" if is_granted else f"the role may not; run: {grant}"
    return Finding(name, hint, is_ok=is_granted)


def compatible(name: str, program: Versioned, server_version: int) -> Finding:
    """PostgreSQL's programs work with servers of their major version, and with older ones."""
    server_major = server_version // 10_000
    try:
        major = program.version()
    except Failure as error:
        return failed(name, error)
    is_new_enough = major >= server_major
    words = f"version {major}, server version {server_major}"
    hint = words if is_new_enough else f"{words}: too old; name a newer one's folder in path_prefix"
    return Finding(name, hint, is_ok=is_new_enough)


def packable(compression: Compression, program: CopyTool, readiness: Readiness) -> Finding:
    """A combination that server or client cannot do is named before it is tried."""
    name, server = "backup compression", readiness.version // 10_000
    try:
        complaint = compression.complaint(
            program.version(), server, readiness.compressions
        ) or program.refusal_of(compression)
    except Failure as error:
        return failed(name, error)
    return Finding(name, complaint or str(compression), is_ok=complaint is None)


def slot_findings(name: str, slot: Slot | None) -> Iterator[Finding]:
    """Is it there, and does it keep more WAL than is good for the server?"""
    title = "replication slot"
    if slot is None:
        hint = f"slot {name} does not exist; with `create_slot = auto` it is made"
        yield Finding(title, hint, is_ok=False)
        return
    if not slot.has_reserved_wal:
        yield Finding(title, f"slot {name} reserves no WAL ({slot.wal_status})", is_ok=False)
        return
    yield Finding(title, f"{name} is {'' if slot.is_active else 'not '}active")
    held = max(0, slot.held_bytes or 0)
    words = f"{slot.wal_status}, {held // MIB} MiB kept for it"
    if slot.safe_bytes is not None:
        words += f", lost after {slot.safe_bytes // MIB} MiB more"
    is_ok = not is_in_danger(slot)
    if not is_ok:
        words += ": the server keeps WAL that nobody fetches, until its disk is full or it gives up"
    yield Finding("replication slot WAL", words, is_ok=is_ok, is_vital=False)


def is_in_danger(slot: Slot) -> bool:
    """Kept beyond max_wal_size with nobody at it, or four fifths of the way to its end."""
    if slot.wal_status not in ("reserved", "extended"):
        return True
    if slot.safe_bytes is not None:
        return slot.safe_bytes < ((slot.held_bytes or 0) + slot.safe_bytes) / 5
    return slot.wal_status == "extended" and not slot.is_active


def failed(name: str, error: Failure) -> Finding:
    words = f"{error.message} ({error.hint})" if error.hint else error.message
    return Finding(name, words, is_ok=False)
