"""The queue of backups: as many run as the limits allow; `model.queueing` says whose turn it is.

No lock of its own: the runner calls it under its own.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from barmand.model.queueing import Limits, Place, Waiting, admitted, next_turn, places

K = TypeVar("K")
W = TypeVar("W")


@dataclass(slots=True)
class Queue(Generic[K, W]):
    limits: Limits
    _waiting: dict[K, tuple[Waiting, W]] = field(default_factory=dict)
    _running: dict[K, str] = field(default_factory=dict)
    _last_turns: dict[str, int] = field(default_factory=dict)
    """Of each request that has something in the queue."""
    _turn: int = 0
    _number: int = 0
    _places: dict[object, Place] = field(default_factory=dict)
    _lent: dict[K, str] = field(default_factory=dict)
    """Who has given its place to others for now."""
    _back: dict[K, Waiting] = field(default_factory=dict)
    """Who wants it again: before all that have not begun."""

    def put(self, key: K, host: str, request: str, work: W) -> None:
        """`request` tells what was asked for together: it has one turn a round."""
        self._number += 1
        turn = next_turn(self._turn, self._last_turns.get(request))
        self._last_turns[request] = turn
        self._waiting[key] = Waiting(key, host, turn, self._number), work
        self._tell()

    def drop(self, key: K) -> None:
        """It waits no more, or runs no more."""
        self._waiting.pop(key, None)
        self._running.pop(key, None)
        self._lent.pop(key, None)
        self._back.pop(key, None)
        self._tell()

    def lend(self, key: K) -> None:
        """It runs on, but has no place. Nothing, if it had none."""
        host = self._running.pop(key, None)
        if host is not None:
            self._lent[key] = host
            self._tell()

    def want_back(self, key: K) -> None:
        """Its place, once one is free; `begin` gives it. Nothing, if it was not lent."""
        host = self._lent.pop(key, None)
        if host is not None:
            self._number += 1
            self._back[key] = Waiting(key, host, 0, self._number)

    def has_place(self, key: K) -> bool:
        return key not in self._back

    def begin(self) -> list[W]:
        """What may run now; it counts as running from here on."""
        begun = []
        queue = [*self._back.values(), *(each for each, _ in self._waiting.values())]
        for each in admitted(queue, list(self._running.values()), self.limits):
            key: K = each.key  # type: ignore[assignment] # as `put` was given it
            if self._back.pop(key, None) is not None:
                self._running[key] = each.host
                continue
            _, work = self._waiting.pop(key)
            self._running[key] = each.host
            self._turn = max(self._turn, each.turn)
            begun.append(work)
        if not self._waiting:
            self._last_turns.clear()
        self._tell()
        return begun

    def empty(self) -> list[W]:
        """Everything that waits: it will not have its turn."""
        left = [work for _, work in self._waiting.values()]
        self._waiting.clear()
        return left

    @property
    def count(self) -> int:
        return len(self._waiting)

    def place(self, key: K) -> Place | None:
        return self._places.get(key)

    def _tell(self) -> None:
        queue = [each for each, _ in self._waiting.values()]
        self._places = dict(places(queue, list(self._running.values()), self.limits))
