"""The archive of WAL: put, find, list, remove."""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from barmand.model.door import HEADER_BYTES, TEXT_BYTES, SegmentHeader, parse_header
from barmand.model.wal import Run, Segment, WalKind, kind_of
from barmand.storage.disk import at_the_disk, open_regular
from barmand.storage.durable import move_whole, sync_directory
from barmand.storage.intake import Intake, Put, is_beside
from barmand.storage.layout import Layout
from barmand.storage.packing import Damaged, content_of, is_packed

_FOLDER = re.compile(r"[0-9A-F]{16}")
_REASON = re.compile(r"[a-z0-9-]{1,40}")
_LONGEST_NAME = 180  # bytes; with stamp and reason it stays below the 255 of a file name


def read_header(path: Path) -> SegmentHeader | None:
    """None while it has no first page: short, or zeros."""
    with open_regular(path) as file, at_the_disk("read", path):
        return parse_header(os.read(file, HEADER_BYTES))


def look_into(path: Path) -> tuple[SegmentHeader | None, int]:
    """A segment's header and bytes, once unpacked. None and no bytes where it ends too early."""
    if not is_packed(path):
        return read_header(path), size_of(path)
    try:
        content = content_of(path, HEADER_BYTES)
    except Damaged:
        return None, 0
    return parse_header(content.head), content.size


def read_text(path: Path) -> bytes:
    """A history or a label; of one that is too long to be either, more than such may have."""
    with open_regular(path) as file, at_the_disk("read", path):
        return os.read(file, TEXT_BYTES + 1)


def size_of(path: Path) -> int:
    with at_the_disk("look at", path):
        return path.stat().st_size


