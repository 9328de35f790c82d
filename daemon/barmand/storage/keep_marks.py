"""Barman's mark of a backup that is to stay, beside it."""

from pathlib import Path

from barmand.model.retention import Keep
from barmand.storage.disk import at_the_disk
from barmand.storage.layout import Layout


def keep_of(layout: Layout, backup_id: str) -> Keep | None:
    """A mark that says neither `full` nor `standalone` is taken for the one that keeps more."""
    for path in (layout.keep_mark(backup_id), layout.old_keep_mark(backup_id)):
        word = _read(path)
        if word is not None:
            return Keep.STANDALONE if word == Keep.STANDALONE else Keep.FULL
    return None


def _read(path: Path) -> str | None:
    with at_the_disk("read", path):
        try:
            return path.read_bytes().decode(errors="replace").strip()
        except FileNotFoundError:
            return None
