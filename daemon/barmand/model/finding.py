"""What a check found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from barmand.model.errors import CheckFailed


class Level(StrEnum):
    """WARNING: look at it in time. FAILED: something that you count on is not so now."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Measure:
    """A number for who watches it over time; `unit` is "s", "B" or none."""

    label: str
    value: float
    unit: str = ""
    warning: float | None = None
    """Where the finding becomes WARNING, and where FAILED."""
    critical: float | None = None
    is_least: bool = False
    """Those two are the least that it may be, not the most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One item looked at; `hint` tells what is wrong and the way out, or what was seen."""

    name: str
    hint: str = ""
    level: Level = Level.OK
    keeps_from_backup: bool = False
    """No backup is begun before it is mended."""
    measure: Measure | None = None

    @property
    def is_ok(self) -> bool:
        return self.level is Level.OK


def passed(name: str, hint: str = "", *, measure: Measure | None = None) -> Finding:
    return Finding(name, hint, measure=measure)


def warned(name: str, hint: str, *, measure: Measure | None = None) -> Finding:
    return Finding(name, hint, Level.WARNING, measure=measure)


def failed(
    name: str, hint: str, *, keeps_from_backup: bool = False, measure: Measure | None = None
) -> Finding:
    return Finding(name, hint, Level.FAILED, keeps_from_backup, measure)


def demanded(name: str, hint: str, *, is_ok: bool) -> Finding:
    """What no backup can be without."""
    return passed(name, hint) if is_ok else failed(name, hint, keeps_from_backup=True)


def worst(findings: Iterable[Finding]) -> Level:
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAILED, Level.WARNING) if level in levels), Level.OK)


def demand(server: str, findings: Sequence[Finding]) -> None:
    """Raise CheckFailed that names each item that keeps from a backup, not only the first."""
    obstacles = [finding for finding in findings if finding.keeps_from_backup]
    if not obstacles:
        return
    words = "; ".join(f"{finding.name}: {finding.hint}" for finding in obstacles)
    raise CheckFailed(
        f"server {server} is not ready for a backup: {words}",
        hint=f"`barmanctl check {server}` looks again, at any time.",
    )
