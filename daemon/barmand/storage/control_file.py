"""pg_control: is it whole, for it is written in place while the server runs; what recovery needs.

Source: PostgreSQL's catalog/pg_control.h. The last field of ControlFileData is the CRC32C of all
before it. Where that is differs from one major version to the next; it always lies in the first
512 bytes, which a disk writes at once, and is a whole word. The settings that WAL was written with
stand before a number that is the same in all clusters.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import google_crc32c

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage.disk import at_the_disk
from barmand.storage.pace import Stop

READS = 10
PAUSE_SECONDS = 0.1
_LEAST_BYTES = 64
_MOST_BYTES = 512
_WORD_BYTES = 4

_VERSION_AT = 8
_VERSIONS = frozenset({1300, 1800})
"""Of PostgreSQL 13 to 17, and of 18: what `_SETTINGS` reads is the same in them."""
_FLOAT = struct.pack("=d", 1234567.0)
_ALIGNMENT = struct.pack("=I", 8)
_SETTINGS = struct.Struct("=i?3x5i?3x")
_NAMES = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""Recovery refuses to begin where one of them is lower than it was when the WAL was written."""
_LARGEST = 0x7FFFFFFF
_WAL_LEVELS = range(3)


def is_whole(content: bytes) -> bool:
    """Does a word of it hold the CRC32C of all before that word?"""
    head = content[:_MOST_BYTES]
    if len(head) < _LEAST_BYTES + _WORD_BYTES:
        return False
    crc = google_crc32c.value(head[:_LEAST_BYTES])
    for place in range(_LEAST_BYTES, len(head) - _WORD_BYTES + 1, _WORD_BYTES):
        word = head[place : place + _WORD_BYTES]
        if struct.unpack("<I", word)[0] == crc:
            return True
        crc = google_crc32c.extend(crc, word)
    return False


def recovery_needs(content: bytes) -> dict[str, int] | None:
    """The least that recovery needs, by setting; None where it cannot be found for sure."""
    head = content[:_MOST_BYTES]
    if not is_whole(content) or struct.unpack_from("=I", head, _VERSION_AT)[0] not in _VERSIONS:
        return None
    place = head.find(_FLOAT)
    for alignment in (place - 4, place - 8):  # a double may want room before it
        begin = alignment - _SETTINGS.size
        if begin >= 0 and head[alignment : alignment + 4] == _ALIGNMENT:
            wal_level, _, *values, _ = _SETTINGS.unpack_from(head, begin)
            is_sane = wal_level in _WAL_LEVELS and all(0 <= each < _LARGEST for each in values)
            return dict(zip(_NAMES, values, strict=True)) if is_sane else None
    return None


def bring_whole(bring: Callable[[], None], copy: Path, stop: Stop) -> None:
    """`bring` makes `copy` anew, until it is whole. Raises StorageFailed, Stopped."""
    for reads_left in range(READS - 1, -1, -1):
        bring()
        with at_the_disk("read", copy):
            content = copy.read_bytes()
        if is_whole(content):
            return
        if reads_left and stop.wait(PAUSE_SECONDS):
            raise Stopped(stop.reason)
    raise StorageFailed(
        f"the cluster's pg_control does not have its own checksum, read {READS} times",
        hint="Ask the server's pg_controldata: if that warns too, the file is damaged.",
    )
