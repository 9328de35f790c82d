"""Sample values for a hook that is tried: of the newest backup, where there is one."""

from dataclasses import replace

from barmand.model.backup import Backup, Status
from barmand.model.hook import (
    OF_WAL,
    Hook,
    HookEvent,
    HookPhase,
    Occasion,
    segment_facts,
)
from barmand.model.naming import next_id
from barmand.model.wal import Segment
from barmand.operations.hooks import Hooks

_SEGMENT_BYTES = 16 * 1024 * 1024


def sample(hooks: Hooks, hook: Hook) -> tuple[Occasion, str | None]:
    """What it would be told, and the error: none, for things go well in a sample."""
    if hook.event in OF_WAL:
        return _segment(hooks, hook), None
    backup = _backup(hooks, hook)
    more: dict[str, str] = {}
    if hook.event is HookEvent.RECOVERY:
        more = {
            "BARMAN_DESTINATION_DIRECTORY": "/path/of/the/restored/cluster",
            "BARMAN_TABLESPACES": "",
            "BARMAN_REMOTE_COMMAND": "",
            "BARMAN_RECOVER_OPTIONS": "{}",
        }
    return hooks.occasion(hook.event, hook.phase, backup, more), None


def _backup(hooks: Hooks, hook: Hook) -> Backup:
    """One that is there, in the state in which this hook would meet it."""
    found = [each for each in hooks.backups.of_server(hooks.runner.server) if each.copied]
    status = Status.DONE
    if hook.event is HookEvent.BACKUP and hook.phase is HookPhase.POST:
        status = Status.WAITING_FOR_WALS
    if found:
        return replace(found[-1], status=status)
    now = hooks.runner.now()
    return Backup(
        server=hooks.runner.server,
        id=next_id(None, now),
        status=status,
        method="sample",
        queued_at=now,
    )


def _segment(hooks: Hooks, hook: Hook) -> Occasion:
    name = Segment(1, 1).name(_SEGMENT_BYTES)
    is_incoming = hook.event is HookEvent.ARCHIVE and hook.phase is HookPhase.PRE
    path = hooks.layout.incoming / name if is_incoming else hooks.layout.wal(name)
    now = hooks.runner.now().timestamp()
    return Occasion(hook.event, name, segment_facts(name, str(path), _SEGMENT_BYTES, now, None))
