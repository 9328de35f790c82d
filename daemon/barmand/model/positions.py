"""Where a base backup really begins and ends, as PostgreSQL wrote it beside the data.

Sources: `backup_label` (PostgreSQL documentation, "Making a Base Backup Using the Low Level API")
and the WAL ranges of `backup_manifest` ("Backup Manifest WAL Range Object").
"""

import json
import re
from dataclasses import dataclass

from barmand.model.errors import ToolFailed
from barmand.model.wal import parse_lsn

_START = re.compile(r"^START WAL LOCATION: (\S+) \(file ([0-9A-F]{24})\)$", re.MULTILINE)
_RANGES = re.compile(r'"WAL-Ranges"\s*:\s*(\[.*?\])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Position:
    timeline: int
    lsn: int


def start_of(backup_label: str) -> Position:
    """Raises ToolFailed when the label has no start."""
    found = _START.search(backup_label)
    if found is None:
        raise ToolFailed("the backup_label that PostgreSQL sent has no START WAL LOCATION")
    return Position(int(found[2][:8], 16), parse_lsn(found[1]))


def end_of(manifest_tail: str) -> Position | None:
    """The end in the manifest's WAL ranges; None when `manifest_tail` has none (PostgreSQL < 13).

    Raises ToolFailed when WAL of two timelines is needed: the server was promoted in mid-copy.
    """
    found = _RANGES.search(manifest_tail)
    if found is None:
        return None
    ranges = json.loads(found[1])
    timelines = sorted({int(each["Timeline"]) for each in ranges})
    if len(timelines) != 1:
        words = " and ".join(str(timeline) for timeline in timelines)
        raise ToolFailed(
            f"the server was promoted during the backup: it needs WAL of timelines {words}",
            hint="Take the backup again.",
        )
    return Position(timelines[0], max(parse_lsn(each["End-LSN"]) for each in ranges))
