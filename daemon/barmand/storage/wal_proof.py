"""Is an archived WAL file what PostgreSQL wrote? Its sum, its size, its first page."""

import os
from dataclasses import dataclass
from pathlib import Path

from barmand.model.door import (
    HEADER_BYTES,
    Belongs,
    Expected,
    judge,
    judge_history,
    parse_header,
)
from barmand.model.errors import StorageFailed
from barmand.storage.disk import at_the_disk, open_regular
from barmand.storage.packing import Damaged, content_of, is_packed
from barmand.storage.sums import is_as_remembered
from barmand.storage.wals import read_text


@dataclass(frozen=True, slots=True)
class WalLook:
    """`flaw` is None for one that is whole; `is_summed`: to its last byte."""

    flaw: str | None
    size: int
    is_summed: bool
    is_packed: bool = False


def look_at_segment(path: Path, expected: Expected) -> WalLook:
    """Reads it whole. A packed one is told by the sums of its format."""
    if is_packed(path):
        return _packed(path, expected)
    with open_regular(path) as file, at_the_disk("read", path):
        header = parse_header(os.pread(file, HEADER_BYTES, 0))
        size = os.fstat(file).st_size
        remembered = is_as_remembered(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    verdict = judge(path.name, header, size, expected)
    if not isinstance(verdict, Belongs):
        return WalLook(verdict.why, size, is_summed=True)
    flaw = "is not what was archived" if remembered is False else None
    return WalLook(flaw, size, is_summed=remembered is not None)


def look_at_history(path: Path) -> str | None:
    verdict = judge_history(path.name, read_text(path))
    if not isinstance(verdict, Belongs):
        return verdict.why
    if is_packed(path):
        return None
    with open_regular(path) as file, at_the_disk("read", path):
        return "is not what was archived" if is_as_remembered(file) is False else None


def _packed(path: Path, expected: Expected) -> WalLook:
    with at_the_disk("read", path):
        size = path.stat().st_size
    try:
        content = content_of(path, HEADER_BYTES)
    except Damaged as error:
        return WalLook(error.message.removeprefix(f"{path} "), size, is_summed=True, is_packed=True)
    except StorageFailed as error:
        return WalLook(error.message, size, is_summed=True, is_packed=True)
    verdict = judge(path.name, parse_header(content.head), content.size, expected)
    flaw = None if isinstance(verdict, Belongs) else verdict.why
    return WalLook(flaw, size, is_summed=True, is_packed=True)
