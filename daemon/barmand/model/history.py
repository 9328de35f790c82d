"""A timeline's history: which timelines it came from, and where each of them ended.

Source: PostgreSQL documentation, "Timelines"; `readTimeLineHistory` in PostgreSQL's timeline.c.
"""

import re
from dataclasses import dataclass

from barmand.model.wal import parse_lsn

_LINE = re.compile(r"([0-9]{1,10})\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})(\s.*)?")


@dataclass(frozen=True, slots=True)
class Ancestor:
    timeline: int
    end_lsn: int
    """Where its successor left it."""


def parse_history(timeline: int, text: str) -> tuple[Ancestor, ...]:
    """The ancestors of `timeline`, oldest first, as its `.history` tells them.

    Raises ValueError for what PostgreSQL would not read, or would not have written.
    """
    ancestors: list[Ancestor] = []
    for line in text.split("\n"):
        told = line.strip()
        if not told or told.startswith("#"):
            continue
        found = _LINE.fullmatch(told)
        if found is None:
            raise ValueError(f"not a line of a history: {told[:80]!r}")
        ancestor = Ancestor(int(found[1]), parse_lsn(found[2]))
        if ancestors and ancestor.timeline <= ancestors[-1].timeline:
            raise ValueError(f"timeline {ancestor.timeline} comes after a later one")
        ancestors.append(ancestor)
    if not ancestors:
        raise ValueError("it names no timeline")
    if ancestors[-1].timeline >= timeline:
        raise ValueError(f"timeline {ancestors[-1].timeline} cannot be before timeline {timeline}")
    return tuple(ancestors)
