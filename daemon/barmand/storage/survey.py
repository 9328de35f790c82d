"""What is to be copied of a cluster on this machine, in batches of files.

Names only, packed, in batches of one directory each: a million files take some ten megabytes.
Files of some size are batches of their own, largest first, so that no worker is left alone with a
large one.
"""

import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.model.pgdata import TABLESPACE_LINKS, may_vanish
from barmand.storage.attempts import Attempts
from barmand.storage.data_tree import Tree, belongs, is_emptied
from barmand.storage.disk import at_the_disk, heed
from barmand.storage.pace import Stop

LARGE_BYTES = 4 * 1024 * 1024
BATCH_FILES = 256


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one directory; `folder` is relative to the tree, `` for its top."""

    tree: Tree
    folder: str
    packed: bytes
    """Their names, NUL between them."""
    bytes: int

    @property
    def is_crowd(self) -> bool:
        """Is it several files?"""
        return b"\0" in self.packed

    @property
    def names(self) -> list[str]:
        return os.fsdecode(self.packed).split("\0")


@dataclass(slots=True)
class Survey:
    """All there is to copy; its directories are made already."""

    batches: list[Batch] = field(default_factory=list)
    bytes: int = 0
    files: int = 0


@dataclass(slots=True)
class Folder:
    """One directory: its mode, its directories by their paths in the tree, its files by name."""

    mode: int
    folders: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: "array[int]" = field(default_factory=lambda: array("q"))


def survey(trees: Sequence[Tree], attempts: Attempts) -> Survey:
    """Look through `trees`, make the directories of their copies, gather their files.

    Raises Stopped, and StorageFailed with the path of what may not be read: never a silently
    shorter backup.
    """
    found = Survey()
    for tree in trees:
        for path, folder in folders(tree, attempts):
            _gather(found, tree, path, folder)
    found.batches.sort(key=lambda batch: batch.bytes, reverse=True)
    return found


def folders(tree: Tree, attempts: Attempts) -> Iterator[tuple[str, Folder]]:
    """Each directory that is taken, by its path; its copy is made."""
    pending = [""]
    while pending:
        path = pending.pop()
        folder = attempts.run(partial(_look, tree, path, attempts.stop))
        if folder is not None:
            attempts.run(partial(_make, tree.target / path, folder.mode))
            pending += folder.folders
            yield path, folder


def _look(tree: Tree, path: str, stop: Stop) -> Folder | None:
    """None when it was dropped with its database."""
    source = tree.source / path
    with at_the_disk("read", source):
        try:
            folder = Folder(stat.S_IMODE(source.stat().st_mode))
            if is_emptied(tree, path):
                return folder
            with os.scandir(source) as entries:
                for entry in entries:
                    heed(stop, "looking through", source)
                    below = f"{path}/{entry.name}" if path else entry.name
                    if belongs(tree, below):
                        _sort(folder, tree, below, entry)
        except FileNotFoundError:
            if path and may_vanish(tree.prefix + path):
                return None
            raise
        return folder


def _sort(folder: Folder, tree: Tree, path: str, entry: os.DirEntry[str]) -> None:
    """A directory may be a link (pg_wal often is); tablespaces are trees of their own."""
    follows = not tree.prefix and not path.startswith(f"{TABLESPACE_LINKS}/")
    with at_the_disk("look at", Path(entry.path)):
        if entry.is_dir(follow_symlinks=follows):
            folder.folders.append(path)
            return
        try:
            facts = entry.stat()
        except FileNotFoundError:
            if entry.is_symlink():
                raise StorageFailed(
                    f"{entry.path} is a link to nowhere", hint="Mend it, or remove it."
                ) from None
            return  # dropped since the directory was read: as if it had been before
    if stat.S_ISREG(facts.st_mode):
        folder.names.append(entry.name)
        folder.sizes.append(facts.st_size)


def _make(target: Path, mode: int) -> None:
    with at_the_disk("make directory", target):
        target.mkdir(mode | stat.S_IRWXU)


def _gather(found: Survey, tree: Tree, path: str, folder: Folder) -> None:
    names: list[str] = []
    total = 0

    def close(names: Sequence[str], total: int) -> None:
        found.batches.append(Batch(tree, path, os.fsencode("\0".join(names)), total))

    for name, size in zip(folder.names, folder.sizes, strict=True):
        if size >= LARGE_BYTES:
            close((name,), size)
            continue
        names.append(name)
        total += size
        if len(names) == BATCH_FILES:
            close(names, total)
            names, total = [], 0
    if names:
        close(names, total)
    found.files += len(folder.names)
    found.bytes += sum(folder.sizes)
