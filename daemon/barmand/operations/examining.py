"""Findings that more than one examination makes."""

from barmand.model.compression import Compression
from barmand.model.errors import Failure
from barmand.model.finding import Finding
from barmand.operations.ports import CopyTool, Readiness, Versioned


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


def failed(name: str, error: Failure) -> Finding:
    words = f"{error.message} ({error.hint})" if error.hint else error.message
    return Finding(name, words, is_ok=False)
