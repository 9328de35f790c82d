"""The kernel's calls on files: one step each, and the door at which its refusals are translated."""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from barmand.model.errors import Stopped, StorageFailed

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_CANNOT_NOREPLACE = frozenset({errno.ENOSYS, errno.EINVAL})
_CANNOT_RANGE = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_STEP_BYTES = 64 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_SMALL_BYTES = 1024 * 1024
_BLOCK_BYTES = 512
"""What st_blocks counts in, whatever the file system's own blocks are."""
_SYNC_FILE_RANGE_WRITE = 2
_CANNOT_START = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ESPIPE})

_HINTS = {
    errno.ENOSPC: "Free space on that file system, or make it larger.",
    errno.EDQUOT: "The quota of barmand's user on that file system is used up.",
    errno.EROFS: "That file system is mounted read-only; the kernel's log may say why.",
    errno.EACCES: "The user that barmand runs as needs the right to write there.",
}
_READING = {
    **_HINTS,
    errno.EACCES: "The user that barmand runs as needs the right to read it, and to enter the "
    "directories above it.",
}
_READING_DEEDS = frozenset({"read", "list", "look at", "compare", "compare with", "measure"})


class Stop(Protocol):
    def is_set(self) -> bool: ...


@contextmanager
def at_the_disk(deed: str, path: Path) -> Iterator[None]:
    """What the operating system refuses leaves as a StorageFailed that names deed and path."""
    try:
        yield
    except OSError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise StorageFailed(
            f"cannot {deed} {shown}: {error.strerror or error}",
            hint=(_READING if deed in _READING_DEEDS else _HINTS).get(error.errno or 0),
        ) from error


def heed(stop: Stop | None, deed: str, path: Path) -> None:
    if stop is not None and stop.is_set():
        raise Stopped(f"stopped while {deed} {path}")


@contextmanager
def open_regular(path: Path, *, follows: bool = False) -> Iterator[int]:
    file = opened_regular(path, follows=follows)
    try:
        yield file
    finally:
        os.close(file)


def opened_regular(path: Path, *, follows: bool = False) -> int:
    """No symlink is followed, unless wanted; a pipe under its name does not hold us for ever."""
    with at_the_disk("read", path):
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follows else os.O_NOFOLLOW))
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise StorageFailed(f"cannot read {path}: it is not a regular file")


def read_at(file: int, offset: int, count: int) -> bytes:
    """As much as there is: a file that shrinks meanwhile ends earlier. OSError."""
    pieces: list[bytes] = []
    while count and (piece := os.pread(file, count, offset)):
        pieces.append(piece)
        offset += len(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def free_bytes(path: Path) -> int:
    """As many as we may still write on its file system. Raises StorageFailed."""
    with at_the_disk("look at", path):
        facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


def sync_directory(path: Path) -> None:
    with at_the_disk("sync", path):
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync_open(directory, path)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network file systems sync entries by themselves
                raise
        finally:
            os.close(directory)


def sync_open(file: int, path: Path) -> None:
    """What was written to an open file is on disk. OSError."""
    sys.audit("barmand.fsync", str(path))
    os.fsync(file)


def start_writing(file: int, offset: int, count: int) -> None:
    """Let the kernel begin to write these bytes to disk, and go on. Nothing is durable by this.

    Raises OSError; where the file system knows no such thing, nothing happens.
    """
    try:
        _demand(
            _LIBC.sync_file_range(
                *(file, ctypes.c_int64(offset), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE)
            )
        )
    except OSError as error:
        if error.errno not in _CANNOT_START:
            raise


def forget(file: int, count: int) -> None:
    """Its first bytes need stay in memory no longer than until they are on disk."""
    if count > 0:
        with suppress(OSError):  # a hint: who does not take it keeps them
            os.posix_fadvise(file, 0, count, os.POSIX_FADV_DONTNEED)


@contextmanager
def held_open(directory: Path) -> Iterator[int]:
    """Its descriptor. `sync_file_system` by it tells what failed to be written since now; opened
    only later it may not tell what another one's syncfs was told before. Raises StorageFailed.
    """
    with at_the_disk("open", directory):
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield opened
    finally:
        os.close(opened)


def sync_file_system(opened: int) -> None:
    """All of the file system that holds this open directory; errors of writes are told (5.8)."""
    _demand(_LIBC.syncfs(opened))


def rename_new(source: Path, destination: Path) -> None:
    """Rename that refuses to overwrite, in one step of the kernel where the file system can.

    Where it cannot (NFS) we look first: only one thread at a time archives for a server. OSError.
    """
    sys.audit("os.rename", source, destination, -1, -1)  # as Python tells of its own renames
    try:
        _demand(
            _LIBC.renameat2(
                *(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(destination)),
                _RENAME_NOREPLACE,
            )
        )
    except OSError as error:
        if error.errno not in _CANNOT_NOREPLACE:
            raise
        _rename_after_a_look(source, destination)


def _rename_after_a_look(source: Path, destination: Path) -> None:
    if os.path.lexists(destination):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    source.rename(destination)


def _demand(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def pour(source: int, target: int) -> Iterator[int]:
    """Copy an open file into another, empty one; yields bytes as they come, at most 64 MiB at once.

    Holes stay holes; they count as bytes. Raises OSError, also when the original changes its size.
    """
    size = os.fstat(source).st_size
    yield from pour_living(source, target, size)
    if os.fstat(source).st_size != size:
        raise OSError(errno.EIO, "the original changed its size while it was copied")


def pour_living(source: int, target: int, size: int, step: int = _STEP_BYTES) -> Iterator[int]:
    """As `pour`, for a file that may change: its first `size` bytes, fewer if it shrinks.

    At most `step` bytes come at once, but for what is a hole. Wherever the two files stand, they
    are copied from their beginning: a file that was pushed comes as its sender has left it.
    """
    done = position = os.lseek(target, 0, os.SEEK_SET)
    for begin, end in _extents(source, size):
        if begin != position:
            os.lseek(target, begin, os.SEEK_SET)
            position = begin
        while position < end:
            count = _pour_step(source, target, min(step, end - position))
            if not count:
                break
            position += count
            yield position - done
            done = position
    if done == size:
        return
    whole = min(size, os.fstat(source).st_size)
    if whole > done:
        os.ftruncate(target, whole)
        yield whole - done


def _extents(file: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of the file that are not holes; the file is at the beginning of each as it comes.

    A small file that has blocks for all its bytes has no hole worth two more calls.
    """
    if 0 < size <= _SMALL_BYTES and os.fstat(file).st_blocks * _BLOCK_BYTES >= size:
        yield os.lseek(file, 0, os.SEEK_SET), size
        return
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # only a hole is left
        end = min(size, os.lseek(file, begin, os.SEEK_HOLE))
        os.lseek(file, begin, os.SEEK_SET)
        yield begin, end


def _pour_step(source: int, target: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count)
    except OSError as error:
        if error.errno not in _CANNOT_RANGE:
            raise
    return _pour_through_memory(source, target, count)


def _pour_through_memory(source: int, target: int, count: int) -> int:
    piece = memoryview(os.read(source, min(count, _READ_BYTES)))
    written = 0
    while written < len(piece):
        written += os.write(target, piece[written:])
    return written
