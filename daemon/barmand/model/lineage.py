"""A server's timelines: which one it writes, and where it left each of those before.

Source: PostgreSQL documentation, "Timelines", and the history files themselves: a line for each
timeline that was left, with the LSN at which it was.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from barmand.model.history import parse_history
from barmand.model.wal import Run, Segment


@dataclass(frozen=True, slots=True)
class Lineage:
    """`left`: each ancestor with the LSN at which its successor began, oldest first."""

    current: int
    left: tuple[tuple[int, int], ...] = ()

    @property
    def timelines(self) -> tuple[int, ...]:
        return (*(timeline for timeline, _ in self.left), self.current)

    def end(self, timeline: int) -> int | None:
        """Where it was left; None for the current one."""
        return dict(self.left).get(timeline)

    def at(self, lsn: int) -> int:
        """The timeline on which the byte at `lsn` was written."""
        return next((timeline for timeline, end in self.left if lsn < end), self.current)

    def following(self, timeline: int) -> int:
        timelines = self.timelines
        return timelines[timelines.index(timeline) + 1]


def lineage_of(timeline: int, history: str) -> Lineage:
    """Raises ValueError for what is no history of `timeline`, and says why."""
    ancestors = parse_history(timeline, history)
    return Lineage(timeline, tuple((each.timeline, each.end_lsn) for each in ancestors))


def on_line(lineage: Lineage, wanted: Segment, size: int) -> Segment:
    """Where the stream goes on so that `wanted`, on one of the timelines, and all after it come.

    A server that left the timeline before `wanted` has another segment in its place: the one in
    which it left, on the timeline that followed.
    """
    while True:
        end = lineage.end(wanted.timeline)
        if end is None or wanted.number * size <= end:
            return wanted
        wanted = Segment(lineage.following(wanted.timeline), end // size)


def behind_held(lineage: Lineage, held: Iterable[Run], size: int) -> Segment | None:
    """The segment behind the last that is held of this server's newest timeline; None: of none
    of its timelines is anything held.
    """
    runs = list(held)
    for timeline in reversed(lineage.timelines):
        numbers = [run.last for run in runs if run.timeline == timeline]
        if numbers:
            return on_line(lineage, Segment(timeline, max(numbers) + 1), size)
    return None


def advanced(lineage: Lineage, begin: Segment, held: Iterable[Run], size: int) -> Segment:
    """Behind all that is held from `begin` on without a gap: never a segment is skipped."""
    runs = list(held)
    begin = on_line(lineage, begin, size)
    while True:
        step = _step(lineage, begin, runs, size)
        if step is None:
            return begin
        begin = on_line(lineage, step, size)


def _step(lineage: Lineage, begin: Segment, runs: list[Run], size: int) -> Segment | None:
    """The segment in which a timeline was left is whole in the timeline that followed."""
    for run in runs:
        if begin in run:
            return Segment(begin.timeline, run.last + 1)
    end = lineage.end(begin.timeline)
    if end is not None and begin.number == end // size:
        same = Segment(lineage.following(begin.timeline), begin.number)
        if any(same in run for run in runs):
            return same
    return None


def between(lineage: Lineage, first: Segment, behind: Segment, size: int) -> list[Run]:
    """What lies from `first` up to `behind`: a run for each timeline on which it was written.

    The segment in which a timeline was left is whole on the one that followed, and counted there.
    """
    line = lineage.timelines
    runs: list[Run] = []
    begin = first.number
    for timeline in line[line.index(first.timeline) : line.index(behind.timeline) + 1]:
        end = behind.number if timeline == behind.timeline else _left_in(lineage, timeline, size)
        if begin < end:
            runs.append(Run(timeline, begin, end - 1))
        begin = max(begin, end)
    return runs


def _left_in(lineage: Lineage, timeline: int, size: int) -> int:
    end = lineage.end(timeline)
    if end is None:
        raise ValueError(f"timeline {timeline} was not left")
    return end // size
