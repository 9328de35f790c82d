"""What a server's disk tells to who asks how things are; it takes as long as that disk does."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from barmand.model.backup import Backup
from barmand.model.errors import StorageFailed
from barmand.model.verdict import Verdict
from barmand.service.house import Kit
from barmand.service.views import Standing
from barmand.storage.keep_marks import keep_of

T = TypeVar("T")


def arrived(kit: Kit) -> tuple[int | None, int | None]:
    """Files that wait, and that were set aside. The check says what is wrong with their folders."""
    return _told(kit.wal_health.waiting), _told(kit.wal_health.set_aside)


def standings(kit: Kit, backups: Sequence[Backup]) -> dict[str, Standing]:
    """By id. A mark that cannot be read is not known; deletion, which must know, fails then."""
    judged = _verdicts(kit)
    return {
        each.id: Standing(_told(partial(keep_of, kit.layout, each.id)), judged.get(each.id))
        for each in backups
    }


def _verdicts(kit: Kit) -> dict[str, Verdict]:
    found = _told(kit.expire.judging.verdicts) or ()
    return {verdict.backup.id: verdict for verdict in found}


def _told(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except StorageFailed:
        return None
