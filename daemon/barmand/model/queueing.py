"""Which backup begins next, and what the others wait for.

Each request has its turn: one server of each, in the order in which the requests came. So `backup
all` of 200 servers and a later request for one of them share the places, and neither starves.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How many backups run at a time, and how many of the servers of one host; None: no limit."""

    total: int
    per_host: int | None = None

    def __str__(self) -> str:
        return f"max_parallel_backups = {self.total}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A backup in the queue; `turn` grows with each round of the requests, `number` with each."""

    key: Hashable
    host: str
    turn: int
    number: int


@dataclass(frozen=True, slots=True)
class Place:
    """`position` of `count` in the queue, and why it is not begun yet."""

    position: int
    count: int
    waits_for: str


def next_turn(begun: int, last_of_request: int | None) -> int:
    """The turn of a request's next backup, when those of turn `begun` are the last that began."""
    return max(begun, last_of_request or 0) + 1


def in_order(queue: Sequence[Waiting]) -> list[Waiting]:
    return sorted(queue, key=lambda each: (each.turn, each.number))


def admitted(queue: Sequence[Waiting], hosts: Sequence[str], limits: Limits) -> list[Waiting]:
    """Who begins now; `hosts` of the backups that run. A full host lets those of others pass."""
    busy = Counter(hosts)
    free = limits.total - len(hosts)
    begun: list[Waiting] = []
    for each in in_order(queue):
        if len(begun) >= free:
            break
        if not _is_full(each.host, busy, limits):
            busy[each.host] += 1
            begun.append(each)
    return begun


def places(queue: Sequence[Waiting], hosts: Sequence[str], limits: Limits) -> dict[Hashable, Place]:
    """Of everyone in the queue, by key."""
    busy = Counter(hosts)
    told = {}
    for position, each in enumerate(in_order(queue), start=1):
        why = f"waits for a place ({limits})"
        if len(hosts) < limits.total and _is_full(each.host, busy, limits):
            why = f"waits for its host: {each.host} has {busy[each.host]} of {limits.per_host}"
        told[each.key] = Place(position, len(queue), why)
    return told


def _is_full(host: str, busy: Counter[str], limits: Limits) -> bool:
    return limits.per_host is not None and busy[host] >= limits.per_host
