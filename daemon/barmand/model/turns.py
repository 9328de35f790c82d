"""Whose chore is next: those of one server never delay those of another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ARCHIVE = "archive"
"""Chores of this kind have places of their own: WAL waits for nothing else."""


@dataclass(frozen=True, slots=True)
class Chore:
    """What is done, and for which server; "" for none."""

    kind: str
    server: str

    @staticmethod
    def named(name: str) -> "Chore":
        kind, _, server = name.partition(" ")
        return Chore(kind, server)

    def __str__(self) -> str:
        return f"{self.kind} {self.server}".strip()

    @property
    def is_archive(self) -> bool:
        return self.kind == ARCHIVE


@dataclass(frozen=True, slots=True)
class Places:
    """How many chores of a sort are begun side by side; one that takes long gives its place up.

    So many that hang cost the others that time, once, and no place afterwards.
    """

    count: int = 4
    patience_seconds: float = 2.0


def due(
    waiting: Sequence[Chore], under_way: Mapping[Chore, float], places: Places = Places()
) -> list[Chore]:
    """Which of `waiting`, in the order asked for, begin now. `under_way`: for how many seconds.

    A server that has a chore under way lets those pass that have none.
    """
    begun: list[Chore] = []
    for sort in (True, False):
        held = [
            chore
            for chore, seconds in under_way.items()
            if chore.is_archive is sort and seconds < places.patience_seconds
        ]
        busy = Counter(chore.server for chore in under_way)
        queue = [chore for chore in waiting if chore.is_archive is sort]
        for _ in range(min(places.count - len(held), len(queue))):
            chosen = min(queue, key=lambda chore: busy[chore.server])
            queue.remove(chosen)
            busy[chosen.server] += 1
            begun.append(chosen)
    return begun
