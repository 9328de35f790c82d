"""The spool of get-wal: files fetched before PostgreSQL asks for them.

A file is there under its name, its size and its stamp, or not at all. Whether it is still what
barmand would hand out, barmand is asked: it knows its own file again by the stamp.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from barmand.ctl.wal_files import write_whole
from barmand.model.errors import StorageFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_BESIDE = ".barmanctl-"
_LOCK = ".lock"


class Held:
    """A file of the spool that is as long as it was when it came; open until the process ends."""

    def __init__(self, file: int, size: int, stamp: str) -> None:
        self.file = file
        self.size = size
        self.stamp = stamp


class Spool:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    @classmethod
    def of(cls, server: str, folder: str | None) -> Spool:
        """Below `folder`, or what is the user's own. Raises StorageFailed for one that is not ours.

        Each server has a folder of its own there, for each has segments of the same names.
        """
        top = folder or _own_folder()
        below = f"{top}/{_as_file_name(server)}"
        for each in (top, below):
            _demand_own(each)
        return cls(below)

    def find(self, name: str) -> Held | None:
        for found, size, stamp in self._entries():
            if found == name and (held := self._open(found, size, stamp)):
                return held
        return None

    def has(self, name: str) -> bool:
        return any(found == name for found, _, _ in self._entries())

    def put(self, name: str, file: int, size: int, stamp: str) -> None:
        """Take in the open file. Raises OSError."""
        write_whole(file, size, f"{self.folder}/{name}.{size}.{stamp}")

    def drop(self, name: str) -> None:
        self._remove(each for each in self._entries() if each[0] == name)

    def keep_only(self, names: Iterable[str]) -> None:
        """The rest goes, and so does what an earlier one left half done."""
        wanted = set(names)
        self._remove(each for each in self._entries() if each[0] not in wanted)
        for word in os.listdir(self.folder):  # noqa: PTH208 - pathlib is too slow to load
            if word.startswith(_BESIDE):
                os.unlink(f"{self.folder}/{word}")  # noqa: PTH108 - pathlib is too slow to load

    def lock(self) -> bool:
        """Until this process ends; False when another one has it."""
        lock = os.open(f"{self.folder}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        return True

    def _entries(self) -> list[tuple[str, int, str]]:
        """Each file's name, size and stamp; a WAL file's name may have dots, the rest has none."""
        found = []
        for word in os.listdir(self.folder):  # noqa: PTH208 - pathlib is too slow to load
            name, _, rest = word.rpartition(".")
            name, _, size = name.rpartition(".")
            if name and not name.startswith(".") and size.isdecimal():
                found.append((name, int(size), rest))
        return found

    def _open(self, name: str, size: int, stamp: str) -> Held | None:
        path = f"{self.folder}/{name}.{size}.{stamp}"
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if os.fstat(file).st_size == size:
            return Held(file, size, stamp)
        os.close(file)
        return None

    def _remove(self, entries: Iterable[tuple[str, int, str]]) -> None:
        for name, size, stamp in entries:
            try:
                os.unlink(f"{self.folder}/{name}.{size}.{stamp}")  # noqa: PTH108 - pathlib is too slow to load
            except FileNotFoundError:
                continue  # the prefetch of a moment ago was quicker


def _own_folder() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return f"{runtime}/barmanctl"
    return f"{os.environ.get('TMPDIR') or '/tmp'}/barmanctl-{os.geteuid()}"  # noqa: S108 - it is demanded to be ours


def _demand_own(folder: str) -> None:
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)  # noqa: PTH102 - pathlib is too slow to load
        facts = os.lstat(folder)
    except OSError as error:
        raise StorageFailed(f"no spool in {folder}: {error.strerror}") from error
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise StorageFailed(
            f"{folder} is no safe spool: it must be a folder of this user's alone (mode 0700)",
            hint="Name another one: --spool DIR.",
        )


def _as_file_name(server: str) -> str:
    return "".join(
        letter if letter.isalnum() and letter.isascii() else f"-{ord(letter):x}-"
        for letter in server
    )
