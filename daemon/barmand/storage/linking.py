"""Hard links to an older backup's files, for what has not changed since.

A file with the same size and time is the same if it changed before that backup began; a later one
is compared byte by byte.
"""

import errno
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.storage.checksums import Checksums
from barmand.storage.disk import at_the_disk, held_open
from barmand.storage.seen import Seen
from barmand.storage.survey import Batch

COMPARE_BYTES = 1024 * 1024
_CANNOT_LINK = frozenset({errno.ENOENT, errno.EMLINK})
"""That backup is being deleted; or its file has as many names as its file system gives one."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The backup whose unchanged files are linked. `root` is its folder, with `data` below.

    `safe_before_ns`: before that backup began. `checksums` are those of its manifest.
    """

    root: Path
    safe_before_ns: int
    checksums: Checksums


class Links:
    """To a reference's files from a new backup's, whose folder is `home`.

    Where checksums are needed, for a manifest, a file without a known one is not linked.
    """

    def __init__(self, reference: Reference, home: Path, *, needs_checksums: bool) -> None:
        self._reference = reference
        self._home = home
        self._needs_checksums = needs_checksums
        self._one_at_a_time = threading.Lock()

    def of_batch(self, batch: Batch) -> tuple[list[tuple[str, Seen]], list[str]]:
        """What could be linked at once, each by its path in the data directory; the names left.

        One worker at a time: calls as short as these cost two threads more than one, which wait for
        each other between them. What is not simple is left, with what fails: `of_file` tells why.
        """
        linked: list[tuple[str, Seen]] = []
        left: list[str] = []
        tree, folder = batch.tree, batch.folder
        target = tree.target / folder
        old = self._reference.root / target.relative_to(self._home)
        shown = tree.prefix + (f"{folder}/" if folder else "")
        try:
            with (
                self._one_at_a_time,
                held_open(tree.source / folder) as here,
                held_open(old) as before,
                held_open(target) as there,
            ):
                for name in batch.names:
                    seen = self._at_once(shown + name, name, here, before, there)
                    if seen is None:
                        left.append(name)
                    else:
                        linked.append((shown + name, seen))
        except StorageFailed:  # a directory is gone: each file's own way tells what that means
            return [], batch.names
        return linked, left

    def _at_once(self, path: str, name: str, here: int, before: int, there: int) -> Seen | None:
        """By the file's name in three open directories: the original's, the old one's, the new."""
        try:
            facts = os.stat(name, dir_fd=here)
            if facts.st_mtime_ns >= self._reference.safe_before_ns or not _is_like(
                os.stat(name, dir_fd=before, follow_symlinks=False), facts
            ):
                return None
            checksum = self._checksum(path)
            if self._needs_checksums and checksum is None:
                return None
            os.link(name, name, src_dir_fd=before, dst_dir_fd=there, follow_symlinks=False)
        except OSError:
            return None
        return Seen(facts.st_size, facts.st_mtime_ns, checksum)

    def of_file(self, source: Path, target: Path, shown: str) -> Seen | None:
        """Link `target` to the reference's file, if that is the same; None if it must be copied.

        Raises StorageFailed.
        """
        old = self._reference.root / target.relative_to(self._home)
        with at_the_disk("look at", source):
            facts = source.stat()
        try:
            if not _is_like(old.lstat(), facts):
                return None
        except (FileNotFoundError, NotADirectoryError):
            return None
        checksum = self._checksum(shown)
        if self._needs_checksums and checksum is None:
            return None
        if facts.st_mtime_ns >= self._reference.safe_before_ns and not _same(source, old):
            return None
        with at_the_disk("link", target):
            try:
                os.link(old, target)
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
                return None
        return Seen(facts.st_size, facts.st_mtime_ns, checksum)

    def _checksum(self, path: str) -> str | None:
        return self._reference.checksums.get(path) if self._needs_checksums else None


def _is_like(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _same(one: Path, other: Path) -> bool:
    with at_the_disk("compare", one), one.open("rb") as mine:
        try:
            theirs = other.open("rb")
        except FileNotFoundError:
            return False
        with theirs:
            while piece := mine.read(COMPARE_BYTES):
                if piece != theirs.read(len(piece)):
                    return False
            return not theirs.read(1)
