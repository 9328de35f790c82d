"""Take one backup away, in an order that is safe to interrupt.

0. its hooks agree             outside every lock; nothing says yet that it is to go
1. the row says DELETING       before it: a whole backup; after it: the deletion goes on at start
2. the mark beside it          a catalogue rebuilt from disk knows it too
3. the copy                    most of the bytes
4. the WAL nobody needs now    judged with its row, so it comes before the row goes
5. its facts, its mark, its row
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from barmand.catalog.backups import Backups
from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.errors import Refused, Stopped, StorageFailed
from barmand.model.hook import HookEvent
from barmand.model.succession import counts
from barmand.operations.absent import absent
from barmand.operations.hooks import Hooks
from barmand.operations.ports import Clock, Stop
from barmand.operations.prune import Prune
from barmand.storage import backup_info
from barmand.storage.durable import remove_tree
from barmand.storage.ground import complaint
from barmand.storage.keep_marks import keep_of
from barmand.storage.layout import Layout

log = structlog.get_logger()

Alone = Callable[[Backup, Callable[[Stop], int]], int]
"""Carry a deletion out with a stop of its own, unless somebody is at this backup: then Refused."""


@dataclass(frozen=True, slots=True)
class Delete:
    layout: Layout
    backups: Backups
    prune: Prune
    hooks: Hooks
    minimum_redundancy: int
    guard: AbstractContextManager[object]
    now: Clock

    def run(
        self,
        backup: Backup,
        *,
        actor: str,
        stop: Stop,
        still: Callable[[Backup], None] = lambda _backup: None,
    ) -> int:
        """Delete `backup`; how many segments went with it. Raises Refused.

        A deletion that has begun and could not go on is taken up again, and its hooks, which have
        agreed to it, are not asked again. When they forbid it, it is Refused and nothing is marked.
        `still` is asked under the guard, at last too, and raises what speaks against it.
        """
        with self.guard:
            backup = self._examined(backup, still)
        if backup.status is not Status.DELETING:
            self.hooks.before(HookEvent.DELETE, backup, stop=stop)
            with self.guard:
                backup = self._examined(backup, still)  # hooks may take hours
                backup = self._mark(backup, actor)
        return self.go_on(backup, stop=stop)

    def _examined(self, backup: Backup, still: Callable[[Backup], None]) -> Backup:
        """As it is now. Raises what speaks against its deletion."""
        backup = self.backups.get(backup.server, backup.id)
        why_not = complaint(self.layout, is_known=False)
        if why_not is not None:
            raise StorageFailed(f"backup {backup.id} cannot be deleted: {why_not}")
        if backup.status is not Status.DELETING:
            self._refuse_needed(backup)
            still(backup)
        return backup

    def _mark(self, backup: Backup, actor: str) -> Backup:
        if backup.status is Status.DELETING:
            return backup
        return self.backups.move(backup, backup.deleting(), now=self.now(), actor=actor)

    def go_on(self, backup: Backup, *, stop: Stop) -> int:
        """Carry out a deletion that has begun, now or in an earlier life. A step may come twice."""
        told = self.hooks.later(HookEvent.DELETE, backup)
        try:
            removed = self._carry_out(backup, stop)
        except Stopped:
            raise  # it goes on later
        except BaseException as error:
            self.hooks.tell(told, error, stop=stop)
            raise
        self.hooks.tell(told, stop=stop)
        return removed

    def _carry_out(self, backup: Backup, stop: Stop) -> int:
        log.info("deletion started", backup_id=backup.id)
        try:
            backup_info.mark_deleting(self.layout, backup.id)
        except StorageFailed as failure:
            # A full disk takes no mark, and deleting is how to free it; the row says it already.
            log.warning("deletion not marked on disk", error=failure.message)
        remove_tree(self.layout.backup(backup.id), stop)
        removed = self.prune.finish(stop=stop)
        backup_info.forget(self.layout, backup.id)
        self.backups.remove(backup, now=self.now(), facts={"removed_wals": removed})
        log.info("backup deleted", backup_id=backup.id, removed_wals=removed)
        return removed

    def _refuse_needed(self, backup: Backup) -> None:
        name = f"backup {backup.id} of {backup.server}"
        if backup.status in ACTIVE:
            raise Refused(
                f"{name} is {backup.status}",
                hint=f"`barmanctl cancel {backup.server}` stops it first.",
            )
        self._refuse_kept(backup, name)
        others = [other for other in self.backups.of_server(backup.server) if other != backup]
        children = [other.id for other in others if other.parent_id == backup.id]
        if children:
            raise Refused(f"{name} is the parent of {', '.join(children)}; delete those first")
        away = absent(self.layout, [backup, *others])
        done = sum(counts(other) and other.id not in away for other in others)
        is_one = counts(backup) and backup.id not in away
        if is_one and done < self.minimum_redundancy:
            raise Refused(
                f"{name} is needed: without it {done} would be DONE, "
                f"and minimum_redundancy is {self.minimum_redundancy}",
                hint="Take another backup first, or lower minimum_redundancy and reload.",
            )

    def _refuse_kept(self, backup: Backup, name: str) -> None:
        keep = keep_of(self.layout, backup.id)
        if keep is None:
            return
        marks = (self.layout.keep_mark(backup.id), self.layout.old_keep_mark(backup.id))
        lying = " and ".join(str(mark) for mark in marks if mark.exists())
        raise Refused(
            f"{name} is kept ({keep})",
            hint=f"`barmanctl keep {backup.server} {backup.id} --release` releases it "
            f"(its mark is {lying}).",
        )
