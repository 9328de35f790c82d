"""What servers and the daemon look like to a person."""

from __future__ import annotations

from barmand.ctl.pages import Facts, Table
from barmand.ctl.words import gap_words, minute, moment, progress_words, size, span, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.pages import Page, View


def server_list(result: View) -> Page:
    if not result["servers"]:
        return ["no servers"]
    rows = [
        [
            server["server"],
            server["state"],
            told(server["method"]),
            told(server["backup_schedule"]),
            told(server["description"]),
        ]
        for server in result["servers"]
    ]
    table = Table("SERVER | STATE | METHOD | SCHEDULE | DESCRIPTION", rows)
    return [table, *_server_problems(result)]


def _server_problems(result: View) -> Page:
    return [
        f"{server['server']}: {problem}"
        for server in result["servers"]
        for problem in server["problems"]
    ]


def server_details(result: View) -> Page:
    page: Page = []
    for server in result["servers"]:
        page.append(Facts(server["server"], _known(server)))
        if server["settings"]:
            settings = sorted(server["settings"].items())
            values = {name: _setting(value) for name, value in settings}
            page.append(Facts(f"settings of {server['server']}", values))
    return page


def _known(server: View) -> dict[str, str | list[str]]:
    facts = server["facts"]
    told_now = _live(facts) if facts else {"PostgreSQL": server["facts_problem"] or "not asked"}
    return {
        "state": server["state"],
        "problems": server["problems"] or "none",
        "system id": told(server["system_id"]),
        "backups done": str(server["done_backups"]),
        "last WAL": told(server["last_archived_wal"]),
        **told_now,
    }


def _live(facts: View) -> dict[str, str | list[str]]:
    where = f"{told(facts['current_lsn'])} in {told(facts['current_wal'])}"
    may = {"reads_settings": "read settings", "switches_wal": "switch WAL"}
    may["starts_backups"] = "start backups"
    spaces = [
        f"{space['name']} (oid {space['oid']}) at {space['location']}"
        for space in facts["tablespaces"]
    ]
    said: dict[str, str | list[str]] = {
        "PostgreSQL": facts["postgres_release"] + (", a standby" if facts["is_standby"] else ""),
        "data folder": told(facts["data_directory"]),
        "config file": told(facts["config_file"]),
        "cluster size": size(facts["cluster_size_bytes"]),
        "WAL now": f"{where}, timeline {told(facts['timeline'])}",
        "WAL segment": size(facts["wal_segment_size_bytes"]),
        "checksums": told(facts["data_checksums"]),
        "tablespaces": spaces or "none",
        "wal_level": facts["wal_level"],
        "archive_mode": facts["archive_mode"] + (", FAILS" if facts["archiving_fails"] else ""),
        "role": facts["role"],
        "it may": ", ".join(words for key, words in may.items() if facts[key]) or "nothing of it",
    }
    return said | ({"not told": facts["problems"]} if facts["problems"] else {})


def _setting(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [told(one) for one in value] or "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    return told(value)


def status(result: View) -> Page:
    daemon = result["daemon"]
    about = {
        "version": daemon["version"],
        "pid": str(daemon["pid"]),
        "since": moment(daemon["started_at"]),
        "settings": daemon["config_file"],
    }
    for label in ("problems", "warnings"):
        if daemon[f"config_{label}"]:
            about[label] = daemon[f"config_{label}"]
    servers = result["servers"]
    shown = [_server_status(servers[0])] if len(servers) == 1 else _status_table(servers)
    return [Facts("barmand", about), *shown]


def _status_table(servers: list[View]) -> Page:
    rows = [
        [
            server["server"],
            server["state"],
            _of(server["last_backup"], "backup_id"),
            _of(server["last_backup"], "status"),
            str(len(server["waiting_backups"])),
            str(server["failed_backups"]),
            _of(server["receiver"], "state"),
            minute(server["next_scheduled_backup"]),
        ]
        for server in servers
    ]
    headings = "SERVER | STATE | LAST BACKUP | STATUS | >WAITING | >FAILED | RECEIVER | NEXT"
    running = [
        f"{server['server']}: {_backup_now(server['active_backup'])}"
        for server in servers
        if server["active_backup"]
    ]
    table = [Table(headings, rows)] if rows else ["no servers"]
    return [*table, *running, *_server_problems({"servers": servers})]


def _server_status(server: View) -> Facts:
    last = server["last_backup"]
    return Facts(
        server["server"],
        {
            "state": server["state"],
            "problems": server["problems"] or "none",
            "running backup": _backup_now(server["active_backup"]),
            "last backup": f"{last['backup_id']} {last['status']}" if last else "-",
            "backups done": str(server["done_backups"]),
            "waiting for WAL": server["waiting_backups"] or "none",
            "backups failed": str(server["failed_backups"]),
            "WAL receiver": _receiver(server["receiver"]),
            "last WAL": _last_wal(server),
            "WAL archived": f"{server['archived_wals']}, {size(server['archived_wal_bytes'])}",
            "WAL of late": _of_late(server),
            "WAL waiting": told(server["waiting_wals"]),
            "WAL set aside": told(server["set_aside"]),
            "WAL gaps": _gaps(server["wal_gaps"]),
            "hooks running": server["hooks_running"] or "none",
            "hook troubles": server["hook_troubles"] or "none",
            "next backup": moment(server["next_scheduled_backup"]),
            "last check": _last_check(server["last_check"]),
        },
    )


def _of(view: View | None, name: str) -> str:
    return told(view[name]) if view else "-"


def _last_wal(server: View) -> str:
    segment, when = server["last_archived_wal"], server["last_archived_at"]
    return f"{segment}, {moment(when)}" if segment and when else told(segment)


def _of_late(server: View) -> list[str]:
    return [
        f"{server[f'wals_last_{past}']} in the last {past}, "
        f"{size(server[f'wal_bytes_last_{past}'])}"
        for past in ("hour", "day")
    ]


def _gaps(gaps: list[View]) -> str | list[str]:
    return [f"{gap_words(gap)} ({gap['state']})" for gap in gaps] or "none"


def _last_check(check: View | None) -> str | list[str]:
    if check is None:
        return "none since barmand started"
    lines = [f"{check['level']}, {moment(check['at'])}"]
    for level, names in (("FAILED", check["failed"]), ("WARNING", check["warnings"])):
        lines += [f"{level}: {', '.join(names)}"] if names else []
    return lines


def _backup_now(backup: View | None) -> str:
    if backup is None:
        return "none"
    now = progress_words(backup["progress"]) if backup["progress"] else backup["status"]
    return f"{backup['backup_id']} {now}"


def _receiver(receiver: View | None) -> str | list[str]:
    if receiver is None:
        return "none"
    slot = f", slot {receiver['slot_name']}" if receiver["slot_name"] else ""
    lines = [f"{receiver['state']}{slot}, restarted {receiver['restarts']} times"]
    if receiver["next_attempt_seconds"] is not None:
        lines.append(f"next attempt in {span(receiver['next_attempt_seconds'])}")
    if receiver["last_error"]:
        lines += receiver["last_error"].splitlines()
    return lines