@dataclass(frozen=True, slots=True)
class WalArchive:
    """Names that could not be archived raise ValueError in `put`; they are simply not held."""

    layout: Layout

    def put(self, source: Path) -> Put:
        """Take `source` under its own name, as it is; it is gone only after the archive has it."""
        intake = Intake(self.layout)
        prepared = intake.prepare(source)
        if prepared.put in (Put.STORED, Put.SAME):
            intake.give_name(prepared)
            intake.settle([prepared])
            intake.forget([prepared])
        return prepared.put

    def retire_barman_index(self) -> None:
        """Set Barman's index aside before the archive changes: Barman trusts one that it finds,
        however stale, but makes it anew from the files when there is none.
        """
        index = self.layout.barman_index
        if index.is_file():
            with at_the_disk("rename", index):
                index.replace(index.with_name(f"{index.name}.retired"))
            sync_directory(index.parent)

    def holds(self, name: str) -> bool:
        return self.path(name) is not None

    def path(self, name: str) -> Path | None:
        """Where it lies. An archive that is not there at all (a mount gone) is StorageFailed."""
        try:
            path = self.layout.wal(name)
        except ValueError:
            return None
        with at_the_disk("look for", path):
            if path.is_file():
                return path
            self.layout.wals.stat()
        return None

    def bytes_of(self, name: str) -> int:
        """On disk. Raises StorageFailed for what is not there."""
        return size_of(self.layout.wal(name))

    def is_whole(self, name: str, segment_size: int) -> bool:
        """Is it there, with all its bytes? A packed one is as long as it is."""
        path = self.path(name)
        return path is not None and (size_of(path) == segment_size or is_packed(path))

    def segments(self, segment_size: int) -> Iterator[tuple[Segment, int]]:
        """Each archived segment and its bytes on disk, by name."""
        for folder in self._folders():
            for path in _content(folder):
                segment = _segment(path, segment_size)
                if segment is not None and kind_of(path.name) is WalKind.SEGMENT:
                    yield segment, size_of(path)

    def clear_leftovers(self) -> None:
        """What a daemon that died had not given its name yet. Not while anything is taken in."""
        if not self.layout.wals.is_dir():
            return
        for folder in [self.layout.wals, *self._folders()]:
            for path in _content(folder):
                if is_beside(path.name):
                    with at_the_disk("remove", path):
                        path.unlink()

    def histories(self) -> list[str]:
        names = (path.name for path in _content(self.layout.wals))
        return [name for name in names if kind_of(name) is WalKind.HISTORY]

    def remove(
        self, runs: Iterable[Run], segment_size: int, *, most: int | None = None
    ) -> list[Segment]:
        """Remove these segments, their labels and partial files; the segments that went, in order.

        File by file, oldest first: an interruption leaves an unbroken rest, and so do `most`
        segments. A directory goes only when it is empty, for how many names one may hold depends
        on the size of segments.
        """
        unwanted = tuple(runs)
        removed: list[Segment] = []
        for folder in self._folders():
            if most is not None and len(removed) >= most:
                break
            if _overlaps(folder.name, unwanted, segment_size):
                left = None if most is None else most - len(removed)
                removed += self._remove_in(folder, unwanted, segment_size, left)
        return removed

    def files(self, runs: Iterable[Run], segment_size: int) -> list[Path]:
        """These segments, their labels and partial files, oldest first: what `remove` removes."""
        wanted = tuple(runs)
        return [
            path
            for folder in self._folders()
            if _overlaps(folder.name, wanted, segment_size)
            for path in _content(folder)
            if (segment := _segment(path, segment_size)) and any(segment in run for run in wanted)
        ]

    def remove_file(self, path: Path) -> None:
        """One of those; its directory too when it is empty then."""
        with at_the_disk("remove", path):
            path.unlink(missing_ok=True)
        sync_directory(path.parent)
        self._remove_emptied(path.parent)

    def set_aside(self, source: Path, reason: str) -> Path:
        """Move `source` to errors/ under a new name of its own, and return that."""
        if not _REASON.fullmatch(reason):
            raise ValueError(f"not a reason: {reason!r}")
        name = os.fsdecode(os.fsencode(source.name)[:_LONGEST_NAME])
        name = f"{name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        numbers = chain([""], (f".{number}" for number in count(1)))
        places = (self.layout.errors / f"{name}{number}.{reason}" for number in numbers)
        place = next(place for place in places if not os.path.lexists(place))
        move_whole(source, place)
        return place

    def aside(self, name: str, reason: str) -> list[Path]:
        """What was set aside of the WAL file `name` for this reason."""
        with at_the_disk("list", self.layout.errors):
            return sorted(self.layout.errors.glob(f"{name}.*.{reason}"))

    def _folders(self) -> list[Path]:
        with at_the_disk("list", self.layout.wals):
            found = [path for path in self.layout.wals.iterdir() if _FOLDER.fullmatch(path.name)]
            return sorted(path for path in found if path.is_dir())

    def _remove_in(
        self, folder: Path, unwanted: Sequence[Run], segment_size: int, most: int | None
    ) -> list[Segment]:
        removed: list[Segment] = []
        for path in _content(folder):
            segment = _segment(path, segment_size)
            if segment is None or not any(segment in run for run in unwanted):
                continue
            is_whole = kind_of(path.name) is WalKind.SEGMENT
            if is_whole and len(removed) == most:
                break
            with at_the_disk("remove", path):
                path.unlink()
            if is_whole:
                removed.append(segment)
        sync_directory(folder)
        self._remove_emptied(folder)
        return removed

    def _remove_emptied(self, folder: Path) -> None:
        with at_the_disk("remove", folder):
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                return
        sync_directory(self.layout.wals)


def _content(folder: Path) -> list[Path]:
    with at_the_disk("list", folder):
        return sorted(path for path in folder.iterdir() if path.is_file())


def _segment(path: Path, segment_size: int) -> Segment | None:
    """The segment that a file is, or is the label or a part of; None for all else, and in a wrong
    folder.
    """
    if kind_of(path.name) not in (WalKind.SEGMENT, WalKind.LABEL, WalKind.PARTIAL):
        return None
    if path.name[:16] != path.parent.name:
        return None
    try:
        return Segment.parse(path.name[:24], segment_size)
    except ValueError:
        return None


def _overlaps(folder: str, runs: Iterable[Run], segment_size: int) -> bool:
    """May this folder hold a segment of a run? Its name is timeline and upper half of the LSN."""
    timeline = int(folder[:8], 16)
    first = Segment.parse(f"{folder}{0:08X}", segment_size).number
    last = first + (1 << 32) // segment_size - 1
    return any(run.timeline == timeline and run.first <= last and first <= run.last for run in runs)
