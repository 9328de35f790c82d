"""Where a pushed file stands until it may have its name: beside, unseen, and gone if it fails."""

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from barmand.model.errors import UsageError
from barmand.model.wal import SEGMENT_SIZES
from barmand.storage.disk import at_the_disk, pour, rename_new, sync_directory
from barmand.storage.durable import sync_file

_STAGE = ".barmand-push"
"""Nobody takes what lies in there for an arrival."""


@contextmanager
def staged(incoming: Path, name: str, file: int) -> Iterator[Path]:
    """A copy of a stranger's open file under its name, gone in the end if it is still there.

    Its owner may change it meanwhile: what is judged is our copy, never the original. Not synced.
    Raises UsageError, StorageFailed.
    """
    _demand_fit(file, name)
    # Each thread has a folder of its own, so that one name may be pushed by two at once.
    path = incoming / _STAGE / str(threading.get_native_id()) / name
    try:
        with at_the_disk("write", path):
            _copy(file, path)
        yield path
    finally:
        with at_the_disk("remove", path):
            path.unlink(missing_ok=True)


def clear_stage(incoming: Path) -> None:
    """What pushes of an earlier life left behind; none of it was acknowledged."""
    folder = incoming / _STAGE
    with at_the_disk("clear", folder):
        if folder.is_dir():
            shutil.rmtree(folder)


def _copy(file: int, path: Path) -> None:
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(0o700, exist_ok=True)
    path.unlink(missing_ok=True)  # an earlier push could not remove it
    copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _ in pour(file, copy):
            pass
    finally:
        os.close(copy)


def _demand_fit(file: int, name: str) -> None:
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"what came as {name} is not a regular file")
    if facts.st_size > max(SEGMENT_SIZES):
        raise UsageError(f"{name} has {facts.st_size} bytes: no WAL file has so many")


def name_it(staged: Path, destination: Path) -> None:
    """Its own name for a synced file, durably. Refuses to overwrite: StorageFailed."""
    with at_the_disk("write", destination):
        rename_new(staged, destination)
    sync_directory(destination.parent)


def confirm(path: Path) -> None:
    """The file, and its name, are durable."""
    sync_file(path)
    sync_directory(path.parent)
