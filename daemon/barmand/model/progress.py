"""How far a piece of work is: what every watcher sees."""

from dataclasses import dataclass
from enum import StrEnum

from barmand.model.queueing import Place

_LEAST_ELAPSED = 1.0
"""Seconds; what was done in less says nothing of the rest."""


class Phase(StrEnum):
    QUEUED = "queued"
    CHECKING = "checking the server"
    CHECKPOINT = "waiting for checkpoint"
    COPYING = "copying"
    SYNCING = "syncing to disk"
    CLOSING = "closing the last segment"
    WAITING_FOR_WAL = "waiting for WAL"
    AGREEING = "running hooks before it begins"
    HOOKS = "running hooks"
    VERIFYING = "verifying"
    SUMMING = "summing its files"
    RETRYING = "pausing before the next attempt"


@dataclass(frozen=True, slots=True)
class Progress:
    """`elapsed` is in seconds of the monotonic clock, counted within the phase."""

    phase: Phase
    bytes_done: int | None = None
    bytes_total: int | None = None
    """An estimate: PostgreSQL counts its files before it sends them."""
    elapsed: float = 0.0
    place: Place | None = None
    """In the queue, while it waits there."""

    @property
    def bytes_per_second(self) -> float | None:
        if self.bytes_done is None or self.elapsed < _LEAST_ELAPSED:
            return None
        return self.bytes_done / self.elapsed

    @property
    def seconds_left(self) -> float | None:
        rate = self.bytes_per_second
        if not rate or self.bytes_done is None or self.bytes_total is None:
            return None
        return max(0, self.bytes_total - self.bytes_done) / rate
