"""Which files in streaming/ pg_receivewal still has to close."""

import threading
from collections.abc import Iterable
from pathlib import Path

from barmand.model.wal import Segment, WalKind, kind_of
from barmand.storage.disk import at_the_disk


class InHand:
    """pg_receivewal gives a file its name, syncs it once more by that name, and only then says
    that it is finished. Who moves the file between the two ends the stream.

    So while it runs, what came since its beginning is left alone until it has said so. One for each
    server, shared by the stream and the archive.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_running = False
        self._there: frozenset[str] = frozenset()
        self._finished = ""
        self._timeline = 0

    def begin(self, directory: Path) -> None:
        """Before the program starts: all that lies there is nobody's any more."""
        with at_the_disk("list", directory):
            there = frozenset(path.name for path in directory.iterdir())
        with self._lock:
            self._is_running, self._there, self._finished, self._timeline = True, there, "", 0

    def end(self) -> None:
        """After the program has ended."""
        with self._lock:
            self._is_running, self._there = False, frozenset()

    def finished(self, segment: Segment, size: int) -> None:
        """It comes in order of timeline and number, and so do the names."""
        with self._lock:
            self._finished = segment.name(size)
            self._timeline = max(self._timeline, segment.timeline)

    def switched(self, timeline: int) -> None:
        """It has this timeline's history."""
        with self._lock:
            self._timeline = max(self._timeline, timeline)

    def holds(self, name: str) -> bool:
        """Is it still at this file?"""
        with self._lock:
            if not self._is_running or name in self._there:
                return False
            match kind_of(name):
                case WalKind.SEGMENT:
                    return name > self._finished
                case WalKind.HISTORY:
                    return int(name[:8], 16) > self._timeline
                case _:
                    return False

    def free(self, paths: Iterable[Path]) -> list[Path]:
        return [path for path in paths if not self.holds(path.name)]
