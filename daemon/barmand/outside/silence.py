"""A program that says nothing for too long is taken for dead, and its group is ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from barmand.model.errors import Stopped, ToolFailed
from barmand.outside.process import Finished, Stop, run


@dataclass(slots=True)
class Silence:
    """A stop that sets itself when no line came for `seconds`; `math.inf` is without end."""

    stop: Stop
    seconds: float
    heard: float = field(default_factory=time.monotonic)

    def hear(self, seconds: float) -> None:
        """A line came; the next one has so many seconds."""
        self.heard = time.monotonic()
        self.seconds = seconds

    def is_set(self) -> bool:
        return self.stop.is_set() or time.monotonic() - self.heard > self.seconds


def run_heard(
    argv: Sequence[str],
    silence: Silence,
    *,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
) -> Finished | None:
    """`argv` to its end, or None where it fell silent; `on_line` tells `silence` what it hears.

    Raises Stopped.
    """
    try:
        return run(argv, stop=silence, environment=environment, on_line=on_line)
    except Stopped:
        if silence.stop.is_set():
            raise
        return None


def died(program: str, silence: Silence) -> ToolFailed:
    return ToolFailed(
        f"{program} lost its connection: nothing came for {silence.seconds:.0f} s, a timeout",
        hint="The host, its disk or the network stands still. Look there for what blocks.",
    )
