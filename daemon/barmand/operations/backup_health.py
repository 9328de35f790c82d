"""Are there the backups that there should be? What a check finds in the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from barmand.catalog.backup_counts import BackupCounts
from barmand.catalog.backups import Backups
from barmand.catalog.proofs import Proofs
from barmand.model.backup import INTERRUPTED, RESTORABLE, Backup, Status
from barmand.model.errors import Stopped
from barmand.model.finding import Finding, Measure, failed, passed, warned
from barmand.model.retention_policy import Redundancy, RetentionPolicy
from barmand.operations.ports import Clock
from barmand.operations.wal_health import span_words
from barmand.storage.layout import Layout

_ENDED = frozenset({Status.WAITING_FOR_WALS, Status.DONE, Status.FAILED})
_MOST_NAMED = 5
_MOST_READ = 1000
_NONE = "no backup is DONE"
_PATIENCE = timedelta(hours=1)
"""A backup that has waited longer for its WAL is worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupLimits:
    """Barman's `last_backup_maximum_age`, `last_backup_minimum_size` (bytes), `minimum_redundancy`
    and `retention_policy`; how long a backup may wait for its WAL, and what failed stays.
    """

    oldest: timedelta | None = None
    smallest: int | None = None
    redundancy: int = 0
    policy: RetentionPolicy | None = None
    longest_wait: timedelta = timedelta(days=1)
    failed_age: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupHealth:
    server: str
    layout: Layout
    backups: Backups
    counts: BackupCounts
    proofs: Proofs
    limits: BackupLimits
    now: Clock
    works_on_deletion: Callable[[Backup], bool] = lambda _backup: False
    """Is somebody at it now?"""

    def findings(self) -> Iterator[Finding]:
        done = self.counts.newest(self.server, (Status.DONE,))
        last = done[0] if done else None
        yield self._age(last)
        if self.limits.smallest is not None:
            yield self._size(last, self.limits.smallest)
        counts = self.counts.by_status(self.server)
        yield self._redundancy(counts.get(Status.DONE, 0))
        yield self._policy()
        yield self._damaged(last)
        yield self._failures(last)
        yield self._waiting(self.backups.waiting(self.server))
        if counts.get(Status.DELETING):
            yield from self._deletions(counts[Status.DELETING])

    def _deletions(self, count: int) -> Iterator[Finding]:
        """One that simply goes on is as it should be."""
        found = self.counts.newest(self.server, (Status.DELETING,), count=count)
        left = [backup.id for backup in found if not self.works_on_deletion(backup)]
        if left:
            named = ", ".join(left[-_MOST_NAMED:])
            words = f"{len(left)} not complete ({named}): the journal tells what stands against"
            yield warned("deletions", f"{words}; each pass of retention tries again")

    def on_disk(self) -> Iterator[Finding]:
        """Of this item alone the disk is asked, not the catalogue."""
        name = "backups on disk"
        absent = sorted(self.counts.ids(self.server, RESTORABLE) - self.layout.copied_ids())
        if not absent:
            yield passed(name)
            return
        ids = ", ".join(absent[-_MOST_NAMED:])
        words = f"{len(absent)} of which the catalogue tells are not there: {ids}"
        hint = f"{words}; `barmanctl rebuild {self.server}` forgets what was deleted elsewhere"
        yield failed(name, hint)

    def _age(self, last: Backup | None) -> Finding:
        name, oldest = "backup maximum age", self.limits.oldest
        if last is None:
            return passed(name, "no backup yet") if oldest is None else failed(name, self._none())
        age = max(timedelta(0), self.now() - _begin(last))
        seconds = int(age.total_seconds())
        most = None if oldest is None else oldest.total_seconds()
        measure = Measure("backup_age", seconds, "s", None, most)
        words = f"{last.id} began {span_words(age)} ago"
        if oldest is None:
            return passed(name, words, measure=measure)
        words += f", of at most {span_words(oldest)}"
        if age > oldest:
            return failed(name, f"{words}: take one, and see why it is late", measure=measure)
        return passed(name, words, measure=measure)

    def _size(self, last: Backup | None, smallest: int) -> Finding:
        name = "backup minimum size"
        if last is None or last.copied is None:
            return failed(name, self._none())
        size = last.copied.size
        words = f"{last.id} has {size} bytes, of at least {smallest}"
        measure = Measure("backup_size", size, "B", None, smallest, is_least=True)
        return (failed if size < smallest else passed)(name, words, measure=measure)

    def _none(self) -> str:
        if self.backups.waiting(self.server):
            return f"{_NONE} yet: `barmanctl list-backups {self.server}` has what waits for WAL"
        return f"{_NONE}: take one with `barmanctl backup {self.server}`"

    def _redundancy(self, have: int) -> Finding:
        name, need = "minimum redundancy requirements", self.limits.redundancy
        words = f"have {have} backups, expected at least {need}"
        measure = Measure("backups", have, "", None, need or None, is_least=True)
        if have < need:
            return failed(name, words, measure=measure)
        return passed(name, words, measure=measure)

    def _policy(self) -> Finding:
        name, policy, least = (
            "retention policy settings",
            self.limits.policy,
            self.limits.redundancy,
        )
        if policy is None:
            return passed(name, "none: no backup is deleted by itself")
        if isinstance(policy, Redundancy) and policy.count < least:
            words = f"{policy}, though minimum_redundancy keeps {least}: mend one of them"
            return warned(name, words)
        return passed(name, str(policy))

    def _damaged(self, last: Backup | None) -> Finding:
        """What a verification found in a backup, or a copy in the cluster itself."""
        name, found = "damaged backups", sorted(self.proofs.damaged(self.server))
        if found:
            words = f"{', '.join(found[-_MOST_NAMED:])}: `barmanctl show-backup` names the files"
            return failed(name, f"{len(found)} found damaged by a verification, {words}")
        if last is not None and last.copied is not None and last.copied.damages:
            words = f"{last.id} has bad pages, as the cluster itself has; keep older backups; "
            return failed(
                name, f"{words}`barmanctl show-backup {self.server} {last.id}` names them"
            )
        return passed(name, "none known")

    def _failures(self, done: Backup | None) -> Finding:
        """What failed since the last one that is DONE; a stop, or what never began, proves nothing.

        Therefore neither is an alarm, and neither ends one.
        """
        name, after = "failed backups", "" if done is None else done.id
        ended = self.counts.newest(self.server, _ENDED, after=after, count=_MOST_READ)
        failures = [backup for backup in ended if _is_failure(backup)]
        if not failures:
            return _without_failure(name, ended)
        last, count = failures[0], len(failures)
        since = "and none is DONE" if done is None else f"since {done.id}, the last that is DONE"
        words = f"{count} FAILED {since}: {last.id}, {_why(last)}"
        show = f"`barmanctl show-backup {self.server} {last.id}` tells more"
        copied = [backup for backup in ended if backup.status is Status.WAITING_FOR_WALS]
        if copied and copied[0].id > last.id:
            return warned(name, f"{words}; {copied[0].id} went well after it, {self._their_end()}")
        return failed(name, f"{words}; {show}")

    def _their_end(self) -> str:
        age = self.limits.failed_age
        if age is None:
            return "and what failed stays until `barmanctl delete`"
        return f"and what failed goes by itself after {span_words(age)} (failed_backup_maximum_age)"

    def _waiting(self, waiting: Sequence[Backup]) -> Finding:
        name = "waiting backups"
        if not waiting:
            return passed(name, "none waits for WAL")
        oldest = min(waiting, key=_copied_at)
        age = self.now() - _copied_at(oldest)
        words = f"{len(waiting)} wait for WAL, {oldest.id} for {span_words(age)}"
        hint = f"{words}: `barmanctl check-backup {self.server} {oldest.id}` names what is missing"
        if age > self.limits.longest_wait:
            return failed(name, hint)
        return warned(name, hint) if age > _PATIENCE else passed(name, words)


def _begin(backup: Backup) -> datetime:
    copied = backup.copied
    return copied.begin_time if copied else backup.queued_at


def _copied_at(backup: Backup) -> datetime:
    return backup.copied_at or backup.queued_at


def _is_failure(backup: Backup) -> bool:
    """It began, and something else than a stop ended it."""
    reason = backup.reason
    is_stopped = reason is not None and reason.code == Stopped.__name__
    return backup.status is Status.FAILED and backup.started_at is not None and not is_stopped


def _without_failure(name: str, ended: Sequence[Backup]) -> Finding:
    """That barmand itself died in the middle is nobody's wish: a warning until the next one."""
    if not ended or ended[0].status is not Status.FAILED:
        return passed(name, "none since the last one that went well" if ended else "none")
    last = ended[0]
    words = f"{last.id}: {_why(last)}"
    if last.reason == INTERRUPTED and last.started_at is not None:
        return warned(name, f"{words}; take it again")
    return passed(name, f"none; only stopped, or not begun, was {words}")


def _why(backup: Backup) -> str:
    return backup.reason.message if backup.reason else "for a reason that nobody knows any more"
