"""When backups start by themselves: APScheduler as the alarm clock, and what a ring becomes.

A ring only says "look". What is due then is decided from the catalogue, the same way at each ring,
at the daemon's start, after a reload and after the clock was set: so nothing is run twice, and what
was missed is made up for once. Rings are heard in APScheduler's pool, not in its own thread.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from barmand.catalog.schedule_runs import ScheduleRun, ScheduleRuns
from barmand.model.calendar import Outcome, ScheduleLine, judged
from barmand.model.errors import Failure, Stopped
from barmand.outside.clock import local_now
from barmand.service.due_times import latest_ready, next_due, next_ring, rings_at

log = structlog.get_logger()

RETRY = timedelta(minutes=1)
_MOMENT = timedelta(microseconds=1)

StartBackup = Callable[[str, ScheduleLine, datetime], str]
Tell = Callable[[str, str, dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One server's schedules; `grace` is how late a missed run may be made up."""

    lines: tuple[ScheduleLine, ...]
    grace: timedelta


@dataclass(frozen=True, slots=True)
class _Due:
    """A line whose time has come: `before` is when it was due first, and is not accounted for."""

    line: ScheduleLine
    due: datetime
    before: datetime
    outcome: Outcome


class Schedule:
    """`start_backup` queues a backup (server, line, due) and returns its id, or raises Failure.

    `tell` makes an event of what did not happen.
    """

    def __init__(
        self,
        runs: ScheduleRuns,
        start_backup: StartBackup,
        tell: Tell,
        now: Callable[[], datetime] = local_now,
    ) -> None:
        self._runs = runs
        self._start_backup = start_backup
        self._tell = tell
        self._now = now
        self._wanted: Mapping[str, Wanted] = {}
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 2},
        )

    def start(self) -> None:
        self._scheduler.start()

    def is_alive(self) -> bool:
        return bool(self._scheduler.running)

    def stop(self) -> None:
        self._scheduler.shutdown(wait=True)

    def serve(self, wanted: Mapping[str, Wanted], put_aside: Collection[str] = ()) -> None:
        """Ring for these servers and no others.

        Who is not among them was switched off, and what is due meanwhile is not made up: except
        for those that are `put_aside`, whose settings are wrong; nobody wanted that.
        """
        wanted = {server: each for server, each in wanted.items() if each.lines}
        self._note_changes(wanted, put_aside)
        for server in set(self._wanted) - set(wanted):
            if self._scheduler.get_job(server):
                self._scheduler.remove_job(server)
        self._wanted = {
            server: Wanted(tuple(line.of(server) for line in each.lines), each.grace)
            for server, each in wanted.items()
        }
        for server in wanted:
            self._look_soon(server)

    def _note_changes(self, wanted: Mapping[str, Wanted], put_aside: Collection[str]) -> None:
        """Since when a schedule counts, and which one counts no more."""
        now, known = self._now(), self._runs.newest()
        lines = {(server, line.key) for server, each in wanted.items() for line in each.lines}
        on = {key for key, run in known.items() if run.outcome is not Outcome.OFF}
        off = {key for key in on - lines if key[0] not in put_aside}
        changes = [_noted(*key, now, Outcome.OFF) for key in sorted(off)]
        changes += [_noted(*key, now, Outcome.ARMED) for key in sorted(lines - on)]
        if changes:
            self._runs.add(*changes)

    def look_again(self) -> None:
        """The clock was set, so that what was to ring when is no longer true."""
        for server in self._wanted:
            self._look_soon(server)

    def next_ring(self, server: str) -> datetime | None:
        wanted = self._wanted.get(server)
        return None if wanted is None else _next_of(wanted.lines, self._now())

    def wait(self, server: str) -> timedelta | None:
        """For how long nothing rings."""
        wanted, now = self._wanted.get(server), self._now()
        ring = None if wanted is None else _next_of(wanted.lines, now)
        return None if ring is None else ring - now

    def next_of_line(self, server: str, key: str) -> datetime | None:
        wanted = self._wanted.get(server)
        lines = [line for line in wanted.lines if line.key == key] if wanted else []
        return _next_of(lines, self._now())

    def _look_soon(self, server: str, after: timedelta = timedelta()) -> None:
        self._scheduler.add_job(
            self._ring,
            _Rings(self, server),
            args=[server],
            id=server,
            replace_existing=True,
            next_run_time=datetime.now(UTC) + after,
        )

    def _ring(self, server: str) -> None:
        """In APScheduler's pool. What cannot be written down now is looked at again soon."""
        try:
            with self._turns[server]:
                self.look(server)
        except Stopped as stopped:
            log.info("schedule left to the next start", server=server, why=stopped.message)
        except Failure as failure:
            log.error("schedule not looked at", server=server, error=failure.message)  # noqa: TRY400 - the disk's fault
            if server in self._wanted:
                self._look_soon(server, RETRY)

    # ------------------------------------------------------------------------------- what is due
    def look(self, server: str) -> None:
        """Do what is to be done about a server's schedules at this moment. Raises StorageFailed."""
        wanted = self._wanted.get(server)
        if wanted is None:
            return
        now = self._now()
        found = [each for line in wanted.lines for each in self._due(server, line, wanted, now)]
        for each in found:
            if each.outcome is Outcome.MISSED:
                self._miss(server, each, now)
        ready = [each for each in found if each.outcome is not Outcome.MISSED]
        if ready:
            self._start(server, ready, now)

    def _due(self, server: str, line: ScheduleLine, wanted: Wanted, now: datetime) -> list[_Due]:
        since = self._runs.accounted(server, line.key, now)
        due = None if since is None else latest_ready(line.times, since, now)
        if since is None or due is None:
            return []
        before = next_due(line.times, since) or due
        late = now - rings_at(line.times, due)
        is_first = before == due and not self._runs.was_begun(server, line.key, due)
        return [_Due(line, due, before, judged(late, wanted.grace, is_first=is_first))]

    def _miss(self, server: str, each: _Due, now: datetime) -> None:
        why = "it was due longer ago than backup_schedule_grace"
        self._runs.add(_noted(server, each.line.key, now, Outcome.MISSED, due=each.due, why=why))
        self._tell_of("schedule missed", server, each, why)

    def _start(self, server: str, ready: list[_Due], now: datetime) -> None:
        """One backup for all: the line that stands first says how."""
        first, others = ready[0], ready[1:]
        backup_id, why = None, None
        try:
            backup_id = self._start_backup(server, first.line, first.due)
        except Stopped:
            raise  # not begun, and not accounted for: the daemon's next life makes it up
        except Failure as failure:
            why = failure.message
            for each in ready:
                self._tell_of("schedule skipped", server, each, why)
        runs = [(first, first.outcome)] + [(each, Outcome.JOINED) for each in others]
        self._runs.add(
            *(
                _noted(
                    server,
                    each.line.key,
                    now,
                    outcome if why is None else Outcome.SKIPPED,
                    due=each.due,
                    backup_id=backup_id,
                    why=why or (f"with {first.line.key}" if each is not first else None),
                )
                for each, outcome in runs
            )
        )
        for each, outcome in runs if why is None else ():
            log.info(
                "scheduled backup",
                server=server,
                backup_id=backup_id,
                schedule=each.line.text,
                outcome=outcome.value,
                **_facts(each),
            )

    def _tell_of(self, kind: str, server: str, each: _Due, why: str) -> None:
        facts: dict[str, object] = {"schedule": each.line.text, "why": why, **_facts(each)}
        log.warning(kind, server=server, **facts)
        self._tell(kind, server, facts)


class _Rings(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """When a server's job is to look: after now, whatever it did before and the clock does now."""

    def __init__(self, schedule: Schedule, server: str) -> None:
        self._schedule = schedule
        self._server = server

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime | None:
        wait = self._schedule.wait(self._server)
        return None if wait is None else now + max(wait, _MOMENT)


def _next_of(lines: Collection[ScheduleLine], now: datetime) -> datetime | None:
    rings = (next_ring(line.times, now) for line in lines)
    return min((ring for ring in rings if ring is not None), default=None)


def _facts(each: _Due) -> dict[str, str]:
    first = {} if each.before == each.due else {"due_since": each.before.isoformat()}
    return {"due": each.due.isoformat(), **first}


def _noted(
    server: str,
    schedule: str,
    at: datetime,
    outcome: Outcome,
    *,
    due: datetime | None = None,
    backup_id: str | None = None,
    why: str | None = None,
) -> ScheduleRun:
    return ScheduleRun(
        server=server,
        schedule=schedule,
        due=due or at,
        at=at,
        outcome=outcome,
        backup_id=backup_id,
        why=why,
    )
