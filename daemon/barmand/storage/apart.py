"""Do folders lie outside of the cluster's, whatever links and mounts lead to them?"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from barmand.storage.real_paths import real_path


def is_here(pgdata: Path) -> bool:
    """Is there a data directory on this machine, or what this user may not look into?

    A folder that only has the name of one elsewhere is none: a disk for backups may be /data too.
    """
    try:
        (pgdata / "PG_VERSION").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def host_of(folder: Path, hosts: Iterable[Path]) -> Path | None:
    """The one of `hosts` that this folder is, or would lie in."""
    known = {mark: host for host in hosts for mark in _marks(real_path(host))}
    real = real_path(folder)
    marks = (mark for each in (real, *real.parents) for mark in _marks(each))
    return next((known[mark] for mark in marks if mark in known), None)


def _marks(real: Path) -> Iterator[Path | tuple[int, int]]:
    """By which a directory is known again: one that is mounted twice has two paths."""
    yield real
    with suppress(OSError):  # not there yet, or not to be looked at
        facts = real.stat()
        yield facts.st_dev, facts.st_ino
