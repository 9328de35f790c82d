"""Incoming WAL where archive hooks are set: file by file, each asked for and told of.

Without hooks none of this is done: files are taken in groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.door import Belongs
from barmand.model.errors import Failure, StorageFailed
from barmand.model.hook import HookEvent
from barmand.operations.branches import Branches
from barmand.operations.hooks import Hooks
from barmand.operations.ports import Stop
from barmand.operations.taking_in import TakeIn, Taken

ARCHIVE = HookEvent.ARCHIVE


@dataclass(frozen=True, slots=True)
class HookedTakeIn:
    """As `TakeIn`, but nothing more is taken once a hook did not agree: `Taken.held_back` says why.

    That file stays where it is, and the next pass asks again.
    """

    take_in: TakeIn
    hooks: Hooks
    stop: Stop

    @property
    def branches(self) -> Branches:
        return self.take_in.branches

    def run(self, paths: Sequence[Path]) -> Taken:
        taken = Taken()
        for path in paths:
            if self.stop.is_set():
                break
            try:
                taken.add(self._take(path))
            except StorageFailed as failure:
                taken.failures.append(failure)
            except Failure as failure:
                taken.held_back = failure
                break
        return taken

    def _take(self, path: Path) -> Taken:
        door = self.take_in.door
        if not isinstance(door.look(path, door.expected()), Belongs):
            return self.take_in.run([path])  # no WAL of ours, or not yet: no hook's concern
        occasion = self.hooks.of_segment(ARCHIVE, path)
        self.hooks.runner.before(occasion, stop=self.stop)
        taken = self.take_in.run([path])
        if self.hooks.has_after(ARCHIVE) and not taken.unfinished:
            error = next((each.message for each in taken.failures), None)
            error = error or next(iter(taken.set_aside), None)
            place = self.take_in.wals.path(path.name)
            if error is None and place is not None:
                occasion = self.hooks.of_segment(ARCHIVE, place)
            self.hooks.runner.after(occasion, error, stop=self.stop)
        return taken
