"""What a look through a whole backup came to: it can be restored, or which file is damaged."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MOST_FLAWS = 1000
"""So many are told by name; all are counted."""


class Verdict(StrEnum):
    WHOLE = "whole"
    INCOMPLETE = "incomplete"
    """What is here is whole; it still waits for WAL."""
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """`blocks` of a relation's fork, where it is known which are bad."""

    file: str
    what: str
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`notes` tell what could not be proved, and how it was looked at."""

    at: datetime
    verdict: Verdict
    flaws: tuple[Flaw, ...] = ()
    flaw_count: int = 0
    notes: tuple[str, ...] = ()
    bytes_read: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WalFlaw:
    """What is wrong with a record; its LSN, or the name of its segment, where they are told."""

    what: str
    lsn: int | None
    segment: str | None = None

    @property
    def is_no_beginning(self) -> bool:
        """No record begins where it was looked for: the one before it may go on for long."""
        return "could not find a valid record" in self.what
