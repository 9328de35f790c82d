"""pg_control is written in place while the server runs: was it caught in the middle of that?

Source: PostgreSQL's catalog/pg_control.h. The last field of ControlFileData is the CRC32C of all
before it. Where that is differs from one major version to the next; it always lies in the first
512 bytes, which a disk writes at once, and is a whole word.
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
