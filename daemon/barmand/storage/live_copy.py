"""Copy one file that PostgreSQL may be writing, and look at its pages on the way.

The size that counts is the one at the beginning: what is written behind it is in the WAL. Without
a check the kernel copies; with one the bytes pass through a buffer once, and everything that wants
to see them sees them there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from barmand.model.pgdata import RelationFile
from barmand.storage.disk import at_the_disk, heed, open_regular, pour_living
from barmand.storage.manifest import Algorithm, digest
from barmand.storage.pace import Stop
from barmand.storage.pages import PAGE_BYTES, judge

PIECE_BYTES = 1024 * 1024
REREADS = 5
REREAD_SECONDS = 0.02
"""Before each: whoever writes the page may have lost the processor in the middle of it."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What to look at: pages written before `start_lsn` (None: none), a checksum for a manifest."""

    start_lsn: int | None
    algorithm: Algorithm | None

    @property
    def sees_bytes(self) -> bool:
        return self.start_lsn is not None or self.algorithm is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """A file's copy: its bytes, its checksum in hex, the blocks of its relation that are bad."""

    size: int
    changed_ns: int
    checksum: str | None
    bad_blocks: tuple[int, ...]


class LiveCopy:
    """One thread's copier. `pace` is told the bytes of each step, and may wait."""

    def __init__(self, looks: Looks, stop: Stop, pace: Callable[[int], None]) -> None:
        self._looks = looks
        self._stop = stop
        self._pace = pace

    def copy(self, source: Path, target: Path, relation: RelationFile | None) -> Seen:
        """`target` is a new file, never an old one written again: that may share its inode.

        Raises StorageFailed (FileNotFoundError is its cause when the file vanished), Stopped.
        """
        # A link in a cluster is followed: its postgresql.conf may be one.
        with open_regular(source.resolve() if source.is_symlink() else source) as original:
            facts = os.fstat(original)
            with at_the_disk("write", target), target.open("xb") as file:
                if self._looks.sees_bytes:
                    seen = self._through_buffer(original, file.fileno(), facts, relation)
                else:
                    seen = self._through_kernel(original, file.fileno(), facts)
                os.fchmod(file.fileno(), facts.st_mode & 0o7777)
                os.utime(file.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return seen

    def look(self, path: Path, relation: RelationFile | None) -> Seen:
        """As `copy`, at a file that is ours already: read once, nothing written."""
        total = digest(self._looks.algorithm) if self._looks.algorithm else None
        start = self._looks.start_lsn
        bad: list[int] = []
        done = 0
        with open_regular(path) as file, at_the_disk("read", path):
            facts = os.fstat(file)
            while piece := _read(file, done, PIECE_BYTES):
                if relation is not None and start is not None:
                    first = relation.first_block + done // PAGE_BYTES
                    bad += [first + index for index in judge(piece, first, start)]
                if total is not None:
                    total.update(piece)
                done += len(piece)
                heed(self._stop, "reading", path)
        return Seen(done, facts.st_mtime_ns, total.hex() if total else None, tuple(bad))

    def _through_kernel(self, original: int, target: int, facts: os.stat_result) -> Seen:
        size = 0
        for count in pour_living(original, target, facts.st_size):
            size += count
            self._pace(count)
            heed(self._stop, "copying", Path())
        return Seen(size, facts.st_mtime_ns, None, ())

    def _through_buffer(
        self, original: int, target: int, facts: os.stat_result, relation: RelationFile | None
    ) -> Seen:
        total = digest(self._looks.algorithm) if self._looks.algorithm else None
        bad: list[int] = []
        done = 0
        while done < facts.st_size:
            piece = _read(original, done, min(PIECE_BYTES, facts.st_size - done))
            if not piece:
                break
            if relation is not None and self._looks.start_lsn is not None:
                first = relation.first_block + done // PAGE_BYTES
                piece, worse = self._mended(original, piece, done, first)
                bad += worse
            os.pwrite(target, piece, done)
            if total is not None:
                total.update(piece)
            done += len(piece)
            self._pace(len(piece))
            heed(self._stop, "copying", Path())
        return Seen(done, facts.st_mtime_ns, total.hex() if total else None, tuple(bad))

    def _mended(
        self, original: int, piece: bytes, offset: int, first: int
    ) -> tuple[bytes, list[int]]:
        """Pages that were wrong, read again; and the blocks that stay wrong however often."""
        start = self._looks.start_lsn or 0
        wrong = judge(piece, first, start)
        if not wrong:
            return piece, []
        mended = bytearray(piece)
        for _ in range(REREADS):
            self._stop.wait(REREAD_SECONDS)
            for index in tuple(wrong):
                begin = index * PAGE_BYTES
                page = os.pread(original, PAGE_BYTES, offset + begin)
                # A page that is short now was cut off with its relation: the WAL tells that.
                if len(page) < PAGE_BYTES or not judge(page, first + index, start):
                    mended[begin : begin + len(page)] = page
                    wrong.remove(index)
            if not wrong:
                break
        return bytes(mended), [first + index for index in wrong]


def _read(file: int, offset: int, count: int) -> bytes:
    """As much as there is: a file that shrinks meanwhile ends earlier."""
    pieces: list[bytes] = []
    while count and (piece := os.pread(file, count, offset)):
        pieces.append(piece)
        offset += len(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
