"""What a server's disk tells to who asks how things are; it takes as long as that disk does."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from barmand.model.backup import Backup
from barmand.model.errors import StorageFailed
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.service.house import Kit
from barmand.service.views import Standing
from barmand.storage.keep_marks import keep_of

T = TypeVar("T")


def arrived(kit: Kit) -> tuple[int | None, int | None]:
    """Files that wait, and that were set aside. The check says what is wrong with their folders."""
    return _told(kit.wal_health.waiting), _told(kit.wal_health.set_aside)


def standings(kit: Kit, backups: Sequence[Backup]) -> dict[str, Standing]:
    """Of all backups of a server, by id.

    Where one mark cannot be read, nobody is judged, and the others are still shown; deletion, which
    must know, fails then.
    """
    judging = kit.expire.judging
    try:
        keeps = judging.keeps(backups)
        verdicts = judging.of(backups, keeps)
    except StorageFailed:
        return {each.id: Standing(_told(partial(keep_of, kit.layout, each.id))) for each in backups}
    return {each.backup.id: Standing(_target(keeps, each.backup.id), each) for each in verdicts}


def _target(keeps: Mapping[str, Kept], backup_id: str) -> Keep | None:
    kept = keeps.get(backup_id)
    return None if kept is None else kept.target


def _told(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except StorageFailed:
        return None
