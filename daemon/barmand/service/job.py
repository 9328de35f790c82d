"""One piece of work, as the runner knows it: what it is about, and how far it has come."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from barmand.model.backup import Backup
from barmand.model.progress import Phase, Progress
from barmand.outside.clock import local_now
from barmand.service.stopping import StopFlag


@dataclass(frozen=True, slots=True)
class Key:
    """What a job works on. `deed` is "backup", "restore", "delete" and the like."""

    deed: str
    server: str
    backup_id: str


@dataclass(slots=True)
class Job:
    """One piece of work, from queueing to end. Its fields change under the runner's lock."""

    key: Key
    stop: StopFlag = field(default_factory=StopFlag)
    has_begun: bool = False
    is_withdrawn: bool = False
    since: datetime = field(default_factory=local_now)
    """When it was queued; when it began, once it has."""
    progress: Progress = field(default_factory=lambda: Progress(Phase.QUEUED))
    phase_since: float = 0.0
    patience: threading.Timer | None = None
    """While hooks run before it."""


def key_of(backup: Backup) -> Key:
    """Of the job that takes it."""
    return Key("backup", backup.server, backup.id)
