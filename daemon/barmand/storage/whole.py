"""A WAL file opened to be handed out: unpacked, and told apart from what it may become."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from barmand.model.door import HEADER_BYTES, TEXT_BYTES, SegmentHeader, parse_header
from barmand.model.errors import StorageFailed
from barmand.model.wal import SEGMENT_SIZES
from barmand.storage.disk import at_the_disk, pour
from barmand.storage.packing import is_packed, unpacked
from barmand.storage.sums import is_altered


@dataclass(slots=True)
class Opened:
    """One owner, who closes it. `stamp` changes when another file comes under the same name."""

    path: Path
    file: int
    stamp: str
    is_given: bool = False

    def close(self) -> None:
        if not self.is_given:
            os.close(self.file)

    def give(self) -> int:
        """Somebody else closes it."""
        self.is_given = True
        return self.file

    def is_altered(self) -> bool:
        """Not what was archived; asked before it is unpacked."""
        return is_altered(self.path, self.file)

    def unpack(self) -> None:
        """From here on it is the file as PostgreSQL wrote it."""
        if is_packed(self.path):
            with self._becoming() as copy:
                done = 0
                for piece in unpacked(self.path):
                    done += os.pwrite(copy, piece, done)
                    _demand_fit(done, self.path)

    def fill(self, size: int) -> None:
        """From here on it is a copy, with zeros after its end: there PostgreSQL's reading ends."""
        with self._becoming() as copy, at_the_disk("read", self.path):
            for _ in pour(self.file, copy):
                pass
            os.ftruncate(copy, size)

    @contextmanager
    def _becoming(self) -> Iterator[int]:
        """A file in memory, to be filled; then it takes our place."""
        copy = os.memfd_create(self.path.name)
        try:
            yield copy
        except BaseException:
            os.close(copy)
            raise
        os.lseek(copy, 0, os.SEEK_SET)
        os.close(self.file)
        self.file = copy

    @property
    def size(self) -> int:
        return os.fstat(self.file).st_size

    def header(self) -> SegmentHeader | None:
        with at_the_disk("read", self.path):
            return parse_header(os.pread(self.file, HEADER_BYTES, 0))

    def text(self) -> bytes:
        with at_the_disk("read", self.path):
            return os.pread(self.file, TEXT_BYTES + 1, 0)


def open_wal(path: Path) -> Opened | None:
    """None where there is none. Raises StorageFailed."""
    with at_the_disk("read", path):
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        os.close(file)
        raise StorageFailed(f"cannot read {path}: it is not a regular file")
    return Opened(path, file, f"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}")


def _demand_fit(size: int, path: Path) -> None:
    """It is unpacked into memory: a few bytes must not become all of it."""
    if size > max(SEGMENT_SIZES):
        raise StorageFailed(f"{path} is damaged: it holds more than a segment")
