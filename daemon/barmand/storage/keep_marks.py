"""Barman's mark of a backup that is to stay, beside it; and what an operator said of it.

What Barman's mark has no room for lies in a file of ours, bound to the mark by the moment at which
that was written: a mark that Barman has made anew, or that changed, is one without end again. So
whatever a crash or Barman leaves, a backup is kept too long rather than not long enough.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.storage.disk import at_the_disk
from barmand.storage.durable import remove_file, write_whole
from barmand.storage.layout import Layout

_FORMAT = 1


def keep_of(layout: Layout, backup_id: str) -> Keep | None:
    """A mark that says neither `full` nor `standalone` is taken for the one that keeps more."""
    for path in _places(layout, backup_id):
        word = _read(path)
        if word is not None:
            return Keep.STANDALONE if word == Keep.STANDALONE else Keep.FULL
    return None


def kept(layout: Layout, backup_id: str) -> Kept | None:
    """As `keep_of`, with all that was said of it."""
    target = keep_of(layout, backup_id)
    if target is None:
        return None
    said = _read(layout.keep_card(backup_id))
    if said is None:
        return Kept(target=target)
    try:
        facts = json.loads(said)
        is_of_this_mark = facts["format"] == _FORMAT and facts["mark"] == _moment_of(
            layout, backup_id
        )
        return _told(target, facts) if is_of_this_mark else Kept(target=target)
    except (ValueError, KeyError, TypeError):
        return Kept(target=target)  # damaged: then it is kept without end


def kept_ones(layout: Layout, backup_ids: Iterable[str]) -> dict[str, Kept]:
    """`kept` of each that is; those without a mark cost little, however many they are.

    Raises StorageFailed.
    """
    found = ((each, kept(layout, each)) for each in layout.with_keep_mark(backup_ids))
    return {backup_id: known for backup_id, known in found if known is not None}


def mark_kept(layout: Layout, backup_id: str, wanted: Kept) -> None:
    """Mark it, durably; an older mark is replaced.

    The mark first: without what was said of it, it is one without end.
    """
    write_whole(layout.keep_mark(backup_id), wanted.target.value.encode())
    remove_file(layout.old_keep_mark(backup_id))
    facts = {
        "format": _FORMAT,
        "mark": _moment_of(layout, backup_id),
        "reason": wanted.reason,
        "until": _text(wanted.until),
        "actor": wanted.actor,
        "since": _text(wanted.since),
    }
    write_whole(layout.keep_card(backup_id), (json.dumps(facts, indent=4) + "\n").encode())


def release(layout: Layout, backup_id: str) -> None:
    """Take the mark away, durably; that there is none is fine. What was said of it goes first."""
    remove_file(layout.keep_card(backup_id))
    for path in _places(layout, backup_id):
        remove_file(path)


def _places(layout: Layout, backup_id: str) -> tuple[Path, Path]:
    return layout.keep_mark(backup_id), layout.old_keep_mark(backup_id)


def _moment_of(layout: Layout, backup_id: str) -> int | None:
    """When the mark was written, in nanoseconds."""
    path = layout.keep_mark(backup_id)
    with at_the_disk("look at", path):
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return None


def _told(target: Keep, facts: dict[str, Any]) -> Kept:
    return Kept(
        target=target,
        reason=facts["reason"],
        until=_moment(facts["until"]),
        actor=facts["actor"],
        since=_moment(facts["since"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read(path: Path) -> str | None:
    with at_the_disk("read", path):
        try:
            return path.read_bytes().decode(errors="replace").strip()
        except FileNotFoundError:
            return None
