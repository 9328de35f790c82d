"""Chores, each in a thread of its own while it is done; `model.turns` says which is next."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from barmand.model.turns import Chore, Places, due
from barmand.outside.clock import local_now, monotonic

LOOK_SECONDS = 0.25
"""How often it is looked whether one under way has given its place up, while another waits."""

MOST_IDLE = 8
"""So many threads that have done their chore wait for another: with many servers one soon comes."""
IDLE_SECONDS = 60.0
"""So long they wait."""

PLACES = Places()

Work = Callable[[], None]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """`begun` is on the monotonic clock, `since` on the wall's."""

    begun: float = field(default_factory=monotonic)
    since: datetime = field(default_factory=local_now)


class Lanes:
    """`do` does a chore and raises nothing. One of a name at a time.

    A chore that is asked for while it waits is done once; asked for while it runs, once more after
    that. Threads come as they are needed, few stay, and all end with the process: one that hangs
    for ever in the kernel must not keep the process from ending.
    """

    def __init__(self, do: Callable[[str, Work], None], places: Places = PLACES) -> None:
        self._do = do
        self._places = places
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._hands = threading.Condition(lock)
        """Threads without a chore wait here for what is handed over."""
        self._handed: deque[tuple[Chore, Work]] = deque()
        self._idle = 0
        self._waiting: dict[Chore, Work] = {}
        self._again: dict[Chore, Work] = {}
        self._under_way: dict[Chore, UnderWay] = {}
        self._keeper: threading.Thread | None = None
        self._is_closed = False

    def ring(self, name: str, work: Work) -> None:
        chore = Chore.named(name)
        with self._changed:
            if self._is_closed:
                return
            asked = self._again if chore in self._under_way else self._waiting
            asked.setdefault(chore, work)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="chores", daemon=True)
                self._keeper.start()
            self._changed.notify_all()

    def under_way(self) -> dict[Chore, UnderWay]:
        with self._changed:
            return dict(self._under_way)

    def close(self) -> None:
        """Nothing begins any more."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._again.clear()
            self._changed.notify_all()
            self._hands.notify_all()

    def wait_for_end(self, seconds: float) -> list[str]:
        """Until nothing is under way, or for so many seconds: what still is, by name."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, seconds)
            return [str(chore) for chore in self._under_way]

    def wait_for(self, kind: str, seconds: float) -> list[str]:
        """Until no chore of this kind waits or is under way, or for so long: whose still is."""

        def left() -> list[str]:
            return [each.server for each in (*self._waiting, *self._under_way) if each.kind == kind]

        with self._changed:
            self._changed.wait_for(lambda: not left(), seconds)
            return sorted(set(left()))

    def _keep(self) -> None:
        with self._changed:
            while not self._is_closed:
                now = monotonic()
                times = {chore: now - each.begun for chore, each in self._under_way.items()}
                for chore in due(list(self._waiting), times, self._places):
                    self._begin(chore, self._waiting.pop(chore))
                self._changed.wait(LOOK_SECONDS if self._waiting else None)

    def _begin(self, chore: Chore, work: Work) -> None:
        self._under_way[chore] = UnderWay()
        if self._idle > len(self._handed):
            self._handed.append((chore, work))
            self._hands.notify()
        else:
            threading.Thread(
                target=self._live, args=(chore, work), name="chore", daemon=True
            ).start()

    def _live(self, chore: Chore, work: Work) -> None:
        """One thread's life: a chore, and then others as long as they come."""
        handed: tuple[Chore, Work] | None = chore, work
        while handed is not None:
            threading.current_thread().name = f"chore {handed[0]}"
            self._perform(*handed)
            handed = self._next()

    def _next(self) -> tuple[Chore, Work] | None:
        """None when none has come for a while, none will, or others wait for one already."""
        with self._hands:
            if self._idle >= MOST_IDLE:
                return None
            self._idle += 1
            try:
                self._hands.wait_for(lambda: self._handed or self._is_closed, IDLE_SECONDS)
                return self._handed.popleft() if self._handed else None
            finally:
                self._idle -= 1

    def _perform(self, chore: Chore, work: Work) -> None:
        try:
            self._do(str(chore), work)
        finally:
            with self._changed:
                del self._under_way[chore]
                again = self._again.pop(chore, None)
                if again is not None:
                    self._waiting[chore] = again
                self._changed.notify_all()
