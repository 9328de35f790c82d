"""When a schedule is due: cron's walls of the clock become moments, in nights of clock changes too.

APScheduler's CronTrigger finds the minutes that fit, on a calendar without a zone. What the zone
makes of them is decided here: what the clock shows twice is due the first time only, unless the
schedule is for every hour; what it never shows is due as much later as the clock was set forward.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zlib import crc32
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from tzlocal import get_localzone

from barmand.model.calendar import CronFields, CronSchedule

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


def next_due(schedule: CronSchedule, after: datetime) -> datetime | None:
    """The first moment after `after` at which it is due, jitter left out; in UTC."""
    zone = zone_of(schedule)
    start = _plain(after + min(_offsets(after, zone)))
    best: datetime | None = None
    for wall, is_hourly in _walls(schedule, start):
        if best is not None and wall - max(_offsets(best, zone)) >= _plain(best):
            return best
        for moment in _moments(wall, zone, twice=is_hourly):
            if moment > after and (best is None or moment < best):
                best = moment
    return best


def due_times(schedule: CronSchedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """All in (`after`, `until`], in order."""
    due = next_due(schedule, after)
    while due is not None and due <= until:
        yield due
        due = next_due(schedule, due)


def latest_ready(schedule: CronSchedule, after: datetime, now: datetime) -> datetime | None:
    """The last time after `after` at which it was due and whose jitter is over by now.

    Looked for from now backwards, in spans that double: a year of minutes need not be counted.
    """
    span = _MINUTE * 8
    end = now
    while end > after:
        begin = max(after, now - span)
        ready = [due for due in due_times(schedule, begin, end) if rings_at(schedule, due) <= now]
        if ready:
            return ready[-1]
        end, span = begin, span * 2
    return None


def next_ring(schedule: CronSchedule, now: datetime) -> datetime | None:
    """When it rings next, jitter and all: also for a time that was due and has not rung yet."""
    best: datetime | None = None
    due = next_due(schedule, now - timedelta(seconds=schedule.jitter_seconds))
    while due is not None and (best is None or due < best):
        ring = rings_at(schedule, due)
        if ring > now and (best is None or ring < best):
            best = ring
        due = next_due(schedule, due)
    return best


def rings_at(schedule: CronSchedule, due: datetime) -> datetime:
    """Jitter's word for this due time: always the same, also in the daemon's next life."""
    words = f"{schedule.salt} {due.timestamp():.0f}"
    return due + timedelta(seconds=crc32(words.encode()) % (schedule.jitter_seconds + 1))


def zone_of(schedule: CronSchedule) -> ZoneInfo:
    return ZoneInfo(schedule.zone) if schedule.zone else get_localzone()


# -------------------------------------------------------------------------------- walls and moments
def _walls(schedule: CronSchedule, after: datetime) -> Iterator[tuple[datetime, bool]]:
    """What a clock shows when it is due, in order, and whether it is so every hour."""
    while True:
        found = [
            (wall, fields.hour == "*")
            for fields in schedule.alternatives
            if (wall := _next_wall(fields, after)) is not None
        ]
        if not found:
            return
        after = min(wall for wall, _ in found)
        yield after, any(is_hourly for wall, is_hourly in found if wall == after)


def _next_wall(fields: CronFields, after: datetime) -> datetime | None:
    later = after.replace(second=0, microsecond=0, tzinfo=UTC) + _MINUTE
    found: datetime | None = _trigger(fields).get_next_fire_time(None, later)
    return None if found is None else found.replace(tzinfo=None)


@lru_cache(maxsize=1024)
def _trigger(fields: CronFields) -> CronTrigger:
    return CronTrigger(
        minute=fields.minute,
        hour=fields.hour,
        day=fields.day,
        month=fields.month,
        day_of_week=fields.day_of_week,
        timezone=UTC,
    )


def _moments(wall: datetime, zone: ZoneInfo, *, twice: bool) -> list[datetime]:
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return [first, second] if twice and second > first else [first]


def _offsets(moment: datetime, zone: ZoneInfo) -> list[timedelta]:
    """From UTC, the day before, now, and the day after: they differ around a clock change."""
    near = (moment - _DAY, moment, moment + _DAY)
    return [each.astimezone(zone).utcoffset() or timedelta() for each in near]


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
