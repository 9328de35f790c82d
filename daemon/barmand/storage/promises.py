"""What a backup_manifest promises of each file: how long it is, and its checksum.

Source: PostgreSQL documentation, "Backup Manifest Format". PostgreSQL writes one line a file, in
the order in which it sends them, so whoever asks in that order needs no memory for a million files.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from barmand.model.errors import StorageFailed
from barmand.storage.disk import at_the_disk
from barmand.storage.manifest import NAME, Algorithm, Digest, digest

UNFINISHED = f"{NAME}.tmp"
_CHECKSUM = re.compile(rb'"Manifest-Checksum": "([0-9a-f]{64})"\}\n?')
_FILE = re.compile(r'\{ ?"(Encoded-)?Path"')


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Sha2:
    """PostgreSQL's SHA checksums, in the shape of a Digest."""

    total: _Hash

    def update(self, data: bytes) -> None:
        self.total.update(data)

    def hex(self) -> str:
        return self.total.hexdigest()


class _Uncounted:
    """--manifest-checksums=none."""

    def update(self, data: bytes) -> None: ...

    def hex(self) -> str:
        return ""


_DIGESTS: dict[str, Callable[[], Digest]] = {
    "": _Uncounted,
    "NONE": _Uncounted,
    "CRC32C": partial(digest, Algorithm.CRC32C),
    "SHA224": lambda: _Sha2(hashlib.sha224()),
    "SHA256": lambda: _Sha2(hashlib.sha256()),
    "SHA384": lambda: _Sha2(hashlib.sha384()),
    "SHA512": lambda: _Sha2(hashlib.sha512()),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """`checksum` is in hex; empty where there is none."""

    size: int
    algorithm: str
    checksum: str

    def digest(self) -> Digest:
        return _DIGESTS[self.algorithm]()


class Promises:
    """Each is taken once; what was passed over on the way waits in memory."""

    def __init__(self, manifest: Path, files: Iterator[tuple[str, Promise]]) -> None:
        self._manifest = manifest
        self._files = files
        self._waiting: dict[str, Promise] = {}

    def take(self, path: str) -> Promise | None:
        """None for a file that was not promised: WAL, and what was added since."""
        while path not in self._waiting:
            following = next(self._files, None)
            if following is None:
                return None
            self._waiting[following[0]] = following[1]
        return self._waiting.pop(path)

    def each(self) -> Iterator[tuple[str, Promise]]:
        """All of them in the manifest's order, for who takes none; nothing is held in memory."""
        return self._files

    def left(self) -> Iterator[str]:
        """The paths that nobody took, once all that is there was looked at."""
        yield from self._waiting
        yield from (path for path, _ in self._files)

    def demand_all_taken(self) -> None:
        for path in self.left():
            raise StorageFailed(
                f"the backup is damaged: {path}, named by {self._manifest}, is not in it"
            )


@contextmanager
def promised(data: Path) -> Iterator[Promises]:
    """By the manifest in `data`; without one (before PostgreSQL 13) nothing is promised."""
    manifest = data / NAME
    if not manifest.exists():
        with nothing_promised(data) as none:
            yield none
        return
    if not is_whole(manifest):
        raise StorageFailed(f"{manifest} is damaged: it does not have the checksum that it names")
    with at_the_disk("read", manifest), manifest.open(encoding="utf-8") as lines:
        yield Promises(manifest, (_promise(line) for line in lines if _FILE.match(line)))


@contextmanager
def nothing_promised(data: Path) -> Iterator[Promises]:
    """Whatever the manifest in `data` says: it is not to be believed."""
    yield Promises(data / NAME, iter(()))


def is_whole(manifest: Path) -> bool:
    """Has it the checksum of itself that it ends with?"""
    total, last = hashlib.sha256(), b""
    with at_the_disk("read", manifest), manifest.open("rb") as lines:
        for line in lines:
            total.update(last)
            last = line
    found = _CHECKSUM.fullmatch(last)
    return found is not None and found[1].decode() == total.hexdigest()


def finish_manifest(data: Path) -> bool:
    """Give the manifest that pg_basebackup left unfinished its name; False where it is not whole.

    PostgreSQL sends it after all files, so a whole one shows that they all came.
    """
    unfinished = data / UNFINISHED
    with at_the_disk("rename", unfinished):
        if not unfinished.exists() or not is_whole(unfinished):
            return False
        unfinished.replace(data / NAME)
    return True


def _promise(line: str) -> tuple[str, Promise]:
    facts = json.loads(line.rstrip().removesuffix(","))
    encoded = facts.get("Encoded-Path")
    path = facts["Path"] if encoded is None else os.fsdecode(bytes.fromhex(encoded))
    return path, Promise(
        facts["Size"], facts.get("Checksum-Algorithm", ""), facts.get("Checksum", "")
    )
