"""Text to value: what an option may hold, and how to say that it does not.

Each reader raises ValueError with what is allowed; the option's name is put before it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from barmand.model.calendar import ScheduleLine
from barmand.model.order import TablespaceLimit
from barmand.model.packing import HIGHEST_LEVEL, LOWEST_LEVEL, Effort, Level
from barmand.model.retention_policy import RetentionPolicy, parse_policy
from barmand.model.secret import Conninfo

TRUE = frozenset({"on", "true", "yes", "1"})
FALSE = frozenset({"off", "false", "no", "0"})

A_YEAR = 366 * 86_400

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_SPAN = re.compile(r"([0-9]{1,9})\s*([a-z]+)", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,15})\s*((?:[kmgt]i?)?)b?", re.IGNORECASE)
_SIZE_FACTORS = {"": 1} | {
    f"{letter}{binary}": (1024 if binary else 1000) ** power
    for power, letter in enumerate("kmgt", start=1)
    for binary in ("", "i")
}
_SPAN_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN_WORDS = {  # Barman's words; its month has 31 days
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 31 * 86_400,
}
_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_APPLICATION = re.compile(r"[ -~]{1,63}")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}\$?")
_CONNINFO = re.compile(r"postgres(ql)?://|[^\s=]+\s*=")
_MOST_KIBIBYTES = 1_000_000_000
_SOCKET_BYTES = 107  # sun_path of Linux, less its closing zero
_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Kind:
    """What an option's text may be, in words and as a reader."""

    words: str
    read: Callable[[str], object]
    has_lines: bool = False
    """Its value may go on in indented lines."""


class Bytes(int):
    """A size, written with the largest unit of which it is a whole number."""

    def __str__(self) -> str:
        fits = [unit for unit, factor in _SIZE_FACTORS.items() if self % factor == 0]
        unit = max(fits, key=_SIZE_FACTORS.__getitem__) if self else ""
        return f"{self // _SIZE_FACTORS[unit]:d} {unit.capitalize()}".strip()


# ----------------------------------------------------------------------------------- before reading


def unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def refuse_unreadable(text: str) -> None:
    if "\n" in text:
        raise ValueError("goes on in the next line: an indented line belongs to the one above it")
    if any(ord(char) < ord(" ") and char != "\t" for char in text) or "\x7f" in text:
        raise ValueError("holds a control character")


def server_name(text: str) -> str:
    """A server's name is also a folder's name and a word on the command line."""
    if not text.strip() or text != text.strip():
        raise ValueError("a server's name must not be empty, nor begin or end with a space")
    if text.lower() == "all":
        raise ValueError("a server cannot be named 'all': commands mean every server by it")
    if "/" in text or ".." in text or text.startswith(("-", ".")):
        raise ValueError("a server's name must not hold '/' or '..', nor begin with '-' or '.'")
    if not text.isprintable() or len(text.encode()) > _NAME_BYTES:
        raise ValueError(f"a server's name must be printable, at most {_NAME_BYTES} bytes")
    return text


# ------------------------------------------------------------------------------------------ readers


def _flag(text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError(f"must be on or off, not {text!r}")
    return text.lower() in TRUE


def whole(low: int, high: int, words: str = "whole number") -> Kind:
    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        if not low <= int(text) <= high:
            raise ValueError(f"must be from {low} to {high}, not {text}")
        return int(text)

    return Kind(f"{words}, {low} to {high}", read)


def seconds(low: int = 0) -> Kind:
    return whole(low, A_YEAR, "seconds")


def choice(words: type[StrEnum]) -> Kind:
    allowed = ", ".join(words)

    def read(text: str) -> StrEnum:
        for word in words:
            if word.casefold() == text.casefold():
                return word
        raise ValueError(f"must be one of {allowed}, not {text!r}")

    return Kind(f"one of {allowed}", read)


def matching(pattern: re.Pattern[str], words: str) -> Kind:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {words}, not {text!r}")
        return text

    return Kind(words, read)


def _path(text: str) -> Path:
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"must be an absolute path without '..', not {text!r}")
    return Path("/" + text.lstrip("/"))


def _socket(text: str) -> Path:
    path = _path(text)
    if len(bytes(path)) > _SOCKET_BYTES:
        raise ValueError(f"must be at most {_SOCKET_BYTES} bytes long: a socket's path has no more")
    return path


def _folders(text: str) -> tuple[Path, ...]:
    return tuple(_path(part.strip()) for part in text.split(":") if part.strip())


