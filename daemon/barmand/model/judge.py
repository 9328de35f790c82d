"""Which backups stay, which go, and why.

What counts, in all of it:
- A backup that counts is DONE, and none that builds upon another: those share their root's fate.
- Newer is what comes later in our own sequence (ids only grow), whatever cluster or timeline it is
  of. Where PostgreSQL's positions on one timeline of one cluster contradict that, neither of the
  two counts as newer, and so neither makes the other go.
- A backup with bad pages, that lacks WAL of its own, or that a verification found damaged, makes no
  sound one go; only such as itself.
- A kept one counts for redundancy as any other. One that is kept standalone does not serve a
  recovery window: the WAL behind it goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.model.retention_policy import RecoveryWindow, Redundancy
from barmand.model.succession import Chains, Ends, counts, end_of, is_newer
from barmand.model.verdict import Known, Rules, Verdict, Word


def judge(
    backups: Sequence[Backup], rules: Rules, known: Known, now: datetime
) -> tuple[Verdict, ...]:
    """One verdict for each backup of a server, oldest first."""
    return _Court(backups, rules, known, now).verdicts()


def in_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that go, in the order to go in: leaves before what they build upon, else oldest first.

    An incremental backup is newer than what it builds upon, so within a chain the newest is first.
    """
    chains = Chains([each.backup for each in verdicts])
    going = [each for each in verdicts if each.goes]
    newest_first = sorted(going, key=lambda each: each.backup.id, reverse=True)
    return sorted(newest_first, key=lambda each: chains.root(each.backup))  # stable


