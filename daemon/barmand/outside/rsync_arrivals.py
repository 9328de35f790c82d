"""Files that rsync brought, looked at once: their pages, and their checksum for the manifest."""

import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace

from barmand.model.backup import Damage, Doubt
from barmand.model.errors import StorageFailed
from barmand.model.pgdata import RelationFile
from barmand.outside.rsync_ahead import Ahead
from barmand.outside.rsync_past import Known
from barmand.outside.rsync_words import Entry
from barmand.storage.brought import Reading
from barmand.storage.data_tree import Tree
from barmand.storage.disk import at_the_disk
from barmand.storage.manifest import Manifest
from barmand.storage.pace import Stop
from barmand.storage.seen import Looks, Seen
from barmand.storage.unjudged import Unjudged


@dataclass(slots=True)
class Arrivals:
    """The files of one load. One is read while rsync is at the next: it is in memory then."""

    tree: Tree
    looks: Looks
    reference: Known | None
    ahead: Ahead
    stop: Stop
    _seen: dict[str, tuple[int, Seen]] = field(default_factory=dict)
    """By name: the file's inode, and what was seen of it."""
    _awaited: str | None = None
    _unjudged: Unjudged[tuple[str, int, Seen]] = field(init=False)

    def __post_init__(self) -> None:
        self._unjudged = Unjudged()

    def hear(self, entry: Entry) -> None:
        """The file will soon have its name; the one before has it already, perhaps."""
        if not self.looks.sees_bytes:
            return
        before, self._awaited = self._awaited, entry.path if entry.is_transferred else None
        if before is not None:
            try:
                self._look(before)
            except StorageFailed as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise

    def settle(self, names: Iterable[str]) -> list[str]:
        """Look at what was not looked at; returns what is not here."""
        self._awaited = None
        missing: list[str] = []
        for name in names:
            facts = self._facts(name)
            if facts is None:
                missing.append(name)
            elif self.looks.sees_bytes and not self._is_seen(name, facts):
                linked = self._linked(name, facts)
                if linked is None:
                    self._look(name)
                else:
                    self._seen[name] = facts.st_ino, linked
        self._judge()
        return missing

    def drop(self, name: str) -> None:
        """It will be fetched anew, to a file of its own."""
        self._seen.pop(name, None)
        with at_the_disk("remove", self.tree.target / name):
            (self.tree.target / name).unlink(missing_ok=True)

    def unshare(self, names: Iterable[str]) -> None:
        """Drop what is linked: a further attempt might set modes and times through the link."""
        for name in names:
            facts = self._facts(name)
            if facts is not None and facts.st_nlink > 1:
                self.drop(name)

    def found(self) -> list[Damage | Doubt]:
        return [
            each
            for name, (_, seen) in self._seen.items()
            for each in seen.found(self.tree.prefix + name)
        ]

    def bad_names(self) -> list[str]:
        return [name for name, (_, seen) in self._seen.items() if seen.bad_blocks]

    def tell(self, manifest: Manifest) -> None:
        for name, (_, seen) in self._seen.items():
            if seen.checksum is not None:
                manifest.add(self.tree.prefix + name, seen.size, seen.changed_ns, seen.checksum)

    def _facts(self, name: str) -> os.stat_result | None:
        with at_the_disk("look at", self.tree.target / name):
            try:
                return (self.tree.target / name).lstat()
            except FileNotFoundError:
                return None

    def _is_seen(self, name: str, facts: os.stat_result) -> bool:
        """Was this very file looked at, not one that rsync has replaced since?"""
        known = self._seen.get(name)
        if known is None:
            return False
        inode, seen = known
        return (inode, seen.size, seen.changed_ns) == (
            facts.st_ino,
            facts.st_size,
            facts.st_mtime_ns,
        )

    def _linked(self, name: str, facts: os.stat_result) -> Seen | None:
        """A file that the reference has too was looked at when that was made."""
        if self.reference is None or facts.st_nlink == 1:
            return None
        checksum = self.reference.checksums.get(self.tree.prefix + name)
        if self.looks.algorithm is not None and checksum is None:
            return None
        try:
            before = (self.reference.folder / name).lstat()
        except OSError:
            return None
        if not os.path.samestat(before, facts):
            return None
        return Seen(facts.st_size, facts.st_mtime_ns, checksum)

    def _look(self, name: str) -> None:
        relation = RelationFile.of(self.tree.prefix + name)
        with closing(self._reading(name, relation)) as reading:
            seen = reading.finish(leaves_small=True)
            self._seen[name] = reading.facts.st_ino, replace(seen, unjudged=b"")
        if relation is not None and seen.unjudged:
            self._unjudged.add((name, *self._seen[name]), seen.unjudged, relation.first_block)
            if self._unjudged.is_enough:
                self._judge()

    def _reading(self, name: str, relation: RelationFile | None) -> Reading:
        """Begun while it came, perhaps."""
        place = self.tree.target / name
        with at_the_disk("look at", place):
            begun = self.ahead.begun(place.lstat().st_ino)
        return begun or Reading(place, relation, self.looks, self.stop)

    def _judge(self) -> None:
        for (name, inode, seen), wrong in self._unjudged.judge():
            # Not if it was dropped since, and perhaps looked at anew.
            if wrong and self._seen.get(name) == (inode, seen):
                self._seen[name] = inode, seen.judged(wrong, self.looks.start_lsn or 0)