def _conninfo(text: str) -> Conninfo:
    if not _CONNINFO.match(text):  # and do not show it: it may hold a password
        raise ValueError("must be key=value words or a postgresql:// URI")
    return Conninfo(text)


def _bandwidth(text: str) -> int | None:
    """Zero means no limit; pg_basebackup takes no less than 32 and no more than 1048576."""
    if not _INTEGER.fullmatch(text) or int(text) > _MOST_KIBIBYTES:
        raise ValueError(f"must be 0 (no limit) to {_MOST_KIBIBYTES} KiB/s, not {text!r}")
    return int(text) or None


def _tablespace_limits(text: str) -> tuple[TablespaceLimit, ...]:
    limits = []
    for word in text.replace(",", " ").split():
        name, _, limit = word.rpartition(":")
        if not name or not _INTEGER.fullmatch(limit):
            raise ValueError(f"must be like name:KiB/s, not {word!r}")
        limits.append(TablespaceLimit(name, int(limit)))
    return tuple(limits)


def _span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    word = match[2].lower() if match else ""
    unit = _SPAN_SECONDS.get(word) or _SPAN_WORDS.get(word.removesuffix("s"))
    if match is None or unit is None or int(match[1]) * unit > A_YEAR:
        raise ValueError(f"must be like 90m, 6h, 1d or 2 HOURS, at most a year, not {text!r}")
    return timedelta(seconds=int(match[1]) * unit)


def _bytes(text: str) -> Bytes:
    """As Barman writes sizes: k is 1000, Ki is 1024; no unit is bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"must be like 500 Mi, 20Gi or 1 T, not {text!r}")
    return Bytes(int(match[1]) * _SIZE_FACTORS[(match[2] or "").lower()])


# ------------------------------------------------------------------ the annotations an option wears

FLAG = Kind("on or off", _flag)
Flag = Annotated[bool, FLAG]
Text = Annotated[str, Kind("text", str)]
Folder = Annotated[Path, Kind("absolute path", _path)]
Folders = Annotated[tuple[Path, ...], Kind("absolute paths with ':' between them", _folders)]
SocketPath = Annotated[Path, Kind(f"absolute path, at most {_SOCKET_BYTES} bytes", _socket)]
Connection = Annotated[Conninfo, Kind("conninfo: key=value words or a URI", _conninfo)]
Bandwidth = Annotated[int | None, Kind("KiB/s; 0 is no limit", _bandwidth)]
TablespaceLimits = Annotated[
    tuple[TablespaceLimit, ...], Kind("name:KiB/s words", _tablespace_limits)
]
Seconds = Annotated[int, seconds()]
Size = Annotated[Bytes, Kind("size like 500 Mi, 20Gi or 1 T", _bytes)]
Span = Annotated[timedelta, Kind("time span like 90m, 6h, 1d or 2 HOURS", _span)]
Retention = Annotated[
    RetentionPolicy,
    Kind("REDUNDANCY n, RECOVERY WINDOW OF n DAYS|WEEKS|MONTHS, or none", parse_policy),
]
SlotName = Annotated[str, matching(_SLOT, "1 to 63 of a-z, 0-9 and _")]
ApplicationName = Annotated[str, matching(_APPLICATION, "1 to 63 printable ASCII characters")]
GroupName = Annotated[str, matching(_GROUP, "a group's name")]


# ------------------------------------------------------------------------------------ value to text

_BETWEEN: dict[type, str] = {TablespaceLimit: " ", ScheduleLine: "\n    "}


def write(value: object) -> str:
    """The text that reads back as this value; nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case TablespaceLimit():
            return f"{value.tablespace}:{value.kibibytes}"
        case tuple():
            between = _BETWEEN.get(type(value[0]), ":") if value else ""
            return between.join(map(write, value))
        case timedelta():
            return _write_span(int(value.total_seconds()))
        case Conninfo():
            return value.reveal()
        case _:
            return str(value)


def _write_span(total: int) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if total % _SPAN_SECONDS[unit] == 0)
    return f"{total // _SPAN_SECONDS[unit]}{unit}"


def _level(text: str) -> Level:
    if text.casefold() in Effort.__members__.values():
        return Effort(text.casefold())
    if not _INTEGER.fullmatch(text) or not LOWEST_LEVEL <= int(text) <= HIGHEST_LEVEL:
        allowed = f"low, medium, high, or from {LOWEST_LEVEL} to {HIGHEST_LEVEL}"
        raise ValueError(f"must be {allowed}, not {text!r}")
    return int(text)


LEVEL = Kind(f"low, medium, high, or {LOWEST_LEVEL} to {HIGHEST_LEVEL}", _level)