class _Court:
    def __init__(
        self, backups: Sequence[Backup], rules: Rules, known: Known, now: datetime
    ) -> None:
        self.backups = sorted(backups, key=lambda each: each.id)
        self.rules = rules
        self.known = known
        self.now = now
        self.chains = Chains(self.backups)
        self.counting = [
            each
            for each in reversed(self.backups)
            if counts(each) and each.copied and each.id not in known.absent
        ]
        clean = {each.id for each in self.backups if each.copied and not each.copied.damages}
        self.sound = clean - known.lacking - known.damaged
        self.serving = Ends([each for each in reversed(self.counting) if self._serves(each)])

    def verdicts(self) -> tuple[Verdict, ...]:
        found: dict[str, Verdict] = {}
        for backup in self.backups:
            is_child = backup.status is Status.DONE and backup.parent_id is not None
            if is_child or backup.id in found:
                continue
            found[backup.id] = self._of(backup)
            if backup.status is Status.DONE:
                self._share(found, backup.id)
        for backup in self.backups:
            if backup.id not in found:
                found[backup.id] = self._orphan(backup)
        return tuple(found[backup.id] for backup in self.backups)

    def _share(self, found: dict[str, Verdict], root: str) -> None:
        """The children's fate is their root's, in each generation; a failed one goes along."""
        own = found[root]
        why = f"shares the fate of {root}, which it builds upon: {own.why}"
        for child in self.chains.upon(root):
            if child.status is Status.DONE or (child.status is Status.FAILED and own.goes):
                kept = self._kept(child)
                found[child.id] = replace(own, backup=child, why=why, kept=kept)

    def _orphan(self, backup: Backup) -> Verdict:
        why = f"builds upon {backup.parent_id}, which is not in the catalogue: it is left alone"
        return Verdict(backup=backup, word=Word.NONE, why=why, kept=self._kept(backup))

    # ------------------------------------------------------------------------------- one backup
    def _of(self, backup: Backup) -> Verdict:
        kept = self._kept(backup)
        if backup.id in self.known.absent:
            why = "its copy is not on disk: it counts for nothing"
            return Verdict(backup=backup, word=Word.NONE, why=why, kept=kept, is_absent=True)
        if kept is not None:
            return _kept(backup, kept)
        match backup.status:
            case Status.DONE:
                return self._of_done(backup)
            case Status.FAILED:
                return self._of_failed(backup)
            case Status.WAITING_FOR_WALS:
                why = "waits for WAL: it counts for nothing yet, and never goes by itself"
            case Status.DELETING:
                why = "is being deleted"
            case _:
                why = "is not taken yet"
        return Verdict(backup=backup, word=Word.NONE, why=why)

    def _kept(self, backup: Backup) -> Kept | None:
        kept = self.known.keeps.get(backup.id)
        return None if kept is None or kept.has_ended(self.now) else kept

    def _of_done(self, backup: Backup) -> Verdict:
        if backup.copied is None or backup.cluster is None:
            why = "nothing is known of its copy: it is left alone"
            return Verdict(backup=backup, word=Word.NONE, why=why)
        match self.rules.policy:
            case None:
                why = "no retention_policy is set"
                return Verdict(backup=backup, word=Word.NONE, why=why)
            case Redundancy(count):
                verdict = self._by_redundancy(backup, count)
            case RecoveryWindow() as window:
                verdict = self._by_window(backup, window)
        if verdict.word is not Word.OBSOLETE:
            return verdict
        return self._unless_held_back(verdict)

    def _by_redundancy(self, backup: Backup, count: int) -> Verdict:
        newer = list(islice(self._newer(backup), count))
        if len(newer) < count:
            why = f"is one of the newest {count}" if count > 1 else "is the newest"
            return Verdict(backup=backup, word=Word.VALID, why=f"{why}{self._not_sound(backup)}")
        ids = ", ".join(each.id for each in newer[:3]) + ("…" if count > 3 else "")
        why = f"{count} newer are DONE: {ids}" if count > 1 else f"a newer one is DONE: {ids}"
        return Verdict(backup=backup, word=Word.OBSOLETE, why=why)

    def _by_window(self, backup: Backup, window: RecoveryWindow) -> Verdict:
        start = self.now - window.span
        end = self._end(backup)
        first = self._first_end(backup)
        until = None if first is None else max(first, end) + window.span
        if end > start:
            why = f"ended {_day(end)}, inside the window that begins {_day(start)}"
            return self._valid(backup, why, until)
        serving = (each for each in self._newer(backup) if self._serves(each))
        before = next((each for each in serving if end_of(each) <= start), None)
        if before is None:
            why = f"the window's first moment, {_day(start)}, is recovered from it"
            return self._valid(backup, why, until)
        why = f"the whole window, from {_day(start)} on, is recovered from {before.id} and later"
        return Verdict(backup=backup, word=Word.OBSOLETE, why=why)

    def _valid(self, backup: Backup, why: str, until: datetime | None) -> Verdict:
        least = max(1, self.rules.minimum_redundancy)
        if len(list(islice(self._newer(backup), least))) < least:
            until = None
        return Verdict(
            backup=backup, word=Word.VALID, why=f"{why}{self._not_sound(backup)}", until=until
        )

    def _unless_held_back(self, verdict: Verdict) -> Verdict:
        """It is obsolete: what else may hold it?"""
        least = self.rules.minimum_redundancy
        backup = verdict.backup
        if len(list(islice(self._newer(backup), least))) < least:
            why = f"{verdict.why}; but it is one of the newest {least}, as minimum_redundancy asks"
            return replace(verdict, word=Word.HELD_BACK, why=why)
        obstacle = self._obstacle([backup, *self.chains.upon(backup.id)])
        if obstacle is not None:
            return replace(verdict, why=f"{verdict.why}; but it stays: {obstacle}")
        return replace(verdict, goes=True)

    def _obstacle(self, chain: Sequence[Backup]) -> str | None:
        for each in chain:
            if each.id in self.known.held:
                return f"{each.id} is in use"
            if self._kept(each) is not None:
                return f"{each.id} builds upon it, and is kept"
            if each.status in ACTIVE | {Status.WAITING_FOR_WALS, Status.DELETING}:
                return f"{each.id} builds upon it, and is {each.status}"
            if each.status is Status.FAILED and self._is_only_explanation(each):
                return f"{each.id} builds upon it, and explains why nothing is DONE since"
        return None

    # ---------------------------------------------------------------------------------- failures
    def _of_failed(self, backup: Backup) -> Verdict:
        age = self.rules.failed_age
        stays = Verdict(backup=backup, word=Word.NONE, why="failed")
        if age is None:
            return replace(stays, why="failed; failed_backup_maximum_age is not set")
        until = (backup.ended_at or backup.queued_at) + age
        if self._is_only_explanation(backup):
            why = "the last failure, and nothing has become DONE since: it explains why"
            return replace(stays, why=why)
        if until > self.now:
            return replace(stays, why="failed; it is kept for its explanation", until=until)
        obstacle = self._obstacle_of_failed(backup)
        if obstacle is not None:
            return replace(stays, why=f"failed; but it stays: {obstacle}")
        why = f"failed before {_day(self.now - age)}"
        return replace(stays, word=Word.OBSOLETE, why=why, goes=True)

    def _is_only_explanation(self, backup: Backup) -> bool:
        later = [each.status for each in self.backups if each.id > backup.id]
        return Status.FAILED not in later and Status.DONE not in later

    def _obstacle_of_failed(self, backup: Backup) -> str | None:
        if backup.id in self.known.held:
            return "it is in use"
        children = [each.id for each in self.chains.upon(backup.id)]
        return f"{children[0]} builds upon it" if children else None

    # ------------------------------------------------------------------------------ what is newer
    def _newer(self, backup: Backup) -> Iterator[Backup]:
        """Newest first: those that count, and may take the place of `backup`."""
        for each in self.counting:
            if each.id <= backup.id:
                return
            if self._may_replace(each, backup):
                yield each

    def _first_end(self, backup: Backup) -> datetime | None:
        """Of those that may take its place in a window, when did the first one end?"""
        first: datetime | None = None
        for each, least in self.serving.after(backup.id):
            if first is not None and first <= least:
                break
            if self._may_replace(each, backup):
                first = end_of(each) if first is None else min(first, end_of(each))
        return first

    def _may_replace(self, other: Backup, backup: Backup) -> bool:
        is_fit = self._is_sound(other) or not self._is_sound(backup)
        return is_fit and is_newer(other, backup)

    def _is_sound(self, backup: Backup) -> bool:
        return backup.id in self.sound

    def _not_sound(self, backup: Backup) -> str:
        if backup.id in self.known.lacking:
            return "; WAL that it needs is missing, so it makes no older one go"
        if backup.id in self.known.damaged:
            return "; a verification found it damaged, so it makes no older one go"
        if not self._is_sound(backup):
            return "; it has bad pages, so it makes no older one without them go"
        return ""

    def _serves(self, backup: Backup) -> bool:
        """Can later moments be recovered from it?"""
        kept = self._kept(backup)
        return kept is None or kept.target is not Keep.STANDALONE

    def _end(self, backup: Backup) -> datetime:
        """Of the backup and all that is DONE and builds upon it, the last."""
        chain = [backup, *self.chains.upon(backup.id)]
        return max(end_of(each) for each in chain if each.status is Status.DONE and each.copied)


def _kept(backup: Backup, kept: Kept) -> Verdict:
    word = Word.KEEP_STANDALONE if kept.target is Keep.STANDALONE else Word.KEEP_FULL
    who = f" by {kept.actor}" if kept.actor else ""
    reason = f": {kept.reason}" if kept.reason else ""
    why = f"is kept{who}{reason}"
    return Verdict(backup=backup, word=word, why=why, until=kept.until, kept=kept)


def _day(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
