"""When work starts by itself: APScheduler's only door.

An alarm clock and no more: schedules are derived from the settings at every start, and a ring only
asks the desk. What was missed while the daemon was down is decided from the catalogue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from tzlocal import get_localzone

from barmand.catalog.schedule_runs import ScheduleRun, ScheduleRuns
from barmand.model.calendar import CronSchedule, missed
from barmand.model.errors import Failure
from barmand.outside.clock import local_now

log = structlog.get_logger()

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One server's schedule; `grace` is how late a missed run may be made up."""

    schedule: CronSchedule
    grace: timedelta


class Schedule:
    """`start_backup` queues a backup of a server and returns its id, or raises Failure."""

    def __init__(self, runs: ScheduleRuns, start_backup: Callable[[str], str]) -> None:
        self._runs = runs
        self._start_backup = start_backup
        self._wanted: dict[str, Wanted] = {}
        self._scheduler = BackgroundScheduler(
            timezone=get_localzone(),
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        self._scheduler.start()

    def is_alive(self) -> bool:
        return bool(self._scheduler.running)

    def stop(self) -> None:
        self._scheduler.shutdown(wait=True)

    def serve(self, wanted: Mapping[str, Wanted]) -> None:
        """Ring for these servers and no others; a schedule that did not change is left as it is."""
        for server in set(self._wanted) - set(wanted):
            self._scheduler.remove_job(_job(server))
        for server, each in wanted.items():
            if self._wanted.get(server) != each:
                self._make_up(server, each)
                self._scheduler.add_job(
                    self._ring,
                    trigger(each.schedule),
                    args=[server, each.schedule.text, "started"],
                    id=_job(server),
                    replace_existing=True,
                )
        self._wanted = dict(wanted)

    def next_ring(self, server: str) -> datetime | None:
        job = self._scheduler.get_job(_job(server))
        ring: datetime | None = None if job is None else getattr(job, "next_run_time", None)
        return ring

    def _make_up(self, server: str, wanted: Wanted) -> None:
        now = local_now()
        last = self._runs.last(server)
        if last is None or last.schedule != wanted.schedule.text:
            # Seen for the first time: from now on a run can be missed.
            self._runs.add(
                ScheduleRun(
                    server=server,
                    schedule=wanted.schedule.text,
                    due=now,
                    at=now,
                    outcome="armed",
                )
            )
            return
        due = latest_due(wanted.schedule, max(last.due, now - wanted.grace), now)
        if missed(due, last.due, now, wanted.grace):
            log.info("missed run is made up", server=server, due=str(due))
            self._ring(server, wanted.schedule.text, "made up", due)

    def _ring(self, server: str, schedule: str, outcome: str, due: datetime | None = None) -> None:
        now = local_now()
        backup_id = None
        try:
            backup_id = self._start_backup(server)
        except Failure as failure:
            outcome = "skipped"
            log.warning("scheduled backup skipped", server=server, why=failure.message)
        self._runs.add(
            ScheduleRun(
                server=server,
                schedule=schedule,
                due=due or now,
                at=now,
                outcome=outcome,
                backup_id=backup_id,
            )
        )


@dataclass(frozen=True, slots=True)
class _Alternative:
    """One of a schedule's alternatives, for OrTrigger.

    An hour that a clock change repeats rings once, unless the schedule is for every hour. Told in
    UTC: what is added to a local time (jitter) forgets which of two equal hours it was in.
    """

    cron: CronTrigger
    is_hourly: bool

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        due = self._next(previous, now)
        while due is not None and due.astimezone(self.cron.timezone).fold and not self.is_hourly:
            due = self._next(due, due + _MOMENT)
        return due

    def _next(self, previous: datetime | None, now: datetime) -> datetime | None:
        due: datetime | None = self.cron.get_next_fire_time(previous, now)
        return None if due is None else due.astimezone(UTC)


def trigger(schedule: CronSchedule) -> OrTrigger:
    """One trigger of all alternatives, so that a minute which fits several rings once."""
    zone = ZoneInfo(schedule.zone) if schedule.zone else get_localzone()
    return OrTrigger(
        [
            _Alternative(
                CronTrigger(
                    minute=fields.minute,
                    hour=fields.hour,
                    day=fields.day,
                    month=fields.month,
                    day_of_week=fields.day_of_week,
                    timezone=zone,
                ),
                is_hourly=fields.hour == "*",
            )
            for fields in schedule.alternatives
        ],
        jitter=schedule.jitter_seconds or None,
    )


def latest_due(schedule: CronSchedule, after: datetime, now: datetime) -> datetime | None:
    """The last time in (`after`, `now`] at which the schedule was due, jitter left out."""
    steady = trigger(schedule)
    steady.jitter = None
    latest: datetime | None = None
    due = steady.get_next_fire_time(None, after.astimezone(UTC) + _MOMENT)
    while due is not None and due <= now:
        latest = due
        due = steady.get_next_fire_time(due, due + _MOMENT)
    return latest


def _job(server: str) -> str:
    return f"backup {server}"
