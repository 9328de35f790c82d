"""What lies in errors/: WAL files set aside, and since when."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from barmand.storage.disk import at_the_disk

_STAMP = re.compile(r"\.(\d{8}T\d{6}Z)(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Aside:
    name: str
    since: datetime


def set_aside_in(errors: Path) -> list[Aside]:
    """Oldest first. Raises StorageFailed."""
    with at_the_disk("list", errors):
        return sorted(_looked_at(errors), key=lambda each: (each.since, each.name))


def _looked_at(errors: Path) -> Iterator[Aside]:
    for path in errors.iterdir():
        if path.is_symlink() or not path.is_file():
            continue
        with suppress(FileNotFoundError):  # an operator clears up while we look
            yield Aside(path.name, _stamp(path.name) or _changed(path))


def _stamp(name: str) -> datetime | None:
    """The last stamp in its name; None for what somebody put there by hand."""
    stamps = _STAMP.findall(name)
    if not stamps:
        return None
    with suppress(ValueError):
        return datetime.strptime(stamps[-1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return None


def _changed(path: Path) -> datetime:
    """A rename sets ctime; mtime is the WAL's own, and may be long past."""
    return datetime.fromtimestamp(path.stat().st_ctime, UTC)
