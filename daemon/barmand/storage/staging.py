"""Where a pushed file stands until it may have its name: beside, unseen, and gone if it fails."""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from barmand.model.errors import UsageError
from barmand.model.wal import SEGMENT_SIZES
from barmand.storage.disk import at_the_disk, pour, rename_new, sync_directory
from barmand.storage.durable import sync_file

_STAGE = ".barmand-push-"
"""Before a token, the folder of one push. Nobody takes what lies in it for an arrival."""


@contextmanager
def stage(incoming: Path, name: str) -> Iterator[Path]:
    """A place for the file `name`, that nobody else uses and that is gone in the end."""
    folder = incoming / f"{_STAGE}{secrets.token_hex(8)}"
    with at_the_disk("make directory", folder):
        folder.mkdir(0o700)
    try:
        yield folder / name
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what is left of it goes at the next start


def clear_stages(incoming: Path) -> None:
    """What pushes of an earlier life left behind; none of it was acknowledged."""
    with at_the_disk("clear", incoming):
        for folder in incoming.glob(f"{_STAGE}*"):
            shutil.rmtree(folder)


def receive(file: int, path: Path) -> None:
    """Copy a stranger's open file to the new `path`. Not synced. Raises UsageError, StorageFailed.

    Its owner may change it meanwhile: what is judged is our copy, never the original.
    """
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"what came as {path.name} is not a regular file")
    if facts.st_size > max(SEGMENT_SIZES):
        raise UsageError(f"{path.name} has {facts.st_size} bytes: no WAL file has so many")
    with at_the_disk("write", path), path.open("xb") as copy:
        for _ in pour(file, copy.fileno()):
            pass


def settle(staged: Path, destination: Path) -> None:
    """To its own name, durably. Refuses to overwrite: StorageFailed."""
    sync_file(staged)
    with at_the_disk("write", destination):
        rename_new(staged, destination)
    sync_directory(destination.parent)


def confirm(path: Path) -> None:
    """The file, and its name, are durable."""
    sync_file(path)
    sync_directory(path.parent)
