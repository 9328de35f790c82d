"""When a backup is due, as cron's words say it, how it is taken, and what becomes of a ring."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from barmand.model.order import Wish

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_DAY = dict(
    zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True)
)

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_PART = re.compile(
    r"(?:\*|(?P<first>\w{1,3})(?:-(?P<last>\w{1,3}))?)(?:/(?P<step>\d{1,2}))?", re.ASCII
)
_JITTER = re.compile(r"([0-9]{1,6})([smh])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}
_LONGEST_JITTER = 86_400


ON_TIME = timedelta(minutes=2)
"""How late a ring may come and still be the ordinary one."""


class Outcome(StrEnum):
    """What became of a due time; armed and off tell since when a schedule counts, or not."""

    ARMED = "armed"
    STARTED = "started"
    MADE_UP = "made up"
    JOINED = "joined"
    SKIPPED = "skipped"
    MISSED = "missed"
    OFF = "off"


RUNS = (Outcome.STARTED, Outcome.MADE_UP, Outcome.JOINED, Outcome.SKIPPED, Outcome.MISSED)


def judged(late: timedelta, grace: timedelta, *, is_first: bool) -> Outcome:
    """What becomes of a due time that rings so late; `is_first` if none before it was missed."""
    if late <= ON_TIME and is_first:
        return Outcome.STARTED
    return Outcome.MADE_UP if late <= max(grace, ON_TIME) else Outcome.MISSED


@dataclass(frozen=True, slots=True)
class CronFields:
    """The arguments of APScheduler's CronTrigger, all of which must hold at once."""

    minute: str
    hour: str
    day: str
    month: str
    day_of_week: str


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Five cron fields or a nickname, then perhaps `zone=Europe/Rome` and `jitter=10m`.

    Due when any one of `alternatives` is: cron runs on the day of the month OR of the week.
    """

    text: str
    alternatives: tuple[CronFields, ...]
    zone: str | None = None
    jitter_seconds: int = 0
    salt: str = ""
    """Makes the jitter of one server another than that of the next."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, naming the field and what it may hold."""
        fields, extras = _split(text.split())
        return cls(
            text=text,
            alternatives=_alternatives(*fields),
            zone=_zone(extras["zone"]) if "zone" in extras else None,
            jitter_seconds=_jitter(extras["jitter"]) if "jitter" in extras else 0,
        )

    @property
    def key(self) -> str:
        """The times alone: a schedule is the same one when its jitter changes."""
        return " ".join(word for word in self.text.split() if not word.startswith("jitter="))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleLine:
    """One line of backup_schedule: when, and what this backup has otherwise than the server says.

    `name` is given to each backup again: it then means the newest of them.
    """

    text: str
    times: CronSchedule
    name: str | None = None
    wish: Wish = field(default_factory=Wish)

    @property
    def key(self) -> str:
        return self.times.key

    def of(self, server: str) -> Self:
        return replace(self, times=replace(self.times, salt=f"{server} {self.key}"))

    def __str__(self) -> str:
        return self.text


def _split(words: list[str]) -> tuple[list[str], dict[str, str]]:
    if words and words[0].startswith("@"):
        if words[0].lower() not in _NICKNAMES:
            raise ValueError(f"{words[0]} is unknown: allowed are {', '.join(_NICKNAMES)}")
        words = [*_NICKNAMES[words[0].lower()].split(), *words[1:]]
    fields = [word for word in words[:5] if "=" not in word]
    if len(fields) < 5:
        raise ValueError(
            f"five fields are needed (minute, hour, day, month, weekday), not {len(fields)}"
        )
    extras: dict[str, str] = {}
    for word in words[5:]:
        key, _, value = word.partition("=")
        if key not in {"zone", "jitter"} or key in extras:
            raise ValueError(
                f"{word!r} has no place after the five fields: "
                "allowed are zone=Europe/Rome and jitter=10m, each once, and options of a backup"
            )
        extras[key] = value
    return fields, extras


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown; not a name; a folder of names
        raise ValueError(f"zone {name!r} is unknown: allowed are names like Europe/Rome") from error
    return name


def _jitter(text: str) -> int:
    match = _JITTER.fullmatch(text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else _LONGEST_JITTER + 1
    if seconds > _LONGEST_JITTER:
        raise ValueError(f"jitter {text!r} is not understood: allowed are 30s, 10m, 1h, up to 24h")
    return seconds


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def numbers(self, text: str) -> frozenset[int]:
        parts = text.lower().split(",")
        return frozenset(number for part in parts for number in self._part(part))

    def write(self, numbers: Iterable[int]) -> str:
        """Every number spelled out: APScheduler knows no step or wrap among names."""
        chosen = sorted(numbers)
        return "*" if len(chosen) > self.high - self.low else ",".join(map(str, chosen))

    def _part(self, part: str) -> range:
        match = _PART.fullmatch(part)
        if match is None:
            raise self._wrong(part)
        first, last, step = match["first"], match["last"], int(match["step"] or 1)
        low = self.low if first is None else self._number(first)
        high = self.high if first is None else self._number(last or first)
        if high == 0 < low and self is _WEEKDAY:  # sat-sun: Sunday is 7 as well
            high = 7
        is_step_alone = match["step"] is not None and first is not None and last is None
        if low > high or is_step_alone or not 1 <= step <= self.high:
            raise self._wrong(part)
        return range(low, high + 1, step)

    def _number(self, word: str) -> int:
        if word in self.names:
            return self.low + self.names.index(word)
        ceiling = 7 if self is _WEEKDAY else self.high
        if not word.isdecimal() or not self.low <= int(word) <= ceiling:
            raise self._wrong(word)
        return int(word)

    def _wrong(self, part: str) -> ValueError:
        names = f", {self.names[0]}-{self.names[-1]}" if self.names else ""
        return ValueError(
            f"{self.name} {part!r} is not understood: allowed are {self.low}-{self.high}{names}, "
            "*, ranges like a-b, steps like */n or a-b/n, and lists of these with commas"
        )


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("weekday", 0, 6, _WEEKDAYS)


def _alternatives(
    minute: str, hour: str, day: str, month: str, weekday: str
) -> tuple[CronFields, ...]:
    """One for each kind of day when both are restricted, that is: neither begins with `*`."""
    minutes = _MINUTE.write(_MINUTE.numbers(minute))
    hours = _HOUR.write(_HOUR.numbers(hour))
    days, months = _DAY.numbers(day), _MONTH.numbers(month)
    by_month = _DAY.write(days)
    by_week = _by_name(_WEEKDAY.numbers(weekday))
    are_both_restricted = not day.startswith("*") and not weekday.startswith("*")
    pairs = [(by_month, "*"), ("*", by_week)] if are_both_restricted else [(by_month, by_week)]
    if min(days) > max(_LONGEST_DAY[number] for number in months):
        # 30 February: APScheduler would look for it until the year 9999
        pairs = [(on, week) for on, week in pairs if on != by_month]
    if not pairs:
        raise ValueError(f"day {day!r} never comes in month {month!r}: allowed are days it has")
    return tuple(CronFields(minutes, hours, on, _MONTH.write(months), week) for on, week in pairs)


def _by_name(weekdays: Iterable[int]) -> str:
    """Names, because APScheduler counts from Monday."""
    numbers = sorted({number % 7 for number in weekdays})
    return "*" if len(numbers) == 7 else ",".join(_WEEKDAYS[number] for number in numbers)
