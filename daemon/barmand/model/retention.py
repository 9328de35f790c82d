"""Which WAL is still needed.

A backup is replayed forward only: from its first segment, on its timeline and on those that
branched off later. So there is one position, the beginning of the earliest usable backup: what
lies before it on whatever timeline serves nobody, and everything behind it stays.

That it counts for all timelines is caution, and costs little. A later backup on a newer timeline
may begin at a smaller position (the source was recovered to an earlier moment), a standby's on the
timeline before its own, and the removal of an older backup must never make more WAL needed than
before. One position keeps the WAL behind the newest backup in all of these cases; what it keeps too
long goes as soon as the backups have moved on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from barmand.model.backup import ACTIVE, RESTORABLE, Backup, Status
from barmand.model.wal import Run, Segment

_NONE_USABLE = "there is no usable backup"


class Keep(StrEnum):
    """How an operator wants a backup kept, in Barman's words."""

    FULL = "full"
    """With the WAL behind it, to recover to any later moment."""
    STANDALONE = "standalone"
    """With the WAL between its beginning and its end only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`is_worm`: what is archived is never removed by itself (Barman's `worm_mode`)."""

    is_worm: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Segments on `timeline` and on later ones, both ends included."""

    timeline: int
    first: int
    last: int

    def __contains__(self, segment: Segment) -> bool:
        return segment.timeline >= self.timeline and self.first <= segment.number <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """The WAL that must stay, in segments of `segment_size` bytes."""

    segment_size: int = 0
    floor: int = 0
    """The first segment of those that all stay."""
    islands: tuple[Span, ...] = ()
    """What stays before it."""
    spent: tuple[Span, ...] = ()
    """What goes in spite of all that: the last backup's own, with it."""
    why_all: str | None = None
    """Why all the rest stays, where that is so."""

    @property
    def has_surplus(self) -> bool:
        """Does anything go at all, if it is there?"""
        return self.floor > 0 or bool(self.spent)

    def covers(self, segment: Segment) -> bool:
        if any(segment in span for span in self.spent):
            return False
        return segment.number >= self.floor or any(segment in span for span in self.islands)

    def surplus(self, timelines: Iterable[int]) -> list[Run]:
        """All segments of these timelines that nobody needs, in order."""
        return [run for timeline in sorted(set(timelines)) for run in self._surplus(timeline)]

    def _surplus(self, timeline: int) -> Iterable[Run]:
        start = 0
        for span in sorted(self.islands, key=lambda span: span.first):
            if start < min(span.first, self.floor):
                yield Run(timeline, start, min(span.first, self.floor) - 1)
            start = max(start, span.last + 1)
        if start < self.floor:
            yield Run(timeline, start, self.floor - 1)
        for span in self.spent:
            if timeline >= span.timeline:
                yield Run(timeline, span.first, span.last)


def needed(backups: Sequence[Backup], keeps: Mapping[str, Keep], policy: Policy) -> Needed:
    """What the backups of one server need; a backup that `keeps` does not name needs all behind it.

    Usable are DONE and WAITING_FOR_WALS; the newest is the one with the greatest id. Where a backup
    is active, it is not known yet where it begins, and everything stays. Without any usable backup
    everything stays too, for it may be all that is left; only the last backup of a primary takes
    along, when it is deleted, what it needed itself.
    """
    if policy.is_worm:
        return Needed(why_all="worm_mode is on")
    usable = [backup for backup in backups if backup.status in RESTORABLE]
    why_all = _doubt(backups, usable)
    if why_all is not None:
        return Needed(why_all=why_all)
    if not usable:
        return _left_by([backup for backup in backups if backup.status is Status.DELETING])
    own = {backup.id: run for backup in usable if (run := backup.needed()) is not None}
    # Behind the newest everything stays, however it is kept: WAL goes on arriving there.
    newest = max(own)
    floor = min(
        run.first
        for each, run in own.items()
        if each == newest or keeps.get(each) is not Keep.STANDALONE
    )
    return Needed(
        segment_size=_segment_size(usable[0]),
        floor=floor,
        islands=tuple(Span(0, run.first, run.last) for run in own.values() if run.first < floor),
    )


def _doubt(backups: Sequence[Backup], usable: Sequence[Backup]) -> str | None:
    """Why nothing can be said of what is needed."""
    active = next((backup for backup in backups if backup.status in ACTIVE), None)
    if active is not None:
        return f"backup {active.id} is {active.status}, and may begin anywhere"
    unknown = next((backup for backup in usable if backup.needed() is None), None)
    if unknown is not None:
        return f"it is not known where backup {unknown.id} begins"
    if len({_segment_size(backup) for backup in usable}) > 1:
        return "the backups differ in the size of their WAL segments"
    return None


def _left_by(going: Sequence[Backup]) -> Needed:
    """A standby's last backup takes nothing along: the next may begin at its restart point too."""
    of_primary = [backup for backup in going if backup.cluster and not backup.cluster.is_standby]
    sizes = {_segment_size(backup) for backup in of_primary}
    if len(sizes) != 1:
        return Needed(why_all=_NONE_USABLE)
    runs = [run for backup in of_primary if (run := backup.needed()) is not None]
    spent = tuple(Span(run.timeline, run.first, run.last) for run in runs)
    return Needed(segment_size=sizes.pop(), spent=spent, why_all=_NONE_USABLE)


def _segment_size(backup: Backup) -> int:
    return 0 if backup.cluster is None else backup.cluster.segment_size
