"""An rsync that says nothing for too long is taken for dead.

Its own --timeout is not enough: what it writes counts as life, and it writes to a sender that
stands still for as long as ssh takes its words.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from barmand.model.errors import Stopped, ToolFailed
from barmand.outside.process import Stop, run
from barmand.outside.rsync_words import Ending, Hearing

_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


@dataclass(slots=True)
class _Silence:
    """A stop that sets itself when no line came for so long; `first_seconds` before any did."""

    stop: Stop
    seconds: float
    first_seconds: float
    heard: float = field(default_factory=time.monotonic)

    def hear(self) -> None:
        self.heard = time.monotonic()
        self.first_seconds = self.seconds

    def is_set(self) -> bool:
        return self.stop.is_set() or self.is_long

    @property
    def is_long(self) -> bool:
        return time.monotonic() - self.heard > self.first_seconds


def run_heard(
    argv: Sequence[str], hearing: Hearing, stop: Stop, *, seconds: float, first_seconds: float
) -> Ending:
    """`argv` to its end, or as long as it talks. Raises Stopped."""
    silence = _Silence(stop, seconds, first_seconds)

    def take(line: str) -> None:
        silence.hear()
        hearing.take(line)

    try:
        return hearing.ending(run(argv, stop=silence, environment=_ENVIRONMENT, on_line=take))
    except Stopped:
        if stop.is_set():
            raise
        return _died(silence.first_seconds)


def _died(seconds: float) -> Ending:
    error = ToolFailed(
        f"rsync lost its connection: nothing came for {seconds:.0f} s, a timeout",
        hint="The host, its disk or the network stands still. Look there for what blocks.",
    )
    return Ending(error, may_be_retried=True)
