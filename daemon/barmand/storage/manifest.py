"""backup_manifest as PostgreSQL writes it, so that pg_verifybackup accepts a copy of ours.

Source: PostgreSQL documentation, "Backup Manifest Format". Written as the files come, one after
another and in any order: nothing is held in memory.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

import google_crc32c

from barmand.model.wal import format_lsn
from barmand.storage.disk import Stop, at_the_disk, heed
from barmand.storage.durable import sync_directory

NAME = "backup_manifest"
SYSTEM_ID_SINCE = 170_000


class Algorithm(StrEnum):
    CRC32C = "CRC32C"
    SHA256 = "SHA256"


class Digest(Protocol):
    def update(self, data: bytes) -> None: ...

    def hex(self) -> str: ...


class _Crc32c:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = google_crc32c.extend(self._value, data)

    def hex(self) -> str:
        """In the byte order in which PostgreSQL keeps it: the machine's, which is little."""
        return self._value.to_bytes(4, "little").hex()


class _Sha256:
    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def update(self, data: bytes) -> None:
        self._sum.update(data)

    def hex(self) -> str:
        return self._sum.hexdigest()


def digest(algorithm: Algorithm) -> Digest:
    return _Crc32c() if algorithm is Algorithm.CRC32C else _Sha256()


@dataclass(frozen=True, slots=True, kw_only=True)
class WalRange:
    timeline: int
    start_lsn: int
    end_lsn: int


class Manifest:
    """Being written; several threads add to it."""

    def __init__(self, file: BinaryIO, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._file = file
        self._sum = hashlib.sha256()
        self._lock = threading.Lock()
        self._separator = "\n"

    def begin(self, version: int, system_id: str) -> None:
        if version >= SYSTEM_ID_SINCE:
            head = (
                f'{{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": {system_id},\n'
            )
        else:
            head = '{ "PostgreSQL-Backup-Manifest-Version": 1,\n'
        self._write(head + '"Files": [')

    def add(self, path: str, size: int, changed_ns: int, checksum: str) -> None:
        """A file by its path within the backup's data directory."""
        encoded = os.fsencode(path)
        try:
            name = {"Path": encoded.decode()}
        except UnicodeDecodeError:
            name = {"Encoded-Path": encoded.hex()}
        changed = datetime.fromtimestamp(changed_ns // 10**9, UTC)
        facts = {
            **name,
            "Size": size,
            "Last-Modified": f"{changed:%Y-%m-%d %H:%M:%S} GMT",
            "Checksum-Algorithm": self.algorithm.value,
            "Checksum": checksum,
        }
        line = json.dumps(facts, ensure_ascii=False)
        with self._lock:
            self._write(self._separator + line)
            self._separator = ",\n"

    def add_content(self, path: str, content: bytes) -> None:
        """A file that was just written with this content."""
        total = digest(self.algorithm)
        total.update(content)
        self.add(path, len(content), time.time_ns(), total.hex())

    def end(self, ranges: Sequence[WalRange]) -> None:
        lines = [
            json.dumps(
                {
                    "Timeline": each.timeline,
                    "Start-LSN": format_lsn(each.start_lsn),
                    "End-LSN": format_lsn(each.end_lsn),
                }
            )
            for each in ranges
        ]
        self._write("\n],\n" + '"WAL-Ranges": [\n' + ",\n".join(lines) + "\n],\n")
        self._file.write(f'"Manifest-Checksum": "{self._sum.hexdigest()}"}}\n'.encode())

    def _write(self, text: str) -> None:
        data = text.encode()
        self._sum.update(data)
        self._file.write(data)


@contextmanager
def writing(data: Path, algorithm: Algorithm) -> Iterator[Manifest]:
    """The manifest of the copy in `data`: whole under its name, or not there at all."""
    place, beside = data / NAME, data.parent / f".{NAME}.tmp"
    with at_the_disk("write", place):
        try:
            with beside.open("wb") as file:
                yield Manifest(file, algorithm)
                file.flush()
                os.fsync(file.fileno())
            beside.chmod(0o600)
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
        sync_directory(data)


def read_checksums(
    data: Path, algorithm: Algorithm = Algorithm.CRC32C, stop: Stop | None = None
) -> Iterator[tuple[str, str]]:
    """Each file that the manifest of the copy in `data` names, and its checksum; none without one.

    Those of another algorithm are passed over. Raises StorageFailed, Stopped.
    """
    place = data / NAME
    if not place.exists():
        return
    with at_the_disk("read", place), place.open(encoding="utf-8") as lines:
        for line in lines:
            heed(stop, "reading", place)
            if line.startswith(('{ "Path"', '{"Path"')):
                facts = json.loads(line.rstrip().removesuffix(","))
                if facts.get("Checksum-Algorithm") == algorithm:
                    yield facts["Path"], facts["Checksum"]
