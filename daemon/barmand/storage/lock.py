"""One daemon per state directory, and per directory of backups."""

import errno
import fcntl
import os
from pathlib import Path

from barmand.model.errors import Refused
from barmand.storage.disk import at_the_disk
from barmand.storage.durable import make_directory

LOCK_NAME = "barmand.lock"
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
"""Of file systems that lock no directory, as NFS: nothing can be told there."""


class StateLock:
    """Held by flock, so it ends with the process, however; the pid inside is for people."""

    def __init__(self, directory: Path) -> None:
        """Raises Refused naming the holder, StorageFailed."""
        make_directory(directory)
        self._path = directory / LOCK_NAME
        with at_the_disk("open", self._path):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(self._file, 32).decode(errors="replace").strip()
                os.close(self._file)
                raise Refused(
                    f"another barmand (pid {holder or 'unknown'}) uses {directory}",
                    hint="One daemon serves a state directory; stop that one first.",
                ) from error
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._file)


class DirectoryLock:
    """One on a directory itself, so that nothing is written into it; it ends with the process."""

    def __init__(self, directory: Path) -> None:
        """Raises Refused naming the holder, StorageFailed."""
        with at_the_disk("open", directory):
            self._file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with at_the_disk("lock", directory):
                _lock(self._file, directory)
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        os.close(self._file)


def _lock(directory: int, path: Path) -> None:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Refused(
            f"another barmand (pid {_holder(directory) or 'unknown'}) works in {path}",
            hint="Stop that one and reload this one, or give this one another directory.",
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _holder(directory: int) -> int | None:
    """Who has locked it, as proc(5) tells it; None where it does not."""
    inode = os.fstat(directory).st_ino
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if "FLOCK" in words and words[-3].endswith(f":{inode}"):
            return int(words[-4])
    return None
