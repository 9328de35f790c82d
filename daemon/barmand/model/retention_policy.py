"""The administrator's word for how long backups stay, in Barman's language."""

import re
from dataclasses import dataclass
from datetime import timedelta

MOST_BACKUPS = 1_000_000
MOST_DAYS = 36_600
"""A hundred years."""

_DAYS = {"DAYS": 1, "WEEKS": 7, "MONTHS": 31}  # Barman's month has 31 days
_REDUNDANCY = re.compile(r"\s*redundancy\s+([0-9]{1,9})\s*", re.IGNORECASE)
_WINDOW = re.compile(
    r"\s*recovery\s+window\s+of\s+([0-9]{1,9})\s+(day|week|month)s?\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Redundancy:
    """The newest `count` backups stay."""

    count: int

    def __str__(self) -> str:
        return f"REDUNDANCY {self.count}"


@dataclass(frozen=True, slots=True)
class RecoveryWindow:
    """Every moment of the last so many `unit` can be recovered to. `unit`: DAYS, WEEKS, MONTHS."""

    count: int
    unit: str

    @property
    def span(self) -> timedelta:
        return timedelta(days=self.count * _DAYS[self.unit])

    def __str__(self) -> str:
        return f"RECOVERY WINDOW OF {self.count} {self.unit}"


RetentionPolicy = Redundancy | RecoveryWindow


def parse_policy(text: str) -> RetentionPolicy | None:
    """None for `none` and for nothing. Raises ValueError with what is allowed."""
    if text.strip().casefold() in ("", "none"):
        return None
    if found := _REDUNDANCY.fullmatch(text):
        return Redundancy(_within(int(found[1]), MOST_BACKUPS, text))
    if found := _WINDOW.fullmatch(text):
        unit = f"{found[2].upper()}S"
        return RecoveryWindow(_within(int(found[1]), MOST_DAYS // _DAYS[unit], text), unit)
    raise ValueError(
        "must be REDUNDANCY n, RECOVERY WINDOW OF n DAYS (or WEEKS, or MONTHS), or none, "
        f"not {text!r}"
    )


def _within(count: int, most: int, text: str) -> int:
    """No policy keeps nothing: that would delete every backup."""
    if not 1 <= count <= most:
        raise ValueError(f"must have a number from 1 to {most}, not {text!r}")
    return count
