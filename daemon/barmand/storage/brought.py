"""A file that somebody else brings here, read once: its pages, its checksum for a manifest.

One that is still being written is read as far as it is there, so that little is left to be read
when it is whole. Like a copy of our own it goes to disk meanwhile, and out of memory.
"""

import os
from pathlib import Path

from barmand.model.pgdata import RelationFile
from barmand.storage.disk import (
    at_the_disk,
    forget,
    heed,
    opened_regular,
    read_at,
    start_writing,
)
from barmand.storage.manifest import digest
from barmand.storage.pace import Stop
from barmand.storage.pages import PAGE_BYTES, WrongPage, wrong_pages
from barmand.storage.seen import KEPT_BYTES, PIECE_BYTES, SMALL_BYTES, Looks, Seen


class Reading:
    """A file that stays open until it is closed. Raises StorageFailed, Stopped.

    Where nothing is there at `path`, FileNotFoundError is the cause.
    """

    def __init__(self, path: Path, relation: RelationFile | None, looks: Looks, stop: Stop) -> None:
        self._path = path
        self._relation = relation if looks.start_lsn is not None else None
        self._looks = looks
        self._stop = stop
        self._sums = digest(looks.algorithm) if looks.algorithm else None
        self._wrong: list[WrongPage] = []
        self._done = 0
        self._file = opened_regular(path)

    def close(self) -> None:
        os.close(self._file)

    @property
    def facts(self) -> os.stat_result:
        return os.fstat(self._file)

    def go_on(self) -> None:
        """Read what is there now, whole pages of it: it grows."""
        size = self.facts.st_size
        self._read_to(size - size % PAGE_BYTES)

    def finish(self, *, leaves_small: bool = False) -> Seen:
        """Read the rest. With `leaves_small` a small file's pages come back unjudged."""
        facts = self.facts
        unjudged = b""
        if self._done or facts.st_size > SMALL_BYTES:
            self._read_to(facts.st_size)
        else:
            piece = self._read(facts.st_size)
            if leaves_small and self._relation is not None:
                unjudged = piece
            else:
                self._judge(piece)
            self._take(piece)
        checksum = self._sums.hex() if self._sums else None
        seen = Seen(self._done, facts.st_mtime_ns, checksum, unjudged=unjudged)
        return seen.judged(self._wrong, self._looks.start_lsn or 0) if self._wrong else seen

    def _read_to(self, end: int) -> None:
        while self._done < end:
            piece = self._read(min(PIECE_BYTES, end - self._done))
            if not piece:
                return  # it was cut off: its size tells
            self._judge(piece)
            self._take(piece)
            with at_the_disk("write", self._path):
                start_writing(self._file, self._done - len(piece), len(piece))
            del piece
            forget(self._file, self._done - KEPT_BYTES)

    def _read(self, count: int) -> bytes:
        with at_the_disk("read", self._path):
            return read_at(self._file, self._done, count)

    def _judge(self, piece: bytes) -> None:
        if self._relation is not None:
            first = self._relation.first_block + self._done // PAGE_BYTES
            self._wrong += wrong_pages(piece, first)

    def _take(self, piece: bytes) -> None:
        if self._sums is not None:
            self._sums.update(piece)
        self._done += len(piece)
        heed(self._stop, "reading", self._path)
