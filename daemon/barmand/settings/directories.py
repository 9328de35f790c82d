"""Which directories may lie in which: where one thing is kept, nothing else may be."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, assert_never

FollowLinks = Callable[[Iterable[Path]], Mapping[Path, Path]]
"""Where each path leads; those are missing that nothing could be told of."""


def as_written(paths: Iterable[Path]) -> Mapping[Path, Path]:
    return {path: path for path in paths}


class Use(Enum):
    ROOT = auto()
    """`barman_home`."""
    HOME = auto()
    """`backup_directory`: the server's own folders lie in it, and others' may."""
    STORE = auto()
    """Backups, or WAL, or what describes them: all that lies there is taken for such."""
    STATE = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, as it is written and where it leads; `owner` is None for the daemon's own."""

    owner: str | None
    option: str
    use: Use
    path: Path
    real: Path
    below: str = ""
    """The folder of that option's directory which it is, where no option names it."""

    def __str__(self) -> str:
        option = f"the folder {self.below} of {self.option}" if self.below else self.option
        return option if self.owner is None else f"{option} of [{self.owner}]"

    @property
    def shown(self) -> str:
        if self.path == self.real:
            return str(self.path)
        return f"{self.path} (which leads to {self.real})"

    def lies_in(self, other: "Place") -> bool:
        return self.real.is_relative_to(other.real)


_STORES = (
    *("basebackups_directory", "wals_directory", "incoming_wals_directory"),
    *("streaming_wals_directory", "errors_directory"),
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Of a server's directory that must not be where it is."""

    server: str
    option: str
    message: str


def places_of(
    daemon: Mapping[str, Any], servers: Mapping[str, Mapping[str, Any]]
) -> Iterator[Place]:
    """As far as the values could be read, which are those of options by name."""
    yield from _place(None, "barman_home", Use.ROOT, daemon)
    yield from _place(None, "state_directory", Use.STATE, daemon)
    for name, values in servers.items():
        yield from _place(name, "backup_directory", Use.HOME, values)
        yield from _place(name, "backup_directory", Use.STORE, values, below="meta")
        for option in _STORES:
            yield from _place(name, option, Use.STORE, values)


def _place(
    owner: str | None, option: str, use: Use, values: Mapping[str, Any], below: str = ""
) -> Iterator[Place]:
    if option in values:
        path = values[option] / below
        yield Place(owner, option, use, path, path, below)


def followed(places: Iterable[Place], follow: FollowLinks) -> tuple[list[Place], list[Place]]:
    """All where they lead, and those of which nothing could be told: these are as written."""
    written = list(places)
    real = follow(dict.fromkeys(place.path for place in written))
    silent = [place for place in written if place.path not in real]
    return [replace(each, real=real.get(each.path, each.path)) for each in written], silent


def links_unknown(silent: Sequence[Place]) -> str:
    return (
        f"{silent[0]}, {silent[0].path}, gave no answer (is a mount dead?): links are not followed "
        f"of {len(silent)} directories, so two that are one may pass"
    )


def complaints(places: Sequence[Place]) -> Iterator[Complaint]:
    """Every one, each told to the servers that it is about."""
    pairs = _pairs(places)
    homes = {place.owner: place for place in places if place.use is Use.HOME}
    for place, other in pairs:
        if place.owner is not None and not _is_entailed(place, other, homes, pairs):
            yield Complaint(place.owner, place.option, _words(place, other))


_Pairs = Mapping[tuple[Place, Place], None]
"""Who is to be told, and of whom, in the order of the places."""


def _pairs(places: Sequence[Place]) -> _Pairs:
    found: dict[tuple[Place, Place], None] = {}
    for inner, outer in _nested(places):
        if outer.owner == inner.owner:
            if (outer, inner) not in found:  # of a server's own two, one tells
                found[inner, outer] = None
            continue
        for pair in ((inner, outer), (outer, inner)):
            if pair[0].owner is not None:
                found[pair] = None
    # Who takes barman_home is to blame, and not all who live there.
    takers = {place for place, other in found if other.use is Use.ROOT}
    return {
        (place, other): None
        for place, other in found
        if other not in takers and (place not in takers or other.use is Use.ROOT)
    }


def _nested(places: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    """Each place that is another one, or lies in it, and may not. Both ways where they are one."""
    by_path: defaultdict[Path, list[Place]] = defaultdict(list)
    for place in places:
        by_path[place.real].append(place)
    for inner in places:
        for path in (inner.real, *inner.real.parents):
            for outer in by_path.get(path, ()):
                if outer is not inner and not _may_lie_in(outer, inner):
                    yield inner, outer


def _may_lie_in(outer: Place, inner: Place) -> bool:
    match outer.use:
        case Use.ROOT:
            return True
        case Use.HOME if inner.use is Use.STATE or inner.real == outer.real:
            return inner.use is Use.ROOT
        case Use.HOME:
            return True
        case Use.STORE:
            return False
        case Use.STATE:
            return inner.use is Use.ROOT
        case _ as never:
            assert_never(never)


def _is_entailed(
    place: Place, other: Place, homes: Mapping[str | None, Place], pairs: _Pairs
) -> bool:
    """Is it so only because of the folder that one of them, or each, lies in by default?"""
    mine, its = (_and_home(each, homes.get(each.owner)) for each in (place, other))
    return any((a, b) in pairs for a in mine for b in its if (a, b) != (place, other))


def _and_home(place: Place, home: Place | None) -> tuple[Place, ...]:
    return (place, home) if home is not None and place.lies_in(home) else (place,)


def _words(place: Place, other: Place) -> str:
    where = "" if other.shown == place.shown else f" ({other.shown})"
    if place.real == other.real:
        return f"{place.shown} is also {other}{where}: give each a folder of its own"
    relation = "lies in" if place.lies_in(other) else "holds"
    return f"{place.shown} {relation} {other}{where}: move one of them out of the other"
