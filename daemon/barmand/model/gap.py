"""WAL that is missing: an interval of segments, and what has become of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from barmand.model.backup import Backup
from barmand.model.wal import Run, Segment


class GapState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """An operator knows of it; the WAL is missing all the same."""
    HEALED = "healed"
    """Every segment has arrived after all."""
    OBSOLETE = "obsolete"
    """Nothing older is kept: no recovery could ever come to it."""


BEHIND_ARRIVED = "WAL behind it has arrived"
"""What a gap says that was found by what came behind it."""

MISSING_STATES = (GapState.OPEN, GapState.ACKNOWLEDGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """`why` tells how it was found; `actor` and `reason` who acknowledged it, and why."""

    id: int
    server: str
    run: Run
    segment_size: int
    state: GapState
    why: str
    found_at: datetime
    changed_at: datetime
    actor: str | None = None
    reason: str | None = None

    @property
    def count(self) -> int:
        return self.run.last - self.run.first + 1

    @property
    def is_missing(self) -> bool:
        return self.state in MISSING_STATES


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a backup's replay begins: it comes to all behind it, also on later timelines."""

    timeline: int
    first: int

    @staticmethod
    def of(backup: Backup) -> "Reach | None":
        """None before the backup's positions are known."""
        needed = backup.needed()
        return None if needed is None else Reach(needed.timeline, needed.first)

    def covers(self, segment: Segment) -> bool:
        return segment.timeline >= self.timeline and segment.number >= self.first


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a timeline left its parent: `first` is the first segment that has its name."""

    timeline: int
    parent: int
    first: int

    @property
    def why_missing(self) -> str:
        """What a gap at the end of its parent says of how it was found."""
        return f"timeline {self.timeline} branches off behind it"


def rest_of(run: Run, taken: Run) -> list[Run]:
    """What of a run is left without another; itself where they have nothing in common."""
    if run.timeline != taken.timeline or taken.last < run.first or run.last < taken.first:
        return [run]
    pieces = ((run.first, taken.first - 1), (taken.last + 1, run.last))
    return [Run(run.timeline, first, last) for first, last in pieces if first <= last]


def holes(held: Iterable[Run], reaches: Sequence[Reach]) -> list[Run]:
    """Between the runs of a timeline, where a backup's replay would come through."""
    found: list[Run] = []
    before: Run | None = None
    for run in sorted(held, key=lambda run: (run.timeline, run.first)):
        if before is not None and before.timeline == run.timeline:
            hole = Run(run.timeline, before.last + 1, run.first - 1)
            is_reached = any(reach.covers(Segment(run.timeline, hole.last)) for reach in reaches)
            if hole.first <= hole.last and is_reached:
                found.append(hole)
        before = run
    return found
