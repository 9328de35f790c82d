"""Is a plain copy of a cluster what it was when it was taken? By its manifest, or by its pages.

What is on disk and not in the manifest is found too: pg_verifybackup's rules, for the folders that
it does not look into.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.model.pgdata import TABLESPACE_LINKS, RelationFile
from barmand.storage.disk import Stop, at_the_disk, heed
from barmand.storage.findings import Findings
from barmand.storage.manifest import NAME
from barmand.storage.own_words import OwnWords
from barmand.storage.pages import PAGE_BYTES
from barmand.storage.promises import Promise, Promises
from barmand.storage.reading import Pages, Span, each_read, read_file
from barmand.storage.trees import files_below
from barmand.storage.vectors import np

_PASSED_OVER = ("postgresql.auto.conf", "recovery.signal", "standby.signal")
"""Files that pg_verifybackup does not look at, whatever the manifest says of them. What the
manifest does not have of them is none of ours either: a restore writes them anew."""
_WAL = "pg_wal/"
_SPACES = f"{TABLESPACE_LINKS}/"
_KEY_BYTES = 8
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class PlainCopy:
    """Where its files lie; a tablespace's folder is known by its oid."""

    data: Path
    spaces: Mapping[int, Path]

    def place(self, path: str) -> Path | None:
        """Of a path as the manifest has it; None for one that leads out of the copy."""
        parts = path.split("/")
        if path.startswith("/") or not all(part not in ("", ".", "..") for part in parts):
            return None
        folder = self._space(parts)
        return self.data / path if folder is None else folder.joinpath(*parts[2:])

    def files(self, *, spaces: bool = True, data: bool = True) -> Iterator[tuple[str, Path]]:
        """Each regular file, by its path as a manifest has it; no link is followed."""
        for oid, folder in self.spaces.items() if spaces else ():
            yield from _below(folder, f"{TABLESPACE_LINKS}/{oid}/")
        if data:
            yield from _below(self.data, "")

    def size(self, *, spaces: bool = True) -> int:
        """Bytes of all files. Raises StorageFailed."""
        total = 0
        for _, path in self.files(spaces=spaces):
            with at_the_disk("measure", path):
                total += path.lstat().st_size
        return total

    def _space(self, parts: list[str]) -> Path | None:
        if len(parts) < 3 or parts[0] != TABLESPACE_LINKS or not parts[1].isdecimal():
            return None
        return self.spaces.get(int(parts[1]))


@dataclass(frozen=True, slots=True)
class PlainProof:
    """`during`: the backup's beginning and end, if its cluster had checksums.

    `known_bad` are the blocks that were bad in the cluster itself, by path.
    """

    copy: PlainCopy
    found: Findings
    during: Span | None
    known_bad: Mapping[str, frozenset[int]]
    stop: Stop
    progress: Progress
    words: OwnWords = field(default_factory=OwnWords)

    def by_manifest(self, promises: Promises, *, rest_only: bool) -> None:
        """Every file that is promised, then whatever else lies there.

        `rest_only`: what pg_verifybackup left, which is tablespaces and a few files.
        """
        known = _Known()

        def wanted() -> Iterator[tuple[str, Promise]]:
            for path, promise in promises.each():
                if not rest_only or path.startswith(_SPACES) or path in _PASSED_OVER:
                    known.add(path)
                    yield path, promise

        each_read(lambda item, stop: self._look(*item, stop), wanted(), self.stop)
        known.close()
        for path, place in self.copy.files(data=not rest_only):
            heed(self.stop, "listing", place)
            if not _is_unpromised(path) and path not in known:
                self.found.add(place, "is not in the manifest")

    def by_pages(self) -> None:
        """Without a manifest: what the files say of themselves."""
        each_read(lambda item, stop: self._judge(*item, stop), self.copy.files(), self.stop)

    def blocks(self, path: str) -> tuple[int, ...]:
        """The bad ones of a file that is known to be damaged, as far as its pages tell."""
        place, pages = self.copy.place(path), self._pages(path)
        if place is None or pages is None:
            return ()
        try:
            read = read_file(place, self.stop, lambda _count: None, pages=pages)
        except StorageFailed:
            return ()  # that it cannot be read was told already
        return read.bad_blocks

    def _look(self, path: str, promise: Promise, stop: Stop) -> None:
        place = self.copy.place(path)
        if place is None:
            self.found.add(self.copy.data / NAME, f"names a file outside the backup: {path!r}")
            return
        try:
            read = read_file(place, stop, self.progress, digest=promise.digest())
        except StorageFailed as error:
            self.found.add(place, _why(error))
            return
        if read.size != promise.size:
            self.found.add(place, f"has {read.size} bytes, the manifest says {promise.size}")
        elif read.checksum != promise.checksum:
            self.found.add(place, "its checksum is not the manifest's", self.blocks(path))

    def _judge(self, path: str, place: Path, stop: Stop) -> None:
        relation = RelationFile.of(path)
        try:
            read = read_file(place, stop, self.progress, pages=self._pages(path))
        except StorageFailed as error:
            self.found.add(place, _why(error))
            return
        bad = tuple(b for b in read.bad_blocks if b not in self.known_bad.get(path, frozenset()))
        if bad:
            self.found.add(place, "pages whose checksum is wrong", bad)
        if relation is not None and read.size % PAGE_BYTES:
            self.found.add(place, f"ends in the middle of a page: it has {read.size} bytes")
        if self.words.can_judge(path):
            self._judge_words(path, place)

    def _judge_words(self, path: str, place: Path) -> None:
        with at_the_disk("read", place):
            complaint = self.words.complaint(path, place.read_bytes())
        if complaint is not None:
            self.found.add(place, complaint)

    def _pages(self, path: str) -> Pages | None:
        relation = RelationFile.of(path)
        if relation is None or self.during is None:
            return None
        return Pages(relation, self.during)


class _Known:
    """Paths that were seen, by 64 bits of their hash: a million of them take 8 MB."""

    def __init__(self) -> None:
        self._records = bytearray()
        self._keys = np.empty(0, dtype="<u8")

    def add(self, path: str) -> None:
        self._records += _key(path)

    def close(self) -> None:
        self._keys = np.sort(np.frombuffer(self._records, dtype="<u8"))

    def __contains__(self, path: str) -> bool:
        key = np.frombuffer(_key(path), dtype="<u8")[0]
        index = int(np.searchsorted(self._keys, key))
        return index < len(self._keys) and bool(self._keys[index] == key)


def _key(path: str) -> bytes:
    return blake2b(os.fsencode(path), digest_size=_KEY_BYTES).digest()


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for path in files_below(folder):
        if not path.is_symlink():
            yield prefix + os.fspath(path.relative_to(folder)), path


def _is_unpromised(path: str) -> bool:
    return path == NAME or path in _PASSED_OVER or path.startswith(_WAL)


def _why(error: StorageFailed) -> str:
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError | NotADirectoryError):
        return "is missing"
    return error.message
