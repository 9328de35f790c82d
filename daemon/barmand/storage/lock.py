"""One daemon per state directory."""

import fcntl
import os
from pathlib import Path

from barmand.model.errors import Refused
from barmand.storage.disk import at_the_disk
from barmand.storage.durable import make_directory

LOCK_NAME = "barmand.lock"


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
