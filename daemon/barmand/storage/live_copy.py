"""Copy one file that PostgreSQL may be writing, and look at its pages on the way.

The size that counts is the one at the beginning: what is written behind it is in the WAL. The
kernel copies, a piece at a time, and what wants to see the bytes sees those that arrived, which are
in the page cache still. What is behind that is written and forgotten: a copy needs little memory,
and does not push out of it what PostgreSQL reads.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from barmand.model.pgdata import RelationFile
from barmand.storage.disk import (
    at_the_disk,
    forget,
    heed,
    open_regular,
    pour_living,
    read_at,
    start_writing,
)
from barmand.storage.manifest import digest
from barmand.storage.pace import Stop
from barmand.storage.pages import PAGE_BYTES, WrongPage, wrong_pages
from barmand.storage.seen import (
    KEPT_BYTES,
    PIECE_BYTES,
    SMALL_BYTES,
    Looks,
    Seen,
)

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE = 0o600
"""Of a new file, as of most of a cluster's."""
REREADS = 5
REREAD_SECONDS = 0.02
"""Before each: whoever writes the page may have lost the processor in the middle of it."""


class LiveCopy:
    """One thread's copier. `pace` is told the bytes of each step, and may wait.

    `piece_bytes`, whole pages, is what a step has at most.
    """

    def __init__(
        self,
        looks: Looks,
        stop: Stop,
        pace: Callable[[int], None],
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._looks = looks
        self._stop = stop
        self._pace = pace
        self._piece_bytes = piece_bytes

    def copy(
        self,
        source: Path,
        target: Path,
        relation: RelationFile | None,
        *,
        leaves_small: bool = False,
    ) -> Seen:
        """`target` is a new file, never an old one written again: that may share its inode.

        With `leaves_small` the pages of a small file come back unjudged: if any is wrong then, the
        file is to be copied again, and judged here. Raises StorageFailed (FileNotFoundError is its
        cause when the file vanished), Stopped.
        """
        # A link in a cluster is followed: its postgresql.conf may be one.
        with open_regular(source, follows=True) as original, at_the_disk("write", target):
            facts = os.fstat(original)
            copy = os.open(target, _NEW, _MODE)
            try:
                pair = _Pair(source, original, copy, facts, relation)
                if not self._looks.sees_bytes:
                    seen = self._copy_unseen(pair)
                elif facts.st_size <= SMALL_BYTES and (leaves_small or relation is None):
                    seen = self._copy_small(pair)
                else:
                    seen = self._copy_seen(pair)
                if facts.st_mode & 0o7777 != _MODE:
                    os.fchmod(copy, facts.st_mode & 0o7777)
                os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            finally:
                os.close(copy)
        return seen

    def _copy_unseen(self, pair: "_Pair") -> Seen:
        return Seen(sum(self._poured(pair)), pair.facts.st_mtime_ns, None)

    def _copy_small(self, pair: "_Pair") -> Seen:
        size = sum(self._poured(pair))
        content = read_at(pair.copy, 0, size)
        checksum = None
        if self._looks.algorithm is not None:
            sums = digest(self._looks.algorithm)
            sums.update(content)
            checksum = sums.hex()
        has_pages = pair.relation is not None and self._looks.start_lsn is not None
        unjudged = content if has_pages else b""
        return Seen(size, pair.facts.st_mtime_ns, checksum, unjudged=unjudged)

    def _copy_seen(self, pair: "_Pair") -> Seen:
        sums = digest(self._looks.algorithm) if self._looks.algorithm else None
        wrong: list[WrongPage] = []
        done = here = 0

        def see(end: int) -> None:
            nonlocal done
            for piece in _pieces(pair.copy, done, end, self._piece_bytes):
                arrived = piece
                if pair.relation is not None and self._looks.start_lsn is not None:
                    first = pair.relation.first_block + done // PAGE_BYTES
                    arrived, worse = self._mended(pair, piece, done, first)
                    wrong.extend(worse)
                if sums is not None:
                    sums.update(arrived)
                done += len(piece)

        for count in self._poured(pair):
            here += count
            see(here - here % PAGE_BYTES)
        see(here)
        checksum = sums.hex() if sums else None
        seen = Seen(done, pair.facts.st_mtime_ns, checksum)
        return seen.judged(wrong, self._looks.start_lsn or 0) if wrong else seen

    def _poured(self, pair: "_Pair") -> Iterator[int]:
        """The bytes of each step, when they are here and on their way to the disk."""
        done, size = 0, pair.facts.st_size
        for count in pour_living(pair.original, pair.copy, size, self._piece_bytes):
            if size > SMALL_BYTES:
                start_writing(pair.copy, done, count)
            yield count
            done += count
            forget(pair.copy, done - KEPT_BYTES)
            self._pace(count)
            heed(self._stop, "copying", pair.source)

    def _mended(
        self, pair: "_Pair", piece: bytes, offset: int, first: int
    ) -> tuple[bytes, list[WrongPage]]:
        """Pages that were wrong, read again and written to the copy; and those that stay wrong
        however often.
        """
        wrong = wrong_pages(piece, first)
        if not wrong:
            return piece, []
        mended = bytearray(piece)
        for _ in range(REREADS):
            self._stop.wait(REREAD_SECONDS)
            wrong = [page for page in wrong if not self._mend(pair, mended, offset, page, first)]
            if not wrong:
                break
        return bytes(mended), wrong

    def _mend(
        self, pair: "_Pair", piece: bytearray, offset: int, wrong: WrongPage, first: int
    ) -> bool:
        """Read a page once more. Is it right now?"""
        begin = (wrong.block - first) * PAGE_BYTES
        page = os.pread(pair.original, PAGE_BYTES, offset + begin)
        # A page that is short now was cut off with its relation: the WAL tells that.
        if len(page) == PAGE_BYTES and wrong_pages(page, wrong.block):
            return False
        piece[begin : begin + len(page)] = page
        os.pwrite(pair.copy, page, offset + begin)
        return True


@dataclass(frozen=True, slots=True)
class _Pair:
    """A file and its copy, both open."""

    source: Path
    original: int
    copy: int
    facts: os.stat_result
    relation: RelationFile | None


def _pieces(file: int, begin: int, end: int, most: int) -> Iterator[bytes]:
    """What is between there and there, a hole as zeros, at most so much at a time."""
    while begin < end:
        piece = read_at(file, begin, min(most, end - begin))
        if not piece:
            raise OSError(errno.EIO, "it is shorter than what was written to it")
        yield piece
        begin += len(piece)
