"""What is looked at in a file that is copied, and what was seen of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from barmand.model.backup import Damage, Doubt
from barmand.storage.manifest import Algorithm
from barmand.storage.pages import WrongPage

PIECE_BYTES = 8 * 1024 * 1024
"""Read in fewer, workers wait for each other more (numpy asks for Python's lock at every step).

Who lets go of one before he reads the next reads it to the same place, in the processor's cache.
"""
SMALL_BYTES = 1024 * 1024
"""Files up to this size may have their pages judged later, together with others'."""
KEPT_BYTES = 32 * 1024 * 1024
"""What stays in memory of a copy at its end: the disk is at work on it still."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What to look at: pages written before `start_lsn` (None: none), a checksum for a manifest."""

    start_lsn: int | None
    algorithm: Algorithm | None

    @property
    def sees_bytes(self) -> bool:
        return self.start_lsn is not None or self.algorithm is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """A file's copy: its bytes, its checksum in hex, the blocks of its relation that are bad.

    `doubtful` ones are bad unless they were written during the backup, as they say. `unjudged` are
    pages that were left to be judged by somebody else.
    """

    size: int
    changed_ns: int
    checksum: str | None
    bad_blocks: tuple[int, ...] = ()
    doubtful: tuple[WrongPage, ...] = ()
    unjudged: bytes = b""

    def judged(self, wrong: Sequence[WrongPage], start_lsn: int) -> "Seen":
        """With what was found when its pages were judged, by the backup's start."""
        return replace(
            self,
            bad_blocks=tuple(page.block for page in wrong if page.lsn < start_lsn),
            doubtful=tuple(page for page in wrong if page.lsn >= start_lsn),
            unjudged=b"",
        )

    def found(self, path: str) -> list[Damage | Doubt]:
        """What there is to say of the file, which is called so in the data directory."""
        doubts = [Doubt(path, page.block, page.lsn) for page in self.doubtful]
        return [Damage(path, self.bad_blocks), *doubts] if self.bad_blocks else [*doubts]
