"""What is to be fetched of a cluster elsewhere: its trees, listed, in loads for one rsync each."""

import stat
from array import array
from calendar import timegm
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from math import ceil

from barmand.model.pgdata import may_vanish
from barmand.outside.rsync_words import Entry, Judge
from barmand.storage.data_tree import Tree, is_taken
from barmand.storage.disk import at_the_disk

FILE_COST_BYTES = 32 * 1024
"""What a file costs besides its bytes, in bytes."""
LOAD_FILES = 50_000
LOAD_BYTES = 10 * 1024**3

Doubt = Callable[[Tree, Entry], bool]
"""Must this file be compared with the reference's by content?"""


@dataclass(frozen=True, slots=True)
class Load:
    """The work of one rsync: files of one tree, by their paths within it."""

    tree: Tree
    names: tuple[str, ...]
    bytes: int
    has_doubts: bool = False
    is_required: bool = False
    """Each of its files must be there, whatever it is called."""


@dataclass(slots=True)
class Listing:
    """A tree's files; those in doubt apart."""

    tree: Tree
    has_doubts: bool
    names: list[str] = field(default_factory=list)
    sizes: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def weight(self) -> int:
        return sum(self.sizes) + FILE_COST_BYTES * len(self.sizes)


class Sorting:
    """Takes what a tree holds: directories are made here, files put on its lists."""

    def __init__(self, tree: Tree, doubt: Doubt) -> None:
        self._tree = tree
        self._doubt = doubt
        self.clear()

    def clear(self) -> None:
        """Forget: another attempt tells all again."""
        self.certain = Listing(self._tree, has_doubts=False)
        self.doubtful = Listing(self._tree, has_doubts=True)

    def take(self, entry: Entry) -> None:
        path = entry.path.removesuffix("/")
        if path != "." and not is_taken(self._tree, path):
            return
        if entry.kind == "d":
            self._make(path, entry.permissions)
        elif entry.kind == "f":
            listing = self.doubtful if self._doubt(self._tree, entry) else self.certain
            listing.names.append(path)
            listing.sizes.append(entry.size)

    def _make(self, path: str, permissions: str) -> None:
        target = self._tree.target / path
        with at_the_disk("make directory", target):
            target.mkdir(parents=True, exist_ok=True)
            target.chmod(_mode(permissions) | stat.S_IRWXU)


def judge_of(tree: Tree, *, is_required: bool = False) -> Judge:
    """Of complaints about a tree. A path that is not below it always matters."""
    if is_required:
        return Judge(lambda _path: True, lambda _path: False)
    root = f"{tree.source}/"

    def concerns(path: str) -> bool:
        return not path.startswith(root) or is_taken(tree, path.removeprefix(root))

    def may_be_gone(path: str) -> bool:
        return path.startswith(root) and may_vanish(tree.prefix + path.removeprefix(root))

    return Judge(concerns, may_be_gone)


def loads_of(
    listings: Sequence[Listing], jobs: int, most_bytes: Callable[[Listing], float]
) -> list[Load]:
    """Balanced by bytes, the largest first: as many as there are jobs, or a few more."""
    total = sum(listing.weight for listing in listings) or 1
    filled = [listing for listing in listings if listing.names]
    pieces = jobs if len(filled) == 1 else 2 * jobs
    loads = [
        load
        for listing in filled
        for load in _dealt(
            listing,
            max(
                ceil(pieces * listing.weight / total),
                ceil(listing.weight / most_bytes(listing)),
                ceil(len(listing.names) / LOAD_FILES),
            ),
        )
    ]
    return sorted(loads, key=lambda load: load.bytes, reverse=True)


def _dealt(listing: Listing, count: int) -> Iterator[Load]:
    """Files in falling size, each to the load that has least so far."""
    sizes = listing.sizes
    names: list[list[str]] = [[] for _ in range(count)]
    totals = [0] * count
    lightest = [(0, which) for which in range(count)]
    heapify(lightest)
    for index in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        weight, which = lightest[0]
        names[which].append(listing.names[index])
        totals[which] += sizes[index]
        heapreplace(lightest, (weight + sizes[index] + FILE_COST_BYTES, which))
    for which, chosen in enumerate(names):
        if chosen:
            yield Load(listing.tree, tuple(chosen), totals[which], listing.has_doubts)


def changed_seconds(entry: Entry) -> int:
    """When the file changed, in whole seconds since the epoch."""
    day, _, time = entry.changed.partition("-")
    numbers = [int(word) for word in (*day.split("/"), *time.split(":"))]
    return timegm((*numbers, 0, 0, 0))


def _mode(permissions: str) -> int:
    """Of `rwxr-x---`."""
    return sum(1 << (8 - place) for place, letter in enumerate(permissions) if letter not in "-ST")
