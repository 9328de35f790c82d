"""Do the files beside a backup say what the catalogue says? Line by line, where they are ours."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from barmand.model.backup import Backup
from barmand.model.errors import StorageFailed
from barmand.storage import backup_info
from barmand.storage.disk import at_the_disk
from barmand.storage.findings import Findings
from barmand.storage.layout import Layout

_ON_CARD = frozenset(
    {
        *("name", "requester", "queued_at", "started_at", "copied_at", "ended_at", "reason"),
        *("method", "damages", "is_standby"),
    }
)
"""What the card tells in place of backup.info, or alone."""
_KEY = re.compile(r"[a-z_]+")
_MOMENTS = ("begin_time", "end_time")
"""Written in the zone of their day; compared as moments."""


def compare(layout: Layout, backup: Backup, found: Findings) -> None:
    """backup.info and card against `backup`, the catalogue's. Raises StorageFailed for a disk."""
    place = layout.info(backup.id)
    if not place.exists() and layout.old_info(backup.id).exists():
        place = layout.old_info(backup.id)
    try:
        stored = backup_info.load(layout, backup.id)
    except StorageFailed as error:
        damaged = place if str(place) in error.message else layout.card(backup.id)
        found.add(damaged, error.message.removeprefix(f"{damaged} "))
        return
    if stored is None:
        found.add(place, "is missing")
        return
    card = layout.card(backup.id)
    for name in _differing(stored, backup):
        teller = card if name in _ON_CARD and card.exists() else place
        found.add(teller, f"says another {name} than the catalogue")
    if not card.exists():
        return  # Barman's own: its other words we cannot judge
    _compare_lines(place, backup, found)
    _compare_card(card, backup, found)


def _differing(stored: Backup, known: Backup) -> list[str]:
    if stored == known:
        return []
    names: list[str] = []
    for each in fields(Backup):
        one, other = getattr(stored, each.name), getattr(known, each.name)
        if one == other:
            continue
        inner = fields(one) if one is not None and hasattr(one, "__dataclass_fields__") else ()
        parts = [f.name for f in inner if getattr(one, f.name) != getattr(other, f.name, None)]
        names += parts or [each.name]
    return names


def _compare_lines(place: Path, backup: Backup, found: Findings) -> None:
    with at_the_disk("read", place):
        text = place.read_bytes().decode(errors="surrogateescape")
    *whole, rest = text.split("\n")
    if rest:
        found.add(place, "its last line is not finished")
    lines: dict[str, str] = {}
    for number, line in enumerate(whole, start=1):
        key, _, value = line.partition("=")
        if _KEY.fullmatch(key) is None or key in lines:
            found.add(place, f"its line {number} is not as barmand wrote it")
        lines[key] = value
    wanted = backup_info.encode(backup).encode(errors="backslashreplace").decode()
    for line in wanted.split("\n")[:-1]:
        key, _, value = line.partition("=")
        if key in _MOMENTS and _is_moment(lines.get(key, ""), str):
            continue  # compared as such
        if lines.get(key) != value:
            found.add(place, f"its line {key} is not as barmand wrote it")


def _compare_card(card: Path, backup: Backup, found: Findings) -> None:
    with at_the_disk("read", card):
        raw = card.read_bytes()
    try:
        facts = json.loads(raw)
        wanted = json.loads(backup_info.card(backup))
    except ValueError as error:
        found.add(card, f"is damaged: {error}")
        return
    for key, value in wanted.items():
        if key.endswith("_at") and _is_moment(facts.get(key) or "", datetime.isoformat):
            continue  # compared as such
        if facts.get(key) != value:
            found.add(card, f"its {key!r} is not as the catalogue has it")
    if not raw.endswith(b"}\n"):
        found.add(card, "goes on after its end")


def _is_moment(text: str, written: Callable[[datetime], str]) -> bool:
    """One, and as we write them?"""
    try:
        return written(datetime.fromisoformat(text)) == text
    except ValueError:
        return False
