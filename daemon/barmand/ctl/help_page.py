"""The commands in groups, so that a newcomer finds his way."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from barmand.ctl.command import Command

GROUPS = {
    "take and keep backups": (
        *("backup", "cancel", "list-backups", "show-backup", "check-backup", "keep"),
        *("retention", "delete", "list-files"),
    ),
    "prove and restore them": ("verify-backup", "generate-manifest", "restore"),
    "servers, and what goes on": (
        *("check", "status", "list-servers", "show-servers", "schedule", "cron"),
        *("hook runs", "hook test"),
        *("list-processes", "terminate-process", "replication-status"),
    ),
    "WAL": (
        *("receive-wal", "switch-wal", "archive-wal", "wal-gaps", "acknowledge-gap"),
        *("check-wal-archive", "rebuild"),
    ),
    "called by PostgreSQL": ("wal-push", "put-wal", "get-wal"),
    "the daemon": ("ping", "reload", "trust-clock", "diagnose", "help", "completion"),
}
_OTHERS = "others"


def grouped(commands: Mapping[str, Command]) -> dict[str, list[str]]:
    """The names of all that there are; one that nobody has put in a group is told all the same."""
    found = {title: [name for name in names if name in commands] for title, names in GROUPS.items()}
    named = {name for names in found.values() for name in names}
    found[_OTHERS] = [name for name in commands if name not in named]
    return {title: names for title, names in found.items() if names}


def page(commands: Mapping[str, Command]) -> str:
    lines: list[str] = []
    for title, names in grouped(commands).items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<20}{commands[name].meaning}" for name in names]
    return "\n".join(
        [
            *lines,
            "",
            "`barmanctl help COMMAND` tells the words of one. For a start:",
            "  barmanctl check all          is everything ready?",
            "  barmanctl backup SERVER      take a backup now",
            "  barmanctl status             what goes on",
        ]
    ).lstrip("\n")
