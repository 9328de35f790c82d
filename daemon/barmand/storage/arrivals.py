"""What has arrived in incoming/ or streaming/, in the order in which it is to be archived."""

from pathlib import Path

from barmand.model.wal import WalKind, kind_of
from barmand.storage.disk import at_the_disk

_STILL_WRITTEN = (".tmp", ".part", ".filepart", "~")
"""What senders call a file they have not finished; rsync begins such names with a dot."""

_RANK = {WalKind.HISTORY: 0, WalKind.SEGMENT: 1, WalKind.LABEL: 1, WalKind.PARTIAL: 1}
_OTHERS = 2


def arrivals(directory: Path, *, takes_partial: bool = False) -> list[Path]:
    """Histories, so that a timeline is known before its WAL; segments and labels; the rest.

    Only regular files that nobody is still writing, as far as a name can tell. A `.partial` is
    its receiver's; but pushed by PostgreSQL it is the end of a timeline, and whole.
    """
    with at_the_disk("list", directory):
        found = [
            path for path in directory.iterdir() if _is_complete(path, takes_partial=takes_partial)
        ]
    return sorted(found, key=lambda path: (_RANK.get(kind_of(path.name), _OTHERS), path.name))


def _is_complete(path: Path, *, takes_partial: bool) -> bool:
    if path.name.endswith(".partial"):
        is_wanted = takes_partial and kind_of(path.name) is WalKind.PARTIAL
        return is_wanted and path.is_file() and not path.is_symlink()
    if path.name.startswith(".") or path.name.endswith(_STILL_WRITTEN):
        return False
    return path.is_file() and not path.is_symlink()
