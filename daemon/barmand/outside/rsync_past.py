"""The backup before: which of its files may serve again, and which must be compared first."""

from dataclasses import dataclass
from pathlib import Path

from barmand.outside.rsync_trees import Load, changed_seconds
from barmand.outside.rsync_words import Entry
from barmand.storage.checksums import Checksums
from barmand.storage.data_tree import Tree


@dataclass(frozen=True, slots=True)
class Known:
    """The past folder of one tree, and the checksums that the past manifest holds."""

    folder: Path
    checksums: Checksums


@dataclass(frozen=True, slots=True)
class Past:
    """`root` is that backup's folder, laid out as `home`, the new one's.

    What changed before `safe_before_ns`, when it began, cannot have changed again with the same
    time and size: the clock of files is finer than that.
    """

    root: Path
    home: Path
    safe_before_ns: int
    checksums: Checksums

    def known(self, load: Load) -> Known | None:
        """None where there is nothing: a tablespace may be new."""
        folder = self._folder(load.tree)
        if load.is_required or not folder.is_dir():
            return None
        return Known(folder, self.checksums)

    def doubts(self, tree: Tree, entry: Entry) -> bool:
        """Would this file be taken for unchanged although that is not certain?"""
        try:
            before = (self._folder(tree) / entry.path).lstat()
        except OSError:
            return False
        return (
            before.st_mtime_ns >= self.safe_before_ns
            and before.st_size == entry.size
            and before.st_mtime_ns // 10**9 == changed_seconds(entry)
        )

    def _folder(self, tree: Tree) -> Path:
        return self.root / tree.target.relative_to(self.home)
