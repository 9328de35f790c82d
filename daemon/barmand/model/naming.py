"""Names and ids: what a backup may be called, and which word means which backup."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from barmand.model.backup import Backup, Status
from barmand.model.errors import NotFound, Refused, UsageError

ID_FORMAT = "%Y%m%dT%H%M%S"
NAME_BYTES = 255
SHORTCUTS = ("first", "oldest", "last", "latest", "last-full", "latest-full", "last-failed")
ALL = "all"
"""What commands take for every backup."""

_ID = re.compile(r"[0-9]{8}T[0-9]{6}")
_USABLE = (Status.DONE, Status.WAITING_FOR_WALS)


def next_id(last: str | None, local_now: datetime) -> str:
    """Barman's id (local time, to the second), but never one that is not greater than `last`.

    Two starts in one second, the hour that a clock change repeats, and a clock set back all count
    on from the last id instead of using one again.
    """
    wanted = local_now.replace(tzinfo=None, microsecond=0)
    if last is not None:
        wanted = max(wanted, datetime.strptime(last, ID_FORMAT) + timedelta(seconds=1))  # noqa: DTZ007 - ids carry no zone
    return wanted.strftime(ID_FORMAT)


def is_id(text: str) -> bool:
    """Is it a date and a time of day, as `next_id` writes them?"""
    if _ID.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def valid_name(name: str) -> str:
    """`name` itself, or UsageError with the rule it breaks."""
    if not name.strip():
        raise UsageError("a backup's name cannot be empty")
    if name != name.strip() or name == "None":
        raise UsageError(f"Barman could not read back this backup's name: {name!r}")
    if is_id(name):
        raise UsageError(f"a backup's name cannot look like an id: {name!r}")
    if name.casefold() in (*SHORTCUTS, "auto"):  # LAST beside last is a trap
        raise UsageError(f"{name!r} already means a backup; choose another name")
    if name.casefold() == ALL:
        raise UsageError(f"{name!r} means every backup to commands; choose another name")
    if not name.isprintable():
        raise UsageError(f"a backup's name cannot hold control characters: {name!r}")
    if len(name.encode(errors="surrogatepass")) > NAME_BYTES:
        raise UsageError(f"a backup's name has at most {NAME_BYTES} bytes")
    return name


def find(backups: Sequence[Backup], server: str, word: str, *, only: bool = False) -> Backup:
    """The backup of `server` that an operator means by an id, a shortcut or a name.

    `backups` are all of that server, oldest first. A name that several share (a schedule gives it
    again and again) means the newest that can be restored, else the newest. With `only`, for what
    cannot be undone, it is Refused. Raises NotFound.
    """
    if word in SHORTCUTS:
        return _by_shortcut(backups, server, word)
    if is_id(word):
        chosen = [backup for backup in backups if backup.id == word]
    else:
        chosen = [backup for backup in backups if backup.name == word]
    if not chosen:
        raise NotFound(
            f"server {server} has no backup {word!r}",
            hint=f"`barmanctl list-backups {server}` names them all.",
        )
    if len(chosen) > 1 and only:
        ids = ", ".join(backup.id for backup in chosen)
        raise Refused(f"{word!r} names several backups of {server}: {ids}", hint="Use the id.")
    usable = [backup for backup in chosen if backup.status in _USABLE]
    return (usable or chosen)[-1]


def _by_shortcut(backups: Sequence[Backup], server: str, word: str) -> Backup:
    if word == "last-failed":
        chosen = [backup for backup in backups if backup.status is Status.FAILED]
    else:
        chosen = [backup for backup in backups if backup.status in _USABLE]
    if word.endswith("-full"):
        chosen = [backup for backup in chosen if backup.parent_id is None]
    if not chosen:
        raise NotFound(f"server {server} has no backup that {word!r} could mean")
    return chosen[0] if word in ("first", "oldest") else chosen[-1]
