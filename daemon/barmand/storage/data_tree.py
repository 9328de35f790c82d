"""What is to be copied of a cluster on this machine, in batches of files.

Names only, in batches of one directory each: a million files take some tens of megabytes. Files of
some size are batches of their own, largest first, so that no worker is left alone with a large one.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.model.pgdata import (
    CONTROL_FILE,
    TABLESPACE_LINKS,
    Part,
    is_temporary,
    may_vanish,
    part_of,
)
from barmand.storage.disk import at_the_disk

LARGE_BYTES = 4 * 1024 * 1024
BATCH_FILES = 256


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory and where its copy goes. `prefix` leads to it from the data directory."""

    source: Path
    target: Path
    prefix: str = ""
    version_folder: re.Pattern[str] | None = None
    """Of a tablespace, the one folder that is the server's."""
    left_out: frozenset[str] = frozenset()
    """Paths below the source that come otherwise: a tablespace inside the data directory, say."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one directory; `folder` is relative to the tree, `` for its top."""

    tree: Tree
    folder: str
    names: tuple[str, ...]
    bytes: int


@dataclass(slots=True)
class Survey:
    """All there is to copy; its directories are made already."""

    batches: list[Batch] = field(default_factory=list)
    bytes: int = 0
    files: int = 0


def survey(trees: Sequence[Tree]) -> Survey:
    """Look through `trees`, make the directories of their copies, gather their files.

    Raises StorageFailed with the path of what may not be read: never a silently shorter backup.
    """
    found = Survey()
    for tree in trees:
        for folder, names in _folders(tree):
            _gather(found, tree, folder, names)
    found.batches.sort(key=lambda batch: batch.bytes, reverse=True)
    return found


def _folders(tree: Tree) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Each directory that is taken, with its regular files; its copy is made."""
    pending = [""]
    while pending:
        folder = pending.pop()
        read = _read(tree, folder)
        if read is None:
            continue
        mode, entries = read
        with at_the_disk("make directory", tree.target / folder):
            (tree.target / folder).mkdir(mode | stat.S_IRWXU)
        if folder and not tree.prefix and part_of(folder) is Part.EMPTIED:
            entries = []
        files: list[os.DirEntry[str]] = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_taken(tree, path):
                continue
            if _is_directory(tree, path, entry):
                pending.append(path)
            elif _is_file(entry):
                files.append(entry)
        yield folder, files


def _read(tree: Tree, folder: str) -> tuple[int, list[os.DirEntry[str]]] | None:
    """A directory's mode and content; None when it was dropped with its database."""
    source = tree.source / folder
    with at_the_disk("read", source):
        try:
            with os.scandir(source) as found:
                return stat.S_IMODE(source.stat().st_mode), list(found)
        except FileNotFoundError:
            if folder and may_vanish(tree.prefix + folder):
                return None
            raise


def _is_directory(tree: Tree, path: str, entry: os.DirEntry[str]) -> bool:
    """A directory may be a link (pg_wal often is); tablespaces are trees of their own."""
    follows = not tree.prefix and not path.startswith(f"{TABLESPACE_LINKS}/")
    with at_the_disk("look at", Path(entry.path)):
        return entry.is_dir(follow_symlinks=follows)


def _is_file(entry: os.DirEntry[str]) -> bool:
    with at_the_disk("look at", Path(entry.path)):
        if entry.is_symlink() and not Path(entry.path).exists():
            raise StorageFailed(f"{entry.path} is a link to nowhere")
        return entry.is_file()


def _is_taken(tree: Tree, path: str) -> bool:
    if path in tree.left_out:
        return False
    if tree.version_folder is not None:
        top = path.partition("/")[0]
        return tree.version_folder.fullmatch(top) is not None and not is_temporary(path)
    return part_of(path) in (Part.TAKEN, Part.EMPTIED)


def _gather(found: Survey, tree: Tree, folder: str, entries: Sequence[os.DirEntry[str]]) -> None:
    names: list[str] = []
    total = 0
    for entry in entries:
        with at_the_disk("look at", Path(entry.path)):
            try:
                size = entry.stat().st_size
            except FileNotFoundError:
                continue  # dropped since the directory was read: as if it had been before
        found.files += 1
        found.bytes += size
        if size >= LARGE_BYTES:
            found.batches.append(Batch(tree, folder, (entry.name,), size))
            continue
        names.append(entry.name)
        total += size
        if len(names) == BATCH_FILES:
            found.batches.append(Batch(tree, folder, tuple(names), total))
            names, total = [], 0
    if names:
        found.batches.append(Batch(tree, folder, tuple(names), total))


def unreadable(pgdata: Path) -> str | None:
    """Why this user cannot copy the data directory, or None as far as one look tells."""
    try:
        (pgdata / "PG_VERSION").read_bytes()
        (pgdata / "global" / "pg_control").read_bytes()
    except OSError as error:
        return (
            f"{error.filename}: {error.strerror}; the daemon's user must be able to read the data "
            "directory (initdb --allow-group-access, and membership of its group)"
        )
    return None


def system_id_of(pgdata: Path) -> str:
    """Whose data directory it is: pg_control begins with the system identifier."""
    path = pgdata / CONTROL_FILE
    with at_the_disk("read", path), path.open("rb") as file:
        return str(int.from_bytes(file.read(8), "little"))
