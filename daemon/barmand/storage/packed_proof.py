"""Is a packed copy of a cluster what it was when it was taken? Read, and unpacked to nowhere."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from barmand.model.errors import StorageFailed
from barmand.model.pgdata import RelationFile
from barmand.storage.disk import Stop
from barmand.storage.findings import Findings
from barmand.storage.own_words import OwnWords
from barmand.storage.packed import BASE, Archive
from barmand.storage.promises import Promises
from barmand.storage.reading import Pages, Span, seen


@dataclass(slots=True)
class PackedProof:
    """`promises` is empty where there is no manifest; then pages and the small files speak.

    `during`: the backup's beginning and end, if its cluster had checksums.
    """

    promises: Promises
    has_manifest: bool
    found: Findings
    during: Span | None
    known_bad: Mapping[str, frozenset[int]]
    stop: Stop
    progress: Callable[[int], None]
    words: OwnWords = field(default_factory=OwnWords)
    is_read_to_the_end: bool = True
    _there: set[str] = field(default_factory=set)
    """Of what a data directory must have."""

    def look_at(self, archive: Archive, prefix: str = "") -> None:
        """In the order in which the manifest has them: the tablespaces, then the base."""
        last = "its beginning"

        def see(name: str, pieces: Iterator[bytes]) -> None:
            nonlocal last
            last = name
            self._see(archive, prefix + name, pieces)

        try:
            archive.look_through(
                see,
                self.stop,
                self.progress,
                see_folder=lambda name: self._note(prefix + name),
            )
        except StorageFailed as error:
            self.is_read_to_the_end = False
            words = error.message.removeprefix(f"{archive.path} ")
            self.found.add(archive.path, f"{words} (at {last})")

    def end(self) -> None:
        """What must be, and is in no archive; not asked where an archive broke off."""
        if not self.is_read_to_the_end:
            return
        needed = self.words.folders | (frozenset() if self.has_manifest else self.words.files)
        for path in sorted(needed - self._there):
            self.found.add(f"{BASE}.tar: {path}", "is missing")
        if self.has_manifest:
            for path in self.promises.left():
                self.found.add(path, "is in the manifest, and in no archive")

    def _note(self, path: str) -> None:
        path = str(PurePosixPath(path))
        if path in self.words.folders or path in self.words.files:
            self._there.add(path)

    def _see(self, archive: Archive, path: str, pieces: Iterator[bytes]) -> None:
        shown = f"{archive.path}: {path}"
        self._note(path)
        promise = self.promises.take(path)
        if promise is None:
            self._judge(shown, path, pieces)
            return
        relation = RelationFile.of(path)
        read = seen(pieces, digest=promise.digest(), pages=self._pages(relation))
        if read.size != promise.size:
            self.found.add(shown, f"has {read.size} bytes, the manifest says {promise.size}")
        elif read.checksum != promise.checksum:
            self.found.add(shown, "its checksum is not the manifest's", read.bad_blocks)

    def _judge(self, shown: str, path: str, pieces: Iterator[bytes]) -> None:
        if self.has_manifest:
            if not path.startswith("pg_wal/"):
                self.found.add(shown, "is not in the manifest")
            return
        relation = RelationFile.of(path)
        if self.words.can_judge(path):
            complaint = self.words.complaint(path, b"".join(pieces))
            if complaint is not None:
                self.found.add(shown, complaint)
            return
        read = seen(pieces, pages=self._pages(relation))
        bad = tuple(b for b in read.bad_blocks if b not in self.known_bad.get(path, frozenset()))
        if bad:
            self.found.add(shown, "pages whose checksum is wrong", bad)

    def _pages(self, relation: RelationFile | None) -> Pages | None:
        if relation is None or self.during is None:
            return None
        return Pages(relation, self.during)
