"""What a reload of the settings changed."""

from dataclasses import dataclass
from enum import StrEnum


class Became(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    PUT_ASIDE = "put aside"
    BACK = "back in service"


@dataclass(frozen=True, slots=True)
class OptionChange:
    """Values as they are written, secrets masked; "" is none."""

    option: str
    before: str
    after: str
    counts_from_next_start: bool = False

    def __str__(self) -> str:
        later = " (from the next start on)" if self.counts_from_next_start else ""
        return f"{self.option}: {self.before or '(none)'} -> {self.after or '(none)'}{later}"


@dataclass(frozen=True, slots=True)
class ServerChange:
    """`unfinished` are backups that a server which is not served any more still ends."""

    server: str
    became: Became
    options: tuple[OptionChange, ...] = ()
    problems: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    backups_left: int = 0
    """Of a server that was removed: they stay on disk."""


@dataclass(frozen=True, slots=True)
class Changes:
    daemon: tuple[OptionChange, ...] = ()
    servers: tuple[ServerChange, ...] = ()
    unchanged: int = 0


NO_CHANGES = Changes()
