"""Remove the WAL that no backup needs, whether or not a backup was deleted lately.

Barman removes WAL only with a backup; here an archive does not grow without end while nothing is
deleted. What is needed is decided by `model.retention`; here it is asked with all that is known,
and where that is doubtful nothing goes.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import structlog

from barmand.catalog.backups import Backups
from barmand.catalog.events import Events
from barmand.catalog.holds import Holds
from barmand.catalog.servers import Servers
from barmand.catalog.wal_runs import WalRuns
from barmand.model.backup import RESTORABLE, Backup
from barmand.model.errors import Stopped
from barmand.model.event import Event
from barmand.model.hook import HookEvent
from barmand.model.retention import Keep, Needed, Policy, needed
from barmand.model.wal import Segment, runs_of
from barmand.operations.hooked_removal import HookedRemoval, Removed
from barmand.operations.hooks import Hooks
from barmand.operations.ports import Clock, Stop
from barmand.storage.backup_info import lies_there
from barmand.storage.ground import complaint
from barmand.storage.keep_marks import keep_of
from barmand.storage.layout import Layout
from barmand.storage.wals import WalArchive

log = structlog.get_logger()

BATCH_SEGMENTS = 1_000
"""As many go while the server's guard is held; then who waits for it has its turn."""
PASS_SEGMENTS = 10_000
"""As many go in one chore; then other chores have theirs."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one pass removed; `is_all` when nothing was left to remove."""

    count: int = 0
    first: str | None = None
    last: str | None = None
    is_all: bool = False

    def more(self, batch: list[Segment], segment_size: int) -> "Pruned":
        if not batch:
            return self
        names = [batch[0].name(segment_size), batch[-1].name(segment_size)]
        return replace(
            self, count=self.count + len(batch), first=self.first or names[0], last=names[1]
        )


@dataclass(frozen=True, slots=True)
class Prune:
    server: str
    layout: Layout
    wals: WalArchive
    wal_runs: WalRuns
    backups: Backups
    servers: Servers
    holds: Holds
    events: Events
    policy: Policy
    hooks: Hooks
    guard: AbstractContextManager[object]
    now: Clock

    def run(self, *, stop: Stop) -> bool:
        """One pass, of bounded length. True when more is left."""
        return not self._remove(self.policy, stop, PASS_SEGMENTS).is_all

    def finish(self, *, stop: Stop) -> int:
        """All of it, for an operator's deletion: how many went. `worm_mode` is no matter here.

        Raises Stopped.
        """
        pruned = self._remove(Policy(), stop, None)
        if not pruned.is_all:
            raise Stopped(stop.reason)
        return pruned.count

    def _remove(self, policy: Policy, stop: Stop, most: int | None) -> Pruned:
        if self.hooks.has(HookEvent.WAL_DELETE):
            return self._remove_asking(policy, stop)
        pruned = Pruned()
        try:
            while not pruned.is_all and (most is None or pruned.count < most):
                if stop.is_set():
                    break
                pruned = self._remove_batch(policy, pruned)
        finally:
            # Also when the disk refused to go on: what went is told.
            self._tell(pruned)
        return pruned

    def _remove_asking(self, policy: Policy, stop: Stop) -> Pruned:
        """All in one pass: another would ask again about what was forbidden in this one."""
        removed = Removed()
        work = HookedRemoval(
            server=self.server,
            wals=self.wals,
            wal_runs=self.wal_runs,
            hooks=self.hooks,
            needed=partial(self._needed, policy),
            guard=self.guard,
            now=self.now,
        )
        pruned = Pruned()
        try:
            work.run(removed, stop=stop)
        finally:
            pruned = Pruned(is_all=removed.is_all).more(removed.segments, removed.segment_size)
            self._tell(pruned)
        if removed.is_whole:
            self.hooks.runner.tell_kept(removed.forbidden)
        return pruned

    def _remove_batch(self, policy: Policy, pruned: Pruned) -> Pruned:
        """Judged anew each time: between two batches a backup may have begun."""
        with self.guard:
            held = self.wal_runs.of_server(self.server)
            need = self._needed(policy)
            unneeded = need.surplus(run.timeline for run in held)
            if not unneeded:
                return replace(pruned, is_all=True)
            self.wals.retire_barman_index()
            batch = self.wals.remove(unneeded, need.segment_size, most=BATCH_SEGMENTS)
            is_all = len(batch) < BATCH_SEGMENTS
            # Files first, rows second: a death in between finds the same rows and does both again.
            gone = unneeded if is_all else [run for run, _ in runs_of((each, 0) for each in batch)]
            self.wal_runs.cut(self.server, gone, self.now())
            return replace(pruned.more(batch, need.segment_size), is_all=is_all)

    def _needed(self, policy: Policy) -> Needed:
        doubt = complaint(self.layout, is_known=self.servers.system_id(self.server) is not None)
        if doubt is None:
            doubt = self._untold()
        if doubt is not None:
            return self._nothing_goes(doubt)
        backups = self.backups.of_server(self.server)
        need = needed(backups, self._keeps(backups), policy)
        if need.has_surplus and self.wal_runs.segment_sizes(self.server) - {need.segment_size}:
            return self._nothing_goes("the archive holds segments of another size than the backups")
        return need

    def _untold(self) -> str | None:
        """A backup on disk of which no row tells, and that may need any WAL.

        The disk is read first: a new backup has its row before it has its facts.
        """
        on_disk = self.layout.backup_ids()
        known = {backup.id for backup in self.backups.of_server(self.server)}
        unknown = [each for each in on_disk if each not in known and lies_there(self.layout, each)]
        if not unknown:
            return None
        return f"the catalogue does not know the backup {unknown[0]}, whose facts lie on disk"

    def _keeps(self, backups: Sequence[Backup]) -> dict[str, Keep]:
        """By their marks; what a restore reads may need all WAL behind it, whatever its mark."""
        usable = [backup.id for backup in backups if backup.status in RESTORABLE]
        marks = {each: mark for each in usable if (mark := keep_of(self.layout, each)) is not None}
        return marks | dict.fromkeys(self.holds.of_server(self.server), Keep.FULL)

    def _nothing_goes(self, why: str) -> Needed:
        told = Event(at=self.now(), kind="WAL not removed", server=self.server, facts={"why": why})
        if self.events.add_once(told):
            log.warning("WAL not removed", why=why)
        return Needed(why_all=why)

    def _tell(self, pruned: Pruned) -> None:
        if pruned.count:
            facts = {"segments": pruned.count, "first": pruned.first, "last": pruned.last}
            event = Event(at=self.now(), kind="WAL removed", server=self.server, facts=facts)
            self.events.add(event)
            log.info("WAL removed", **facts)
