"""The main thread's whole work: signals, and the watchdog while the others live."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from barmand.model.errors import Failure
from barmand.outside.clock import WallClock
from barmand.service import systemd
from barmand.service.signals import Signals

log = structlog.get_logger()

PATROL_SECONDS = 5.0
_STOPS = {signal.SIGTERM, signal.SIGINT}


class Part(Protocol):
    """A thread of the daemon's, without which it does not live."""

    def is_alive(self) -> bool: ...


@dataclass(slots=True)
class Patrol:
    """`reload` raises Failure, with nothing changed; `status` is one line for systemd."""

    parts: Sequence[Part]
    reload: Callable[[], object]
    when_clock_was_set: Callable[[], None]
    status: Callable[[], str]
    clock: WallClock = field(default_factory=WallClock)
    _told: str = ""

    def go(self, signals: Signals) -> None:
        """Until TERM or INT."""
        asked = systemd.watchdog_seconds()
        pause = min(PATROL_SECONDS, asked / 3) if asked else PATROL_SECONDS
        while True:
            heard = signals.wait(pause)
            if heard & _STOPS:
                return
            if jump := self.clock.jump():
                log.warning("clock was set", seconds=round(jump))
                self.when_clock_was_set()
            if signal.SIGHUP in heard:
                self._reload()
            if all(part.is_alive() for part in self.parts):
                systemd.pat_watchdog()
            self._tell_status()

    def _reload(self) -> None:
        try:
            self.reload()
        except Failure as failure:
            log.error("settings not changed", error=failure.message, hint=failure.hint)  # noqa: TRY400 - the operator's mistake, not ours

    def _tell_status(self) -> None:
        line = self.status()
        if line != self._told:
            self._told = line
            systemd.status(line)
