"""What is said of a backup: it stays or it goes, in Barman's word, and why."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from barmand.model.backup import Backup
from barmand.model.keeping import Kept
from barmand.model.retention_policy import RetentionPolicy


class Word(StrEnum):
    """Barman's words for it."""

    VALID = "VALID"
    OBSOLETE = "OBSOLETE"
    HELD_BACK = "OBSOLETE*"
    """Would go, but minimum_redundancy holds it."""
    KEEP_FULL = "KEEP:FULL"
    KEEP_STANDALONE = "KEEP:STANDALONE"
    NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`failed_age`: after which time a FAILED backup goes; None is never."""

    policy: RetentionPolicy | None = None
    minimum_redundancy: int = 0
    failed_age: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a server's backups beside their rows, by id."""

    keeps: Mapping[str, Kept] = field(default_factory=dict)
    held: AbstractSet[str] = frozenset()
    """Somebody reads them."""
    lacking: AbstractSet[str] = frozenset()
    """WAL of their own is gone."""
    damaged: AbstractSet[str] = frozenset()
    """The last verification found so."""
    absent: AbstractSet[str] = frozenset()
    """Their copies are not on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`until`: the earliest moment at which it may go, if backups go on; None: cannot be told.

    `goes`: the next pass takes it away, if nothing hinders retention as a whole.
    """

    backup: Backup
    word: Word
    why: str
    until: datetime | None = None
    goes: bool = False
    kept: Kept | None = None
    is_absent: bool = False
    """The catalogue tells of it, and the disk does not."""
