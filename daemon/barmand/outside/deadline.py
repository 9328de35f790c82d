"""A stop that sets itself when the time is over."""

import time
from dataclasses import dataclass

from barmand.outside.process import Stop


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` is on the monotonic clock; `stop` may come before."""

    at: float
    stop: Stop | None = None

    def is_set(self) -> bool:
        return time.monotonic() > self.at or (self.stop is not None and self.stop.is_set())
