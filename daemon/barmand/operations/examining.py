"""Findings that more than one examination makes."""

from collections.abc import Iterator

from barmand.model.compression import Compression
from barmand.model.errors import Failure
from barmand.model.finding import Finding, demanded, failed, passed
from barmand.operations.inquiry import unanswered
from barmand.operations.ports import CopyTool, Readiness, Versioned


def compatible(name: str, program: Versioned, readiness: Readiness | None) -> Iterator[Finding]:
    """PostgreSQL's programs work with servers of their major version, and with older ones."""
    try:
        major = program.version()
    except Failure as error:
        yield unanswered(name, error, keeps_from_backup=True)
        return
    yield passed(name, f"version {major}")
    if readiness is not None:
        server_major = readiness.version // 10_000
        words = f"version {major}, server version {server_major}"
        is_new_enough = major >= server_major
        if not is_new_enough:
            words += ": too old; name a newer one's folder in path_prefix"
        yield demanded(f"{name} compatible", words, is_ok=is_new_enough)


def packable(compression: Compression, program: CopyTool, readiness: Readiness) -> Finding:
    """A combination that server or client cannot do is named before it is tried."""
    name, server = "compression settings", readiness.version // 10_000
    try:
        complaint = compression.complaint(
            program.version(), server, readiness.compressions
        ) or program.refusal_of(compression)
    except Failure as error:
        return unanswered(name, error, keeps_from_backup=True)
    if complaint:
        return failed(name, complaint, keeps_from_backup=True)
    return passed(name, str(compression))
