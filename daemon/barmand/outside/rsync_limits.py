"""How fast rsync may copy: one bandwidth for many workers."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from barmand.outside.process import Stop


class Halting(Stop, Protocol):
    """A stop that can be waited for, and tells its reason."""

    @property
    def reason(self) -> str: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Shares:
    """A limit in KiB/s, dealt out to the workers: what they hold never adds up to more.

    Who begins gets what the others left, by what it has to copy: so all end at the same time, and
    the whole limit is used to the end. It keeps its share until its load is done.
    """

    def __init__(self, limit: int, workers: int, queued_bytes: int) -> None:
        self._free = limit
        self._idle = workers
        self._queued = queued_bytes
        self._lock = threading.Lock()

    @contextmanager
    def part(self, load_bytes: int, most: int | None = None) -> Iterator[int]:
        with self._lock:
            self._queued -= load_bytes
            share = self._share(load_bytes)
            share = share if most is None else min(share, most)
            self._free -= share
            self._idle -= 1
        try:
            yield share
        finally:
            with self._lock:
                self._free += share
                self._idle += 1

    def _share(self, load_bytes: int) -> int:
        others = self._idle - 1 if self._queued > 0 else 0
        of_bytes = load_bytes / ((load_bytes + self._queued) or 1)
        fair = self._free * max(1 / (others + 1), of_bytes)
        return max(1, min(int(fair), self._free - others))


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the whole backup, and of tablespaces, by their prefix in the data directory."""

    whole: Shares | None = None
    spaces: dict[str, Shares] = field(default_factory=dict)

    @contextmanager
    def part(self, prefix: str, load_bytes: int) -> Iterator[int | None]:
        """What a load of this tablespace may use, in KiB/s."""
        with ExitStack() as held:
            share: int | None = None
            space = self.spaces.get(prefix)
            if space is not None:
                share = held.enter_context(space.part(load_bytes))
            if self.whole is not None:
                share = held.enter_context(self.whole.part(load_bytes, share))
            yield share


UNLIMITED = Limits()
