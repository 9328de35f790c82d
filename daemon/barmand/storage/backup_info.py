"""The facts of a backup, beside the backup: saved, found again, forgotten."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from barmand.model.backup import Backup, Status
from barmand.model.errors import StorageFailed
from barmand.storage.card import card, with_card
from barmand.storage.disk import at_the_disk
from barmand.storage.durable import remove_file, write_whole
from barmand.storage.info_text import decode, encode
from barmand.storage.layout import Layout

__all__ = [
    "card",
    "decode",
    "encode",
    "forget",
    "lies_there",
    "load",
    "load_identity",
    "mark_deleting",
    "remaking",
    "save",
    "save_identity",
    "with_card",
]

_NUMBERED = 10_000
"""15 is 150000 and up."""
_LOST_INFO = "Put that file back from a copy of it, or delete the backup."
_LOST_CARD = (
    "Put that file back from a copy of it, or move it away: the backup is then known as its "
    "backup.info tells it."
)


def save(layout: Layout, backup: Backup) -> None:
    """Make `backup` durable. Card first: an info that is there has its card."""
    info = encode(backup)
    if backup.status is Status.DELETING:
        mark_deleting(layout, backup.id)
    write_whole(layout.card(backup.id), card(backup))
    write_whole(layout.info(backup.id), info.encode(errors="backslashreplace"))


def load(layout: Layout, backup_id: str) -> Backup | None:
    """None when it has no info; StorageFailed names the file, and the line, that is damaged."""
    for path in (layout.info(backup_id), layout.old_info(backup_id)):
        info = _read(path)
        if info is not None:
            break
    else:
        return None
    with _damage_named(path, _LOST_INFO):
        backup = decode(info.decode(errors="surrogateescape"), layout.server, backup_id)
    ours = _read(layout.card(backup_id))
    if ours is not None:
        with _damage_named(layout.card(backup_id), _LOST_CARD):
            backup = with_card(backup, ours)
    if _read(layout.delete_mark(backup_id)) is not None:
        return replace(backup, status=Status.DELETING)
    return backup


def lies_there(layout: Layout, backup_id: str) -> bool:
    """Has it an info, whether or not that can be read?"""
    return any(
        os.path.lexists(path) for path in (layout.info(backup_id), layout.old_info(backup_id))
    )


def is_gone(layout: Layout, backup_id: str) -> bool:
    """Neither facts nor copy: somebody else has deleted it."""
    with at_the_disk("look at", layout.backup(backup_id)):
        has_folder = os.path.lexists(layout.backup(backup_id))
    return not has_folder and not lies_there(layout, backup_id)


def mark_deleting(layout: Layout, backup_id: str) -> None:
    """Say on disk that its deletion has begun, in Barman's way: its cron would end it too."""
    write_whole(layout.delete_mark(backup_id), b"delete")


def forget(layout: Layout, backup_id: str) -> None:
    """Take its facts away. The mark goes last: until then, whoever finds the rest deletes on."""
    for path in (
        layout.info(backup_id),
        layout.old_info(backup_id),
        layout.card(backup_id),
        layout.keep_card(backup_id),
    ):
        remove_file(path)
    remove_file(layout.delete_mark(backup_id))


def save_identity(layout: Layout, system_id: str, version: int) -> None:
    """Which cluster this home belongs to. `version` is a `server_version_num` or a major one."""
    major = version // 10_000 or version
    identity = {"systemid": system_id, "version": str(major)}
    write_whole(layout.identity, (json.dumps(identity, indent=4) + "\n").encode())


def remaking(layout: Layout) -> str:
    """How an operator writes it anew: while the catalogue knows the cluster nobody else does, for
    a missing one is taken for a file system that is not mounted.
    """
    return (
        "put it back from a copy, or write it anew, one line, owned by barmand's user: "
        '{"systemid": "…", "version": "15"}, with the system id and the major version that '
        f"`barmanctl show-server {layout.server}` tells"
    )


def load_identity(layout: Layout) -> tuple[str, int] | None:
    """System identifier and version, as PostgreSQL numbers it: of that Barman keeps the major."""
    identity = _read(layout.identity)
    if identity is None:
        return None
    with _damage_named(layout.identity, f"It is the server's: {remaking(layout)}."):
        facts = json.loads(identity)
        return str(facts["systemid"]), _NUMBERED * int(str(facts["version"]).partition(".")[0])


def _read(path: Path) -> bytes | None:
    with at_the_disk("read", path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


@contextmanager
def _damage_named(path: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise StorageFailed(f"{path} is damaged: {error}", hint=hint) from error
