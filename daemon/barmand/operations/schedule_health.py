"""Does what is scheduled happen? What a check finds in the record of the schedules' due times."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from barmand.catalog.backup_counts import BackupCounts
from barmand.catalog.backups import Backups
from barmand.catalog.schedule_runs import ScheduleRun, ScheduleRuns
from barmand.model.backup import Backup, Status
from barmand.model.calendar import CronSchedule, Outcome, ScheduleLine
from barmand.model.errors import NotFound, Stopped
from barmand.model.finding import Finding, Level, failed, passed, warned
from barmand.operations.ports import Clock

LATE = timedelta(minutes=15)
"""So long a ring may be under way; then nobody rang."""
_NAME = "backup schedule"

Judged = tuple[Level, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleHealth:
    """`latest_ready` tells when a schedule was last due between two moments."""

    server: str
    lines: tuple[ScheduleLine, ...]
    runs: ScheduleRuns
    backups: Backups
    counts: BackupCounts
    latest_ready: Callable[[CronSchedule, datetime, datetime], datetime | None]
    now: Clock

    def findings(self) -> Iterator[Finding]:
        """One for all lines, as bad as the worst of them; none where nothing is scheduled."""
        judged = [self._judged(line) for line in self.lines]
        for level, tell in ((Level.FAILED, failed), (Level.WARNING, warned), (Level.OK, passed)):
            hints = [hint for found, hint in judged if found is level]
            if hints:
                yield tell(_NAME, "; ".join(hints))
                return

    def _judged(self, line: ScheduleLine) -> Judged:
        now = self.now()
        since = self.runs.accounted(self.server, line.key, now)
        if since is None:
            return Level.OK, f"{line.key}: not looked at yet"
        due = self.latest_ready(line.times, since, now - LATE)
        if due is not None:
            return Level.FAILED, f"{line.key}: due {_moment(due)}, and nothing came of it"
        run = self.runs.last_run(self.server, line.key)
        if run is None:
            return Level.OK, f"{line.key}: nothing was due yet"
        return self._of_run(run)

    def _of_run(self, run: ScheduleRun) -> Judged:
        words = f"{run.schedule}: due {_moment(run.due)}, {run.outcome.value}"
        if run.outcome in (Outcome.MISSED, Outcome.SKIPPED):
            words = f"{words}: {run.why or 'for a reason that nobody knows any more'}"
            level = Level.FAILED if run.outcome is Outcome.MISSED else Level.WARNING
            return self._unless_made_good(level, words, run.due)
        backup = self._backup(run.backup_id)
        if backup is not None and backup.status is Status.FAILED:
            why = backup.reason.message if backup.reason else "it FAILED"
            is_wish = backup.reason is not None and backup.reason.code == Stopped.__name__
            level = Level.WARNING if is_wish else Level.FAILED
            return self._unless_made_good(level, f"{words}, {backup.id}: {why}", run.due)
        return Level.OK, words if backup is None else f"{words}, {backup.id} {backup.status}"

    def _unless_made_good(self, level: Level, words: str, due: datetime) -> Judged:
        """A backup that was taken since by whomever does what was to be done."""
        done = self.counts.newest(self.server, (Status.DONE,))
        if done and (done[0].started_at or done[0].queued_at) >= due:
            return Level.OK, f"{words}; since then {done[0].id} was taken"
        return level, words

    def _backup(self, backup_id: str | None) -> Backup | None:
        try:
            return None if backup_id is None else self.backups.get(self.server, backup_id)
        except NotFound:
            return None  # deleted since, as backups are


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
