"""A WAL file that is pushed: durable in incoming/ before it is acknowledged, or refused."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.model.door import Belongs, Expected, Misfit, Unfinished
from barmand.model.errors import Refused, StorageFailed, UsageError
from barmand.model.wal import WalKind, kind_of
from barmand.operations.door import Door
from barmand.operations.quarantine import Quarantine
from barmand.storage.durable import sync_file
from barmand.storage.ground import complaint
from barmand.storage.layout import Layout
from barmand.storage.packing import Damaged, holds_same
from barmand.storage.staging import clear_stage, confirm, name_it, staged
from barmand.storage.wals import WalArchive

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Push:
    server: str
    layout: Layout
    wals: WalArchive
    door: Door
    quarantine: Quarantine
    ring_archive: Callable[[], None]
    takes_pushed: bool
    """Or its WAL comes by streaming alone: a push would be some file that nobody vouches for."""

    def run(self, name: str, file: int) -> bool:
        """Take the open file under this name; False when the very same was here before.

        What is refused for its content is kept in errors/. Raises UsageError, Refused,
        StorageFailed.
        """
        if kind_of(name) is WalKind.UNKNOWN:
            raise UsageError(f"{name!r} is no WAL file's name")
        if not self.takes_pushed:
            raise Refused(
                f"server {self.server} takes no pushed WAL: it streams, and archiver is off",
                hint="`archiver = on` in its section takes pushed WAL too.",
            )
        expected = self.door.expected()
        self._demand_ground(is_known=expected.system_id is not None)
        with staged(self.layout.incoming, name, file) as pushed:
            self._judge(pushed, expected)
            return self._keep(pushed)

    def demand_ready(self) -> None:
        """As a push would find it now. Raises StorageFailed."""
        self._demand_ground(is_known=self.door.expected().system_id is not None)
        incoming = self.layout.incoming
        if not incoming.is_dir():
            raise StorageFailed(f"{incoming} is missing", hint="Is its file system mounted?")
        if not os.access(incoming, os.W_OK | os.X_OK):
            raise StorageFailed(f"{incoming} cannot be written by this user")

    def forget(self) -> None:
        """At start: what pushes of an earlier life left half done."""
        if self.layout.incoming.is_dir():
            clear_stage(self.layout.incoming)

    def _demand_ground(self, *, is_known: bool) -> None:
        """Nothing is acknowledged that would lie on a bare mount point."""
        why_not = complaint(self.layout, is_known=is_known)
        if why_not is not None:
            raise StorageFailed(why_not)

    def _judge(self, pushed: Path, expected: Expected) -> None:
        match self.door.look(pushed, expected):
            case Unfinished(why):
                raise Refused(f"{pushed.name} is not whole: {why}")
            case Misfit(reason, why):
                self._refuse(pushed, reason, why)
            case Belongs():
                return

    def _keep(self, pushed: Path) -> bool:
        name, destination = pushed.name, self.layout.incoming / pushed.name
        sync_file(pushed)  # before we look, so that nothing slow comes between look and name
        # In the order in which a file goes its way: what moves on while we look is seen again.
        self._compare(self.layout.streaming / name, pushed)
        for place in (destination, self.wals.path(name)):
            if place is not None and self._compare(place, pushed):
                confirm(place)
                return False
        name_it(pushed, destination)
        log.debug("WAL file pushed", file=name)
        return True

    def _compare(self, place: Path, pushed: Path) -> bool:
        """True when the same lies there, False when nothing does that counts."""
        same = self._is_same(place, pushed)
        if same is False and self._counts(place):
            why = f"{place.parent} holds another content under its name"
            self._refuse(pushed, "duplicate", why)
        return same is True

    def _is_same(self, place: Path, pushed: Path) -> bool | None:
        """None when nothing lies there."""
        try:
            return holds_same(place, pushed) if place.exists() else None
        except Damaged:
            return False
        except StorageFailed:
            if place.exists():
                raise
            return None  # the archive's pass took it on; there it is looked for next

    def _counts(self, place: Path) -> bool:
        """Half a file is not a content of its own. One in incoming/ makes way; the archive's pass
        sees to one in the archive, and its receiver to one in streaming/.
        """
        if not isinstance(self.door.look(place), Unfinished):
            return True
        if place.parent == self.layout.incoming:
            self.quarantine.set_aside(place, "unfinished", "it was half a file when a whole came")
        return False

    def _refuse(self, pushed: Path, reason: str, why: str) -> None:
        """PostgreSQL sends it again and again: one copy of it is enough, and one alarm."""
        name = pushed.name
        kept = next(
            (each for each in self.wals.aside(name, reason) if holds_same(each, pushed)), None
        )
        if kept is None:
            kept = self.quarantine.set_aside(pushed, reason, why)
        raise Refused(f"{name} is refused: {why}", hint=f"It is kept as {kept}.")
