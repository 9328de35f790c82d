"""Where timelines leave one another: what must be there of the old one, and of the new."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from barmand.catalog.wal_gaps import Found, WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.gap import Branch
from barmand.model.history import parse_history
from barmand.model.wal import Run
from barmand.operations.ports import Clock
from barmand.storage.wals import WalArchive, read_text

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Branches:
    server: str
    wals: WalArchive
    wal_runs: WalRuns
    wal_gaps: WalGaps
    now: Clock

    def remember(self, history: str) -> Branch | None:
        """Of a history that is in the archive now; None for one that tells nothing new.

        Before the WAL of its timeline is taken in: what that must begin with is known then.
        """
        size = self.wal_runs.segment_size(self.server)
        if size is None:
            return None
        timeline = int(history[:8], 16)
        path = self.wals.path(history)
        if path is None:
            return None
        ancestor = parse_history(timeline, read_text(path).decode())[-1]
        branch = Branch(timeline, ancestor.timeline, ancestor.end_lsn // size)
        if not self.wal_gaps.branch(self.server, branch):
            return None
        log.info("timeline branches off", timeline=timeline, parent=ancestor.timeline)
        return branch

    def judge(self, branches: Sequence[Branch]) -> None:
        """Is the old timeline whole up to its end? After all that had arrived was taken in."""
        held = self.wal_runs.of_server(self.server)
        size = self.wal_runs.segment_size(self.server)
        for branch in branches:
            newest = max((run.last for run in held if run.timeline == branch.parent), default=None)
            if size is not None and newest is not None and newest + 1 < branch.first:
                why = f"timeline {branch.timeline} branches off behind it"
                found = Found(self.server, size, self.now(), why)
                rest = Run(branch.parent, newest + 1, branch.first - 1)
                self.wal_gaps.tell_missing(found, rest)
