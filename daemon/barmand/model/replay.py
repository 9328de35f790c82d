"""What of the archived WAL a recovery replays.

Source: PostgreSQL documentation, "Timelines"; `findNewestTimeLine` in PostgreSQL's timeline.c.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from barmand.model.lineage import Lineage, lineage_of


@dataclass(frozen=True, slots=True)
class Replay:
    """From `begin` on, up to `end` (None: all there is), along `line`. LSN in bytes.

    `line` is None where it cannot be known: then each timeline counts.
    """

    begin: int
    end: int | None
    line: Lineage | None

    def covers(self, timeline: int, lsn: int) -> bool:
        """Is the record that begins there replayed?"""
        if lsn < self.begin or (self.end is not None and lsn >= self.end):
            return False
        if self.line is None:
            return True
        left = self.line.end(timeline)
        return timeline in self.line.timelines and (left is None or lsn < left)


def latest_line(timeline: int, histories: Mapping[int, str]) -> Lineage | None:
    """The line that `recovery_target_timeline = 'latest'` follows from `timeline`.

    None when a history cannot be read, or the newest timeline is no child of that one.
    """
    newest = timeline
    while newest + 1 in histories:
        newest += 1
    if newest not in histories:
        return Lineage(timeline)
    try:
        line = lineage_of(newest, histories[newest])
    except ValueError:
        return None
    return line if timeline in line.timelines else None
