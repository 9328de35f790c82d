"""Is the clock to be believed? Nothing is deleted by one that went ahead.

A reading has the wall clock and, beside it, a count of seconds that no one sets: it begins at the
machine's start, and goes on while the machine sleeps. Within one start the two must keep step. From
one start to the next only the wall clock tells, and it is believed for a short absence.

A doubt ends when the clock is back in step; or when it has kept step with itself for so long that
whoever had set it wrong would have noticed; or when an operator says that it is right.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

JUMP = timedelta(hours=1)
"""A correction that is no cause for doubt."""
AWAY = timedelta(days=1)
"""As long the machine may have been off."""
PROBATION = timedelta(days=3)
"""A weekend, in which nobody looks."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`boot` names the machine's start, `seconds` have passed since."""

    at: datetime
    boot: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Watched:
    """The last reading that was believed; that at which doubt began, where it is not over."""

    believed: Reading
    doubted: Reading | None = None


def watch(known: Watched | None, now: Reading, newest: datetime | None) -> Watched:
    """What is thought of the clock after a new reading of it.

    `newest` is the latest moment that the catalogue knows of, for a first reading.
    """
    if known is None:
        if newest is None:
            return Watched(now)
        known = Watched(Reading(newest, "", 0.0))
    ahead = _ahead(known.believed, now)
    if ahead <= _allowed(known.believed, now):
        return Watched(_brought_forward(known.believed, now) if ahead < timedelta() else now)
    if known.doubted is None or not _keeps_step(known.doubted, now):
        return Watched(known.believed, now)
    if now.seconds - known.doubted.seconds >= PROBATION.total_seconds():
        return Watched(now)
    return known


def why_doubted(watched: Watched) -> str | None:
    if watched.doubted is None:
        return None
    before, doubted = watched.believed, watched.doubted
    if before.boot == doubted.boot:
        ahead = _ahead(before, doubted)
        return f"the clock went ahead by {_span(ahead)}, to {_moment(doubted.at)}"
    since = "and the machine was started in between" if before.boot else "as the backups tell"
    return (
        f"the clock shows {_moment(doubted.at)}, {_span(doubted.at - before.at)} after the last "
        f"moment that is known ({_moment(before.at)}), {since}"
    )


def _ahead(before: Reading, now: Reading) -> timedelta:
    """How far the wall clock went beyond what it should show, as far as that is known."""
    passed = now.seconds - before.seconds if before.boot == now.boot else 0.0
    return now.at - (before.at + timedelta(seconds=passed))


def _brought_forward(before: Reading, now: Reading) -> Reading:
    """A clock set back is believed, but not remembered: it may well come forward again."""
    if before.boot != now.boot:
        return before
    return Reading(now.at - _ahead(before, now), now.boot, now.seconds)


def _allowed(before: Reading, now: Reading) -> timedelta:
    return JUMP if before.boot == now.boot else AWAY


def _keeps_step(doubted: Reading, now: Reading) -> bool:
    return doubted.boot == now.boot and abs(_ahead(doubted, now)) <= JUMP


def _span(span: timedelta) -> str:
    hours = round(span.total_seconds() / 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %z}"
