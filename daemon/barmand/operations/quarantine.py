"""What does not belong goes to errors/, with its reason and an event; nothing is thrown away."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.catalog.events import Events
from barmand.model.event import Event
from barmand.operations.ports import Clock
from barmand.storage.wals import WalArchive

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Quarantine:
    server: str
    wals: WalArchive
    events: Events
    now: Clock

    def set_aside(self, path: Path, reason: str, why: str, *, is_alarm: bool = True) -> Path:
        """`reason` is one word, the end of its name in errors/; `why` a sentence for people.

        No alarm is what had to be expected, after a failover say.
        """
        kept = self.wals.set_aside(path, reason)
        facts = {"file": path.name, "why": why, "kept": str(kept)}
        self.events.add(
            Event(at=self.now(), kind="WAL file set aside", server=self.server, facts=facts)
        )
        (log.error if is_alarm else log.warning)("WAL file set aside", **facts)
        return kept
