"""All about barmand and its servers in one object, for those who help; no secret is in it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barmand.model.errors import Failure
from barmand.model.event import Event
from barmand.model.masking import hidden
from barmand.outside import surroundings
from barmand.outside.clock import local_now
from barmand.service.asked_together import asked_together
from barmand.service.house import House, Kit
from barmand.service.looking import Looking
from barmand.wire.lines import plain
from barmand.wire.messages import AskStatus, ListBackups, StatusReply

CHECK_SECONDS = 60.0
MOST_CHARACTERS = 4000
MOST_ITEMS = 200
"""Of any list."""
_HOOKS = 10
_BACKUPS, _EVENTS = 600, 3000
"""Of all servers together; each gets its share, and never fewer than these:"""
_LEAST_BACKUPS, _LEAST_EVENTS = 3, 15
_MOST_BACKUPS, _MOST_EVENTS = 30, 100


@dataclass(frozen=True, slots=True)
class Diagnosis:
    looking: Looking
    house: House

    def told(self, servers: Sequence[str], *, checks: bool) -> dict[str, Any]:
        """Raises NotFound for a server that nobody knows."""
        status = self.looking.answer(AskStatus(servers=list(servers)), self.house)
        if not isinstance(status, StatusReply):
            raise TypeError("it was asked for the status")
        names = [each.server for each in status.servers]
        found = self._checked(names) if checks else {}
        about = {each.server: plain(each) for each in status.servers}
        told = {
            "barmand": self._daemon(plain(status.daemon)),
            "machine": surroundings.machine(),
            "process": surroundings.process(),
            "libraries": surroundings.libraries(),
            "programs": self._programs(names),
            "servers": {
                name: self._server(name, about[name], found.get(name), len(names)) for name in names
            },
        }
        house = self.house
        secrets = frozenset().union(
            *(kit.secrets for kit in (*house.kits.values(), *house.leaving.values()))
        )
        return dict(hidden(_cut(told), secrets))

    def _daemon(self, daemon: dict[str, Any]) -> dict[str, Any]:
        catalog, runner = self.looking.catalog, self.looking.runner
        return {
            **daemon,
            **catalog.versions,
            "now": local_now().isoformat(),
            "servers": len(self.house.kits),
            "broken": {name: list(why) for name, why in self.house.broken.items()},
            "under_way": [
                f"{key.deed} {key.server} {key.backup_id}: {progress.phase.value}"
                for key, progress in runner.all_progress()
            ],
        }

    def _programs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """By `path_prefix`: most servers have the same."""
        prefixes: dict[str, list[Path]] = {}
        for name in names:
            kit = self.house.kits.get(name)
            words = [str(each) for each in _listed(kit, "path_prefix")]
            prefixes.setdefault(os.pathsep.join(words), [Path(word) for word in words])
        return {
            prefix or "PATH": surroundings.programs(folders)
            for prefix, folders in list(prefixes.items())[:MOST_ITEMS]
        }

    def _checked(self, names: Sequence[str]) -> dict[str, list[dict[str, object]] | None]:
        working = [name for name in names if name in self.house.kits]

        def check(name: str) -> list[dict[str, object]]:
            try:
                found = self.house.kits[name].check.report(self.looking.runner.stopping)
            except Failure as failure:
                return [{"name": "check", "level": "FAILED", "hint": failure.message}]
            return [
                {"name": each.name, "level": each.level.value, "hint": each.hint} for each in found
            ]

        return asked_together(working, check, seconds=CHECK_SECONDS)

    def _server(
        self, name: str, status: dict[str, Any], found: list[dict[str, object]] | None, share: int
    ) -> dict[str, Any]:
        catalog, kit = self.looking.catalog, self.house.kits.get(name)
        listed = plain(self.looking.answer(ListBackups(servers=[name]), self.house))["backups"]
        most_backups = _share(_BACKUPS, share, _LEAST_BACKUPS, _MOST_BACKUPS)
        most_events = _share(_EVENTS, share, _LEAST_EVENTS, _MOST_EVENTS)
        last_run = catalog.schedule_runs.last(name)
        return {
            "status": status,
            "settings": dict(kit.told_settings) if kit else None,
            "system_id": catalog.servers.system_id(name),
            "check": found,
            "backup_count": len(listed),
            "backups": [_short(each) for each in listed[:most_backups]],
            "failures": [
                {"backup_id": each["backup_id"], "error": each["error"]}
                for each in listed
                if each["error"] is not None
            ][:most_backups],
            "held": sorted(catalog.holds.of_server(name)),
            "schedule_last_run": None if last_run is None else _plain_fields(last_run),
            "chores": [
                _plain_fields(run)
                for (_, server), run in catalog.chore_runs.all().items()
                if server == name
            ],
            "hooks": [_plain_fields(run) for run in catalog.hook_runs.latest(name, None, _HOOKS)],
            "disks": self.looking.glances.at(name, lambda: _disks(kit)) if kit else None,
            "events": [_told_event(each) for each in catalog.events.latest(name, most_events)],
        }


def _share(whole: int, parts: int, least: int, most: int) -> int:
    return max(least, min(most, whole // max(1, parts)))


def _listed(kit: Kit | None, name: str) -> list[object]:
    value = kit.told_settings.get(name) if kit else None
    return value if isinstance(value, list) else []


def _short(backup: dict[str, Any]) -> dict[str, Any]:
    """What is found again in the settings, or is empty as a rule, is left out."""
    return {key: value for key, value in backup.items() if value not in (None, [], "")}


def _plain_fields(value: Any) -> dict[str, Any]:
    return dict(plain(value))


def _told_event(event: Event) -> dict[str, Any]:
    return {
        "at": event.at.isoformat(),
        "kind": event.kind,
        "backup_id": event.backup_id,
        "actor": event.actor,
        "facts": plain(event.facts),
    }


def _disks(kit: Kit) -> dict[str, dict[str, object]]:
    layout = kit.layout
    places = (layout.home, layout.base, layout.wals, layout.incoming, layout.streaming)
    return {str(path): _disk(path) for path in dict.fromkeys(places)}


def _disk(path: Path) -> dict[str, object]:
    try:
        facts, owner = os.statvfs(path), path.stat()
    except OSError as error:
        return {"problem": error.strerror}
    return {
        "free_bytes": facts.f_bavail * facts.f_frsize,
        "total_bytes": facts.f_blocks * facts.f_frsize,
        "free_files": facts.f_favail,
        "is_read_only": bool(facts.f_flag & os.ST_RDONLY),
        "device": owner.st_dev,
        "mode": f"{owner.st_mode & 0o7777:04o}",
        "owner": owner.st_uid,
    }


def _cut(value: Any) -> Any:
    """Every list and text bounded: it is read by people, and sent by mail."""
    match value:
        case str() if len(value) > MOST_CHARACTERS:
            return f"{value[:MOST_CHARACTERS]} … and {len(value) - MOST_CHARACTERS} more characters"
        case dict():
            return {key: _cut(each) for key, each in value.items()}
        case list() if len(value) > MOST_ITEMS:
            return [*map(_cut, value[:MOST_ITEMS]), f"… and {len(value) - MOST_ITEMS} more"]
        case list():
            return [_cut(each) for each in value]
        case _:
            return value
