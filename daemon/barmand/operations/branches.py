"""Where timelines leave one another: what must be there of the old one, and of the new."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from barmand.catalog.wal_gaps import Found, WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.gap import BEHIND_ARRIVED, Branch
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
        branch = None if size is None else self._told(history, size)
        if branch is None or not self.wal_gaps.branch(self.server, branch):
            return None
        log.info("timeline branches off", timeline=branch.timeline, parent=branch.parent)
        return branch

    def renew(self) -> int:
        """Forget those of which no archived history tells any more, and take what it tells now.

        How many they were. Their gaps go with them; what is missing by the others is told again.
        """
        size = self.wal_runs.segment_size(self.server)
        if size is None:
            return 0
        gone = [
            branch
            for branch in self.wal_gaps.branches(self.server)
            if self._told(f"{branch.timeline:08X}.history", size) != branch
        ]
        for branch in gone:
            self.wal_gaps.forget_branch(self.server, branch, self.now())
            log.warning("timeline's branch forgotten", timeline=branch.timeline)
            self.remember(f"{branch.timeline:08X}.history")
        if gone:
            known = self.wal_gaps.branches(self.server)
            self.judge(known)
            renewed = {branch.timeline for branch in gone}
            self._judge_beginnings([each for each in known if each.timeline in renewed], size)
        return len(gone)

    def _told(self, history: str, size: int) -> Branch | None:
        """None where it is not in the archive, or says nothing that can be read."""
        path = self.wals.path(history)
        if path is None:
            return None
        timeline = int(history[:8], 16)
        try:
            ancestor = parse_history(timeline, read_text(path).decode())[-1]
        except ValueError as error:
            log.warning("history cannot be read", file=history, error=str(error))
            return None
        return Branch(timeline, ancestor.timeline, ancestor.end_lsn // size)

    def judge(self, branches: Sequence[Branch]) -> None:
        """Is the old timeline whole up to its end? After all that had arrived was taken in."""
        if not branches:  # as in nearly every pass
            return
        held = self.wal_runs.of_server(self.server)
        size = self.wal_runs.segment_size(self.server)
        for branch in branches:
            newest = max((run.last for run in held if run.timeline == branch.parent), default=None)
            if size is not None and newest is not None and newest + 1 < branch.first:
                found = Found(self.server, size, self.now(), branch.why_missing)
                rest = Run(branch.parent, newest + 1, branch.first - 1)
                self.wal_gaps.tell_missing(found, rest)

    def _judge_beginnings(self, branches: Sequence[Branch], size: int) -> None:
        """Does what is held of it begin where it left? Only where older WAL would lead to it."""
        held = self.wal_runs.of_server(self.server)
        for branch in branches:
            oldest = min((run.first for run in held if run.timeline == branch.timeline), default=0)
            is_reached = any(
                run.timeline == branch.parent and run.first < branch.first for run in held
            )
            if is_reached and branch.first < oldest:
                found = Found(self.server, size, self.now(), BEHIND_ARRIVED)
                rest = Run(branch.timeline, branch.first, oldest - 1)
                self.wal_gaps.tell_missing(found, rest)
