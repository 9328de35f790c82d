"""What an operator said of a backup that is to stay."""

from dataclasses import dataclass
from datetime import datetime

from barmand.model.retention import Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All but `target` is ours: a mark of Barman's has no more. `until` None is without end."""

    target: Keep
    reason: str | None = None
    until: datetime | None = None
    actor: str | None = None
    since: datetime | None = None

    def has_ended(self, now: datetime) -> bool:
        return self.until is not None and self.until <= now
