"""Which backup comes after which, and which builds upon which."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate

from barmand.model.backup import Backup, Status


def counts(backup: Backup) -> bool:
    """Is it one of those that redundancy is made of?"""
    return backup.status is Status.DONE and backup.parent_id is None


def is_newer(other: Backup, backup: Backup) -> bool:
    """Both are copied. By our own sequence; False as well where positions contradict it."""
    if other.id <= backup.id:
        return False
    ours, theirs = backup.copied, other.copied
    if ours is None or theirs is None:
        return False
    is_same_line = ours.timeline == theirs.timeline and _system_of(other) == _system_of(backup)
    return not (is_same_line and theirs.end_lsn < ours.end_lsn)


def end_of(backup: Backup) -> datetime:
    """A backup serves moments after its end only. Only of one that is copied."""
    if backup.copied is None:
        raise ValueError(f"backup {backup.id} has no end yet")
    return backup.copied.end_time


def _system_of(backup: Backup) -> str | None:
    return None if backup.cluster is None else backup.cluster.system_id


class Ends:
    """Copied backups, oldest first, and when they ended."""

    def __init__(self, backups: Sequence[Backup]) -> None:
        self._backups = backups
        self._ids = [each.id for each in backups]
        ends = [end_of(each) for each in backups]
        self._least = list(accumulate(reversed(ends), min))[::-1]

    def after(self, backup_id: str) -> Iterator[tuple[Backup, datetime]]:
        """The later ones, oldest first; each with the earliest end from it on."""
        first = bisect_right(self._ids, backup_id)
        return zip(self._backups[first:], self._least[first:], strict=True)


class Chains:
    """Backups that build upon others; whatever a file says, nothing goes round in circles here."""

    def __init__(self, backups: Sequence[Backup]) -> None:
        self._parents = {each.id: each.parent_id for each in backups}
        self._children: defaultdict[str, list[Backup]] = defaultdict(list)
        for each in backups:
            if each.parent_id in self._parents:
                self._children[each.parent_id].append(each)

    def upon(self, backup_id: str) -> list[Backup]:
        """All that builds upon it, in each generation."""
        found: dict[str, Backup] = {}
        pending = [backup_id]
        while pending:
            for child in self._children[pending.pop()]:
                if child.id not in found and child.id != backup_id:
                    found[child.id] = child
                    pending.append(child.id)
        return list(found.values())

    def root(self, backup: Backup) -> str:
        """The id of what it builds upon in the end, as far as that is known; else its own."""
        seen = [backup.id]
        while True:
            parent = self._parents.get(seen[-1])
            if parent not in self._parents or parent in seen or parent is None:
                return seen[-1]
            seen.append(parent)
