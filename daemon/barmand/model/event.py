"""What happened: audit, stream and explanation in one kind of row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`kind` is a short constant phrase, `actor` who asked for it, `facts` what it was about."""

    at: datetime
    kind: str
    server: str | None = None
    backup_id: str | None = None
    actor: str = "barmand"
    facts: Mapping[str, object] = field(default_factory=dict)
