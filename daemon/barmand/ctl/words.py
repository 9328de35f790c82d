"""How sizes, spans, moments and foreign text are told to a person."""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOTHING = "-"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
WALS_NAMED = 10


def safe(text: str) -> str:
    """One line that no terminal takes for an order: what cannot be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def told(value: object) -> str:
    return NOTHING if value is None or value == "" else str(value)


def size(count: float | None) -> str:
    if count is None:
        return NOTHING
    unit = 0
    while count >= 1023.95 and unit < len(UNITS) - 1:  # would be told as 1024.0
        count /= 1024
        unit += 1
    return f"{count:.1f} {UNITS[unit]}" if unit else f"{count:.0f} B"


def size_exactly(count: int | None) -> str:
    return size(count) if count is None or count < 1024 else f"{size(count)} ({count} bytes)"


def span(seconds: float | None) -> str:
    """The two greatest units: 2 h 5 min, 3 min 4 s, 12 s, 0.4 s."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def moment(iso: str | None, pattern: str = "%Y-%m-%d %H:%M:%S %z") -> str:
    """The same moment on the clock of whoever reads it, with its zone."""
    if iso is None:
        return NOTHING
    from datetime import datetime  # noqa: PLC0415 - what shows no time shall not pay for it

    return datetime.fromisoformat(iso).astimezone().strftime(pattern)


def minute(iso: str | None) -> str:
    return moment(iso, "%Y-%m-%d %H:%M %z")


def wals(names: Iterable[str] | None, count: int | None) -> str:
    """The missing segments by name, the first ones of many."""
    if names is None:
        return NOTHING
    all_named = list(names)
    some = all_named[:WALS_NAMED]
    more = max(count or 0, len(all_named)) - len(some)
    return ", ".join(some) + (f" and {more} more" if more > 0 else "") or "none"


def gap_words(gap: dict[str, Any]) -> str:
    if gap["segments"] == 1:
        return str(gap["first_wal"])
    return f"{gap['first_wal']} to {gap['last_wal']}, {gap['segments']} segments"


def progress_words(progress: dict[str, Any]) -> str:
    """`copying: 1.2 GiB of 3.4 GiB (35 %), 120.0 MiB/s, 18 s left`, as far as it is known."""
    if progress.get("queued"):
        return queued_words(progress["queued"])
    facts = []
    if progress["bytes_done"] is not None:
        facts.append(_amount(progress["bytes_done"], progress["bytes_total"]))
    if progress["bytes_per_second"] is not None:
        facts.append(f"{size(progress['bytes_per_second'])}/s")
    if progress["seconds_left"] is not None:
        facts.append(f"{span(progress['seconds_left'])} left")
    return f"{progress['phase']}: {', '.join(facts)}" if facts else str(progress["phase"])


def queued_words(queued: dict[str, Any]) -> str:
    """`queued, 3rd of 12: waits for a place (max_parallel_backups = 4)`."""
    return f"queued, {ordinal(queued['position'])} of {queued['count']}: {queued['waits_for']}"


def ordinal(number: int) -> str:
    is_teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _amount(done: int, total: int | None) -> str:
    if not total:
        return size(done)
    return f"{size(done)} of {size(total)} ({min(100, 100 * done // total)} %)"
