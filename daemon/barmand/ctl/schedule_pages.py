"""What the daemon does by itself, as a person sees it."""

from __future__ import annotations

from barmand.ctl.words import minute, moment, span, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.pages import Page, View

MOST_LETTERS = 70
MOST_SERVERS = 3
"""With more of them, one line a server and schedule; chores are told of one to three."""


def schedule(result: View) -> Page:
    from barmand.ctl.pages import Table  # noqa: PLC0415 - `cron` needs no page

    servers = result["servers"]
    if len(servers) > MOST_SERVERS:
        return [
            Table(
                "SERVER | SCHEDULE | LAST DUE | RESULT | >TOOK | NEXT",
                [row for server in servers for row in _rows(server)],
            ),
            "The chores are shown with the names of servers: `barmanctl schedule SERVER`.",
        ]
    page: Page = []
    for server in servers:
        rows = [row[1:] for row in _rows(server)]
        page.append(Table("SCHEDULE | LAST DUE | RESULT | >TOOK | NEXT", rows, _title(server)))
        if server["chores"]:
            page.append(_chores(server["chores"], f"{server['server']}: chores"))
    return [*page, _chores(result["chores"], "barmand: chores of its own")]


def _title(server: View) -> str:
    match server["state"]:
        case "inactive":
            return f"{server['server']}: paused (active = false): nothing rings"
        case "broken":
            return (
                f"{server['server']}: put aside, its settings are wrong: `barmanctl status` tells"
            )
        case _:
            grace = span(server["grace_seconds"])
            return f"{server['server']}: backups (missed ones are made up for {grace})"


def _rows(server: View) -> list[list[str]]:
    paused = {"active": "-", "inactive": "paused", "broken": "put aside"}[server["state"]]
    if not server["schedules"]:
        return [[server["server"], "none", "-", "-", "-", paused]]
    return [
        [
            server["server"],
            line["schedule"],
            minute(line["last"]["due"]) if line["last"] else "-",
            _result(line["last"]),
            span(line["last"]["seconds"]) if line["last"] else "-",
            minute(line["next_run"]) if line["next_run"] else paused,
        ]
        for line in server["schedules"]
    ]


def _result(run: View | None) -> str:
    if run is None:
        return "never ran"
    if run["backup_id"] is None:
        return f"{run['outcome']}: {_short(run['why'] or '')}"
    how = {"started": "", "made up": f" (made up {minute(run['at'])})"}
    words = f"{run['backup_id']} {run['status'] or 'deleted'}"
    return words + how.get(run["outcome"], f" ({run['outcome']} {run['why']})") + _error(run)


def _error(run: View) -> str:
    """Its beginning: `show-backup` tells all."""
    return f": {_short(run['error'])}" if run["error"] else ""


def _short(text: str) -> str:
    line = text.splitlines()[0] if text else text
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 1]}…"


def _chores(chores: list[View], title: str) -> Any:
    from barmand.ctl.pages import Table  # noqa: PLC0415 - `cron` needs no page

    rows = [
        [
            chore["chore"],
            span(chore["every_seconds"]),
            moment(chore["last"]["began"]) if chore["last"] else "-",
            _chore_result(chore),
            span(chore["last"]["seconds"]) if chore["last"] else "-",
            moment(chore["next_run"]),
        ]
        for chore in chores
    ]
    return Table("CHORE | >EVERY | LAST RUN | RESULT | >TOOK | NEXT", rows, title)


def _chore_result(chore: View) -> str:
    if chore["running_since"]:
        return f"running since {moment(chore['running_since'])}"
    last = chore["last"]
    if last is None:
        return "not yet"
    return f"{last['result']}: {_short(last['why'])}" if last["why"] else told(last["result"])


def cron(result: View) -> list[str]:
    ended, running = result["ended"], result["running"]
    failed = [run for run in ended if run["result"] == "failed"]
    verdict = f"{len(failed)} failed" if failed else "none failed"
    lines = [f"{len(ended)} chores done, {verdict}"]
    lines += [f"{_name(run)}: failed: {run['why']}" for run in failed]
    return lines + [f"{name}: still running" for name in running]


def _name(run: View) -> str:
    return f"{run['chore']} {run['server']}" if run["server"] else str(run["chore"])


SENTENCES = {"cron": cron}
PAGES = {"schedule": schedule}
