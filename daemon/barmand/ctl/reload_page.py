"""What a reload changed, for a person."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

KINDS = ("added", "removed", "changed", "put aside", "back in service")


def lines(reloaded: Message) -> list[str]:
    changes = reloaded["changes"]
    counts = {kind: sum(each["became"] == kind for each in changes) for kind in KINDS}
    told = [f"{count} {kind}" for kind, count in counts.items() if count]
    words = ", ".join([*told, f"{reloaded['unchanged']} unchanged"])
    found = [f"settings read again; servers: {words}"]
    found += [f"barmand: {_option(each)}" for each in reloaded["daemon_changes"]]
    for change in changes:
        found += _server(change)
    if reloaded["broken"]:
        found.append(f"broken: {', '.join(reloaded['broken'])}")
    found += [f"problem: {problem}" for problem in reloaded["problems"]]
    return found + [f"warning: {warning}" for warning in reloaded["warnings"]]


def _server(change: Message) -> list[str]:
    who = change["server"]
    if change["options"]:
        return [f"{who}: {_option(each)}" for each in change["options"]]
    found = [f"{who}: {change['became']}{_left(change['backups_left'])}"]
    if change["unfinished_backups"]:
        backups = ", ".join(change["unfinished_backups"])
        found.append(f"{who}: still served until these have ended: {backups}")
    return found


def _left(backups: int) -> str:
    if not backups:
        return ""
    return "; 1 backup stays on disk" if backups == 1 else f"; {backups} backups stay on disk"


def _option(change: Message) -> str:
    later = " (from the next start on)" if change["counts_from_next_start"] else ""
    before, after = _in_line(change["before"]), _in_line(change["after"])
    return f"{change['option']}: {before} -> {after}{later}"


def _in_line(value: str | None) -> str:
    """A value of several lines (schedules) is told in one."""
    return "; ".join(line.strip() for line in (value or "(none)").splitlines() if line.strip())
