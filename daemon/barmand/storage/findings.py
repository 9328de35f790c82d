"""What several readers find wrong, gathered: the first of it by name, all of it counted."""

import os
import threading
from dataclasses import dataclass, field

from barmand.model.proof import MOST_FLAWS, Flaw


@dataclass(slots=True)
class Findings:
    """Threads add to it; what is told of is bounded, whatever the damage."""

    most: int = MOST_FLAWS
    count: int = 0
    notes: list[str] = field(default_factory=list)
    _flaws: list[Flaw] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, file: object, what: str, blocks: tuple[int, ...] = ()) -> None:
        flaw = Flaw(_utf8(str(file)), _utf8(what), blocks)
        with self._lock:
            self.count += 1
            if len(self._flaws) < self.most:
                self._flaws.append(flaw)

    def note(self, words: str) -> None:
        with self._lock:
            if words not in self.notes:
                self.notes.append(words)

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        with self._lock:
            return tuple(sorted(self._flaws))


def _utf8(text: str) -> str:
    """A name that is not UTF-8 must not keep its damage from being told."""
    return os.fsencode(text).decode(errors="backslashreplace")
