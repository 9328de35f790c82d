"""How a file comes into the archive: in steps, so that a group of files shares their price.

1. prepare   its bytes are durable: the arrived file itself, or beside its place, packed or copied
2. give name the archive has it under its own name
3. settle    that name is durable
4. forget    what arrived is gone, durably

What lies as it arrived is summed in the first (`storage.sums`), and the sum is as durable as it is.

Dying between two of them leaves the file once, or twice with the same content, never zero times.
"""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from barmand.model.packing import Packing
from barmand.model.wal import WalKind, kind_of
from barmand.storage.disk import (
    at_the_disk,
    open_regular,
    pour,
    rename_new,
    sync_directory,
    sync_open,
)
from barmand.storage.durable import make_directory, sync_file
from barmand.storage.layout import Layout
from barmand.storage.packing import Damaged, content_of, holds_same, is_packed, pack
from barmand.storage.sums import is_altered, remember


class Put(Enum):
    STORED = auto()
    SAME = auto()
    """It was there already, byte for byte; the source is gone."""
    DIFFERENT = auto()
    """Another content has that name; nothing was touched."""
    DAMAGED = auto()
    """What has that name cannot be unpacked, or was altered; nothing was touched."""


_BESIDE = ".barmand-"
Identity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """`beside` None: the arrived file itself takes the name, or the archive has it already."""

    source: Path
    destination: Path
    identity: Identity
    put: Put = Put.STORED
    beside: Path | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """`doubted`: what could not be synced once. The kernel calls it clean afterwards, so only a
    copy of it can be believed.
    """

    layout: Layout
    packing: Packing | None = None
    doubted: set[Identity] = field(default_factory=set, compare=False)

    def prepare(self, source: Path) -> Prepared:
        """Several may be prepared at once. ValueError for a name that is never archived."""
        destination = self.layout.wal(source.name)
        with open_regular(source) as file:
            identity = _identity(file)
        if os.path.lexists(destination):
            return Prepared(source, destination, identity, _compared(destination, source))
        if not destination.parent.is_dir():
            make_directory(destination.parent)
        beside = self._beside(source, destination, identity)
        return Prepared(source, destination, identity, beside=beside)

    def give_name(self, prepared: Prepared) -> None:
        if prepared.put is Put.STORED:
            with at_the_disk("move to", prepared.destination):
                rename_new(prepared.beside or prepared.source, prepared.destination)
        else:
            # It may be there because we died before it was synced.
            sync_file(prepared.destination)

    def settle(self, named: Iterable[Prepared]) -> None:
        folders = {each.destination.parent for each in named}
        # An earlier life may have made a folder and died before its entry was synced.
        for folder in sorted(folders | ({self.layout.wals} if folders else set())):
            sync_directory(folder)

    def forget(self, settled: Iterable[Prepared]) -> None:
        folders: set[Path] = set()
        for each in settled:
            if each.beside is not None or each.put is Put.SAME:
                _remove(each)
            folders.add(each.source.parent)
        for folder in sorted(folders):
            sync_directory(folder)

    def clear(self, prepared: Prepared) -> None:
        """It will not get its name after all."""
        if prepared.beside is not None:
            with at_the_disk("remove", prepared.beside):
                prepared.beside.unlink(missing_ok=True)

    def _beside(self, source: Path, destination: Path, identity: Identity) -> Path | None:
        """Where its bytes are durable now; None where they lie already."""
        if self._is_to_be_packed(source):
            return self._write(source, destination, self.packing)
        if not _is_movable(source, destination) or identity in self.doubted:
            return self._write(source, destination, None)
        try:
            _make_durable(source)
        except BaseException:
            self.doubted.add(identity)
            raise
        return None

    def _is_to_be_packed(self, source: Path) -> bool:
        is_segment = kind_of(source.name) in (WalKind.SEGMENT, WalKind.PARTIAL)
        return self.packing is not None and is_segment and not is_packed(source)

    def _write(self, source: Path, destination: Path, packing: Packing | None) -> Path:
        with at_the_disk("write", destination), _new_file(destination) as (beside, file):
            with open_regular(source) as original:
                facts = os.fstat(original)
                if packing is None:
                    done = sum(pour(original, file))
                else:
                    done = pack(original, file, packing)
                if done != facts.st_size:
                    raise OSError(errno.EIO, "what arrived changed while it was read")
            os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            if packing is None:
                remember(file)
            sync_open(file, beside)
        return beside


def is_beside(name: str) -> bool:
    """Is it such a name as files have that are to get another?"""
    return name.startswith(_BESIDE) and name.endswith(".tmp")


@contextmanager
def _new_file(destination: Path) -> Iterator[tuple[Path, int]]:
    """Beside the name that it is to have; gone again after any failure."""
    beside = destination.with_name(f"{_BESIDE}{secrets.token_hex(8)}.tmp")
    file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield beside, file
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def _identity(file: int) -> Identity:
    facts = os.fstat(file)
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _make_durable(source: Path) -> None:
    with open_regular(source) as file:
        with at_the_disk("read", source):
            remember(file)
        with at_the_disk("sync", source):
            sync_open(file, source)


def _compared(archived: Path, arrived: Path) -> Put:
    try:
        if holds_same(archived, arrived):
            return Put.SAME
    except Damaged:
        content_of(arrived)  # raises where it is the arrived one that is damaged
        return Put.DAMAGED
    with open_regular(archived) as file:
        return Put.DAMAGED if is_altered(archived, file) else Put.DIFFERENT


def _is_movable(source: Path, destination: Path) -> bool:
    with at_the_disk("look at", source):
        return source.stat().st_dev == destination.parent.stat().st_dev


def _remove(prepared: Prepared) -> None:
    """Unless another file came under its name meanwhile: that one is for the next pass."""
    with at_the_disk("remove", prepared.source):
        with open_regular(prepared.source) as file:
            is_the_same = _identity(file) == prepared.identity
        if is_the_same:
            prepared.source.unlink()
