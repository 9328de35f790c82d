"""What stays and what goes, as it looks to a person."""

from __future__ import annotations

from barmand.ctl.words import minute, moment, size, span, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.pages import Page, View


def kept(result: View) -> list[str]:
    name = f"{result['server']} {result['backup_id']}"
    if result["target"] is None:
        lines = [f"{name}: released" if result["changed"] else f"{name}: not kept"]
    else:
        until = f", until {moment(result['until'])}" if result["until"] else ""
        reason = f": {result['reason']}" if result["reason"] else ""
        by = f" by {result['kept_by']}" if result["kept_by"] else ""
        lines = [f"{name}: kept {result['target']}{by}{until}{reason}"]
    return lines + ([f"warning: {result['warning']}"] if result["warning"] else [])


def clock_trusted(result: View) -> list[str]:
    return [f"the clock is believed: it is {moment(result['at'])}"]


def retention(result: View) -> Page:
    from barmand.ctl.pages import Table  # noqa: PLC0415 - sentences need no page

    page: Page = [_rules(result)]
    if result["hindrance"]:
        page.append(f"Nothing is deleted now: {result['hindrance']}")
    if not result["backups"]:
        return [*page, "no backups"]
    headings = "ID | NAME | STATUS | RETENTION | UNTIL | WHY"
    rows = [
        [
            backup["backup_id"],
            told(backup["name"]),
            backup["status"],
            backup["retention"],
            minute(backup["until"]),
            backup["why"],
        ]
        for backup in result["backups"]
    ]
    page.append(Table(headings, rows))
    if result["forecast"] is not None:
        when = "Once that is over, the next pass" if result["hindrance"] else "The next pass"
        page += _forecast(result["forecast"], when)
    return page


def _rules(result: View) -> str:
    policy = result["policy"] or "no retention_policy: nothing that is DONE goes by itself"
    age = result["failed_backup_maximum_age_seconds"]
    failed = "failed backups stay" if age is None else f"failed backups go after {_age(age)}"
    least = f"minimum_redundancy {result['minimum_redundancy']}"
    return f"{result['server']}: {policy}; {least}; {failed}"


def _age(seconds: float) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{days:.0f} day{'s' * (days != 1)}" if days and not rest else span(seconds)


def _forecast(forecast: View, who: str) -> list[str]:
    ids, wals = forecast["backup_ids"], forecast["wals"]
    if not ids:
        return [f"{who} deletes nothing."]
    wal = f"{wals} WAL segment{'s' * (wals != 1)} ({size(forecast['wal_bytes'])})"
    return [
        f"{who} deletes {', '.join(ids)}.",
        f"That frees {size(forecast['size_bytes'])} of backups, and {wal}.",
    ]


SENTENCES = {
    "keep": kept,
    "trust-clock": clock_trusted,
}

PAGES = {
    "retention": retention,
}
