"""Whole and synced, or not there at all: how files and directories come, move and go.

Only here does a file reach its final name: written beside it, synced, renamed, and the directory
synced. What the operating system refuses leaves this room as a StorageFailed that names the path.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from barmand.storage.disk import (
    Stop,
    at_the_disk,
    held_open,
    open_regular,
    pour,
    rename_new,
    sync_directory,
    sync_open,
)
from barmand.storage.trees import copy_tree, remove_tree, sync_tree, tree_size

__all__ = [
    "Stop",
    "copy_tree",
    "copy_whole",
    "held_open",
    "make_directory",
    "move_whole",
    "remove_file",
    "remove_tree",
    "sync_directory",
    "sync_file",
    "sync_tree",
    "tree_size",
    "write_whole",
]


def write_whole(path: Path, data: bytes) -> None:
    """`path` holds `data`, or what it held before; it is replaced, never written in place."""
    with at_the_disk("write", path):
        with _beside(path) as beside:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                sync_open(file.fileno(), beside)
            beside.replace(path)
        sync_directory(path.parent)


def move_whole(source: Path, destination: Path) -> int:
    """Bring the file `source` to the new name `destination`; returns its bytes.

    Refuses to overwrite. Within a file system it is renamed, not linked and unlinked: between
    those two, a sender that writes `source` again in place would write into the moved file.
    """
    with at_the_disk("move to", destination):
        with open_regular(source) as file:
            size = os.fstat(file).st_size
            sync_open(file, source)
        try:
            rename_new(source, destination)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            size = copy_whole(source, destination)
            source.unlink()
        else:
            sync_directory(destination.parent)
        # The new name is durable before the old one is gone for good: dying in between leaves the
        # file twice, never zero times.
        sync_directory(source.parent)
        return size


def copy_whole(source: Path, destination: Path) -> int:
    """As `move_whole`, but `source` stays."""
    with at_the_disk("copy to", destination):
        with _beside(destination) as beside:
            with open_regular(source) as original, beside.open("xb") as file:
                size = sum(pour(original, file.fileno()))
                facts = os.fstat(original)
                os.utime(file.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))
                sync_open(file.fileno(), beside)
            rename_new(beside, destination)
        sync_directory(destination.parent)
        return size


def make_directory(path: Path, mode: int = 0o700) -> None:
    """With its parents; its entry is durable on return, even when an earlier run made it."""
    with at_the_disk("make directory", path):
        missing = [path, *path.parents]
        while len(missing) > 1 and missing[-1].is_dir():
            missing.pop()
        for directory in reversed(missing):
            with suppress(FileExistsError):
                directory.mkdir(mode)
            if not directory.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{directory} is in the way")
            if os.access(directory.parent, os.R_OK):  # else the administrator made this entry
                sync_directory(directory.parent)


def remove_file(path: Path) -> None:
    """Gone, durably; that it was gone before is fine, and synced all the same."""
    with at_the_disk("remove", path):
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_directory(path.parent)


def sync_file(path: Path) -> None:
    with at_the_disk("sync", path), open_regular(path) as file:
        sync_open(file, path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name of its own in the same directory, and on any failure no file behind it."""
    beside = path.with_name(f".barmand-{secrets.token_hex(8)}.tmp")
    try:
        yield beside
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
