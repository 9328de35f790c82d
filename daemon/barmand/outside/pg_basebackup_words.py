"""What pg_basebackup prints, understood.

Its own words are English (LC_ALL=C), but what the server says through it is in the server's
language: of those lines only paths and numbers count.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from barmand.model.backup import Damage, Tablespace
from barmand.model.progress import Phase

KIBIBYTE = 1024
PROGRESS = re.compile(r"\s*(\d+)/(\d+) kB \(")
_END_POINT = re.compile(r"write-ahead log end point: ([0-9A-F]+/[0-9A-F]+)")
_PHASES = (
    ("waiting for checkpoint to complete", Phase.CHECKPOINT),
    ("checkpoint completed", Phase.COPYING),
    ("waiting for required WAL segments to be archived", Phase.WAITING_FOR_WAL),
    ("still waiting for all required WAL segments", Phase.WAITING_FOR_WAL),
)
_BAD_COPY = "error: checksum error occurred"
"""Told after the last file, and once for all of them: the server sent everything first."""

_HEX = r"(?<![0-9A-Za-z])[0-9A-F]{1,4}(?![0-9A-Za-z])"
_BAD_PAGE = re.compile(
    r"[\"«»„“「]\s*(?P<path>[^\"«»„“”「」]*/\d+(?:_[a-z]+)?(?:\.\d+)?)\s*[\"«»“”」]"
    r"\D*(?P<block>\d+)[^:]*:"
    rf".*{_HEX}.*{_HEX}"  # the checksums: calculated, expected
)
UNNAMED = Damage("not understood: see PostgreSQL's log", ())

Report = Callable[[Phase, int | None, int | None], None]
"""Told the phase, the bytes copied and the bytes expected."""


class Words:
    """Progress goes to `report`; the end point and the bad pages are kept."""

    def __init__(self, report: Report, tablespaces: Sequence[Tablespace]) -> None:
        self.end_point: str | None = None
        self.is_only_damaged = False
        self.is_flowing = False
        """Bytes come, and more will: where it may wait for something else it says so."""
        self._report = report
        self._spaces = {space.location: f"pg_tblspc/{space.oid}" for space in tablespaces}
        self._bad: defaultdict[str, list[int]] = defaultdict(list)

    @property
    def damages(self) -> tuple[Damage, ...]:
        """PostgreSQL names five blocks of a file at most. Never empty where it found some."""
        named = tuple(Damage(path, tuple(blocks)) for path, blocks in self._bad.items())
        return named or ((UNNAMED,) if self.is_only_damaged else ())

    def take(self, line: str) -> None:
        if counted := PROGRESS.match(line):
            done, total = (int(number) * KIBIBYTE for number in counted.groups())
            self.is_flowing = done > 0
            self._report(Phase.COPYING, done, max(done, total))
        elif bad := _BAD_PAGE.search(line):
            self._bad[self._within_data(bad["path"])].append(int(bad["block"]))
        else:
            # That PostgreSQL waits for its archive it may tell in any language.
            self.is_flowing = False
            self._take_words(line)

    def _take_words(self, line: str) -> None:
        if ended := _END_POINT.search(line):
            self.end_point = ended[1]
        elif _BAD_COPY in line:
            self.is_only_damaged = True
        for words, phase in _PHASES:
            if words in line:
                self._report(phase, None, None)

    def _within_data(self, path: str) -> str:
        for location, link in self._spaces.items():
            if path.startswith(f"{location}/"):
                return link + path.removeprefix(location)
        return path.removeprefix("./")
