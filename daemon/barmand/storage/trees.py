"""Whole directories: copied, measured, synced, removed; no symlink in them is ever followed."""

import os
import stat
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from barmand.storage.disk import (
    Stop,
    at_the_disk,
    heed,
    held_open,
    open_regular,
    pour,
    sync_directory,
    sync_file_system,
)

Owner = tuple[int, int]
"""A uid and a gid."""


def _syncfs_tells_errors(release: str) -> bool:
    """Before Linux 5.8 syncfs kept silent about pages that could not be written."""
    major, minor = release.split("-", maxsplit=1)[0].split(".")[:2]
    return (int(major), int(minor)) >= (5, 8)


_SYNC_AS_A_WHOLE = _syncfs_tells_errors(os.uname().release)


def sync_tree(path: Path, since: int | None = None) -> None:
    """All below `path` is on disk: one syncfs for each file system, else an fsync for each file.

    `since` is `path`, held open from before anything was written: no failure since then is missed.
    """
    if _SYNC_AS_A_WHOLE:
        _sync_file_systems(path, since)
    else:
        _sync_each(path)


def tree_size(path: Path) -> tuple[int, int]:
    """Bytes of all regular files, and of those that have no other hard link."""
    total = alone = 0
    with at_the_disk("measure", path):
        for entry in entries(path):
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                total += facts.st_size
                alone += facts.st_size if facts.st_nlink == 1 else 0
    return total, alone


def remove_tree(path: Path, stop: Stop | None) -> None:
    """Gone, durably; raises Stopped in between, and can be called again to go on."""
    with at_the_disk("remove", path):
        if path.is_dir() and not path.is_symlink():
            _empty(path, stop)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_directory(path.parent)


def files_below(root: Path) -> Iterator[Path]:
    """Each file and symlink, one by one; a symlink to a directory is neither."""
    return (Path(entry.path) for entry in entries(root) if not entry.is_dir())


def copy_tree(
    source: Path,
    destination: Path,
    stop: Stop,
    progress: Callable[[int], None],
    owner: Owner | None = None,
) -> int:
    """Copy what `source` holds into `destination`, missing or empty; returns bytes. Not synced.

    Modes, times, holes and symlinks stay as they are. Never overwrites. Raises Stopped.
    """
    total = 0
    folders = [(source, destination)]
    with at_the_disk("make directory", destination):
        destination.mkdir(0o700, exist_ok=True)
    for entry in entries(source):
        heed(stop, "copying", source)
        original = Path(entry.path)
        target = destination / original.relative_to(source)
        with at_the_disk("copy to", target):
            if entry.is_dir(follow_symlinks=False):
                target.mkdir(0o700)
                folders.append((original, target))
            elif entry.is_symlink():
                target.symlink_to(original.readlink())
                _dress(target, original, owner)
            else:
                for count in _copied(original, target, owner):
                    progress(count)
                    total += count
                    heed(stop, "copying", source)
    # Innermost first, after their content: what is made in a directory changes its time, and its
    # mode may forbid to make anything.
    for original, target in reversed(folders):
        with at_the_disk("copy to", target):
            _dress(target, original, owner)
    return total


def _copied(original: Path, target: Path, owner: Owner | None) -> Iterator[int]:
    with open_regular(original) as opened, target.open("xb") as copy:
        yield from pour(opened, copy.fileno())
    _dress(target, original, owner)


def _dress(target: Path, original: Path, owner: Owner | None) -> None:
    """Owner first: to change it takes special bits of the mode away."""
    facts = original.lstat()
    if owner is not None:
        os.chown(target, *owner, follow_symlinks=False)
    if not stat.S_ISLNK(facts.st_mode):
        target.chmod(stat.S_IMODE(facts.st_mode))
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns), follow_symlinks=False)


def _empty(directory: Path, stop: Stop | None) -> None:
    """Take everything below away; a directory whose mode forbids it is opened up first."""
    folders: list[Path] = []
    _open_up(directory)
    for entry in entries(directory):
        heed(stop, "removing", directory)
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            _open_up(path)
            folders.append(path)
        else:
            path.unlink(missing_ok=True)
    for folder in reversed(folders):
        folder.rmdir()


def _open_up(directory: Path) -> None:
    if directory.stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
        directory.chmod(stat.S_IRWXU)


def _sync_file_systems(path: Path, since: int | None) -> None:
    with at_the_disk("sync", path):
        one_of_each = {folder.stat().st_dev: folder for folder in _folders(path)}
        if since is not None:
            one_of_each.pop(os.fstat(since).st_dev, None)
            sync_file_system(since)
        for folder in one_of_each.values():
            with held_open(folder) as opened:
                sync_file_system(opened)


def _sync_each(path: Path) -> None:
    with at_the_disk("sync", path):
        for entry in entries(path):
            if entry.is_file(follow_symlinks=False):
                with open_regular(Path(entry.path)) as file:
                    os.fsync(file)
        for folder in _folders(path):
            sync_directory(folder)
    sync_directory(path.parent)


def _folders(path: Path) -> Iterator[Path]:
    inside = (Path(entry.path) for entry in entries(path) if entry.is_dir(follow_symlinks=False))
    return chain([path], inside)


def entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below `root`, a directory before its content."""
    pending = [os.fspath(root)]
    while pending:
        folder = pending.pop()
        with at_the_disk("list", Path(folder)), os.scandir(folder) as found:
            content = sorted(found, key=lambda entry: entry.name)
        for entry in content:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
