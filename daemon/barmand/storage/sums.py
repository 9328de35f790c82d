"""What a file held when it came into the archive: its sum, kept as an attribute of the file itself.

It goes where the file goes: with a rename, with `cp -a` and `rsync -X`. Whoever does not look for
it, Barman say, does not see it.
"""

import errno
import os
from pathlib import Path

import google_crc32c

from barmand.storage.disk import at_the_disk
from barmand.storage.packing import is_packed

_NAME = "user.barmand.crc32c"
_PIECE_BYTES = 1024 * 1024
_CANNOT = frozenset(
    {errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.ENOSYS}
)
"""No attributes on this file system, none on another's file, or no room for one more."""
_NOTHING = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOSYS})


def remember(file: int) -> bool:
    """Keep the sum of what the open file holds now; False where it cannot keep one. Not synced.

    The sum of an earlier content that cannot be replaced is an OSError: it would be believed.
    """
    sum_ = _sum(file)
    try:
        os.setxattr(file, _NAME, sum_)
    except OSError as error:
        if error.errno not in _CANNOT or _remembered(file) not in (None, sum_):
            raise
        return False
    return True


def is_as_remembered(file: int) -> bool | None:
    """None: nothing is remembered. Reads the whole file where something is. OSError."""
    remembered = _remembered(file)
    return None if remembered is None else remembered == _sum(file)


def is_altered(path: Path, file: int) -> bool:
    """Is this archived, open file another than it was? Of a packed one its format's sums tell."""
    with at_the_disk("read", path):
        return not is_packed(path) and is_as_remembered(file) is False


def _remembered(file: int) -> bytes | None:
    try:
        return os.getxattr(file, _NAME)
    except OSError as error:
        if error.errno not in _NOTHING:
            raise
        return None


def _sum(file: int) -> bytes:
    crc, done = 0, 0
    while piece := os.pread(file, _PIECE_BYTES, done):
        crc = google_crc32c.extend(crc, piece)
        done += len(piece)
    return b"%08x" % crc
