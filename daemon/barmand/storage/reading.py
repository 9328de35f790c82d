"""Read a file of a backup once, to its end: its sum, its pages.

A backup that is only looked at must not drive what others use out of the kernel's cache: what was
read is given back at once.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from barmand.model.errors import Stopped
from barmand.model.pgdata import RelationFile
from barmand.storage.disk import Stop, at_the_disk, heed, open_regular
from barmand.storage.manifest import Digest
from barmand.storage.pages import PAGE_BYTES, wrong_pages

READERS = 2
PIECE_BYTES = 1024 * 1024
_FORGET_BYTES = 16 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a backup began and ended (LSN)."""

    begin_lsn: int
    end_lsn: int


@dataclass(frozen=True, slots=True)
class Pages:
    """Whose pages are judged, and how: what was written during the backup may be torn."""

    relation: RelationFile
    during: Span


@dataclass(frozen=True, slots=True)
class Read:
    """`checksum` in hex, empty where none was asked for."""

    size: int
    checksum: str = ""
    bad_blocks: tuple[int, ...] = ()


def read_file(
    path: Path,
    stop: Stop,
    progress: Callable[[int], None],
    *,
    digest: Digest | None = None,
    pages: Pages | None = None,
) -> Read:
    """Raises StorageFailed, Stopped."""
    with open_regular(path) as file, at_the_disk("read", path):
        return seen(_pieces(file, path, stop, progress), digest=digest, pages=pages)


def seen(
    pieces: Iterable[bytes], *, digest: Digest | None = None, pages: Pages | None = None
) -> Read:
    """What a file holds, told from its bytes as they come, in pieces of any size."""
    done, bad, rest = 0, list[int](), b""
    begin, end = (pages.during.begin_lsn, pages.during.end_lsn) if pages else (0, 0)
    for piece in pieces:
        if digest is not None:
            digest.update(piece)
        if pages is not None:
            first = pages.relation.first_block + (done - len(rest)) // PAGE_BYTES
            whole = rest + piece if rest else piece
            bad += [
                page.block
                for page in wrong_pages(whole, first)
                if not begin <= page.lsn <= end  # else its WAL makes it whole
            ]
            rest = whole[len(whole) - len(whole) % PAGE_BYTES :]
        done += len(piece)
    return Read(done, digest.hex() if digest else "", tuple(bad))


def each_read(work: Callable[[T, Stop], None], items: Iterator[T], stop: Stop) -> None:
    """Do `work` for each of `items`, by a few threads. The first failure ends all; it is raised."""
    end = _Either(stop, threading.Event())
    queue = _Queue(items)

    def read_on() -> None:
        try:
            for item in queue.rest():
                heed(end, "reading", Path())
                work(item, end)
        except BaseException:
            end.other.set()
            raise

    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as pool:
        readers = [pool.submit(read_on) for _ in range(READERS)]
    errors = [error for reader in readers if (error := reader.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error


def _pieces(file: int, path: Path, stop: Stop, progress: Callable[[int], None]) -> Iterator[bytes]:
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    done = forgotten = 0
    while piece := os.read(file, PIECE_BYTES):
        heed(stop, "reading", path)
        yield piece
        done += len(piece)
        progress(len(piece))
        if done - forgotten >= _FORGET_BYTES:
            os.posix_fadvise(file, forgotten, done - forgotten, os.POSIX_FADV_DONTNEED)
            forgotten = done
    os.posix_fadvise(file, forgotten, 0, os.POSIX_FADV_DONTNEED)


@dataclass(frozen=True, slots=True)
class _Either:
    stop: Stop
    other: threading.Event

    def is_set(self) -> bool:
        return self.stop.is_set() or self.other.is_set()


class _Queue(Generic[T]):
    """An iterator that several threads take from."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def rest(self) -> Iterator[T]:
        while True:
            with self._lock:
                try:
                    item = next(self._items)
                except StopIteration:
                    return
            yield item
