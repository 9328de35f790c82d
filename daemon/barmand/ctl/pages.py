"""What backups look like to a person, before it is known whether in plain text or in colour."""

from __future__ import annotations

from barmand.ctl import proof_pages
from barmand.ctl.words import (
    gap_words,
    minute,
    moment,
    ordinal,
    progress_words,
    size,
    size_exactly,
    span,
    told,
    wals,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    View = dict[str, Any]
    Page = list["str | Table | Facts"]


MOST_BLOCKS = 10


class Table:
    """Rows under headings. A heading that begins with ">" stands for a column of numbers."""

    def __init__(self, headings: str, rows: list[list[str]], title: str = "") -> None:
        self.title = title
        self.headings = [heading.strip() for heading in headings.split("|")]
        self.rows = rows


class Facts:
    """Labels and what is to say of each; a list is several lines."""

    def __init__(self, title: str, facts: dict[str, str | list[str]]) -> None:
        self.title = title
        self.facts = facts


def backup_list(result: View) -> Page:
    if not result["backups"]:
        return ["no backups"]
    headings = "SERVER | ID | NAME | STATUS | RETENTION | END | >SIZE | >WAL MISSING | VERIFIED"
    rows = [
        [
            backup["server"],
            backup["backup_id"],
            told(backup["name"]),
            _status(backup),
            told(backup["retention"]),
            minute(backup["end_time"]),
            size(backup["size_bytes"]),
            told(backup["missing_wal_count"]),
            _verified(backup),
        ]
        for backup in result["backups"]
    ]
    return [Table(headings, rows)]


def _marks(backup: View) -> str:
    """What must not be overlooked in a list."""
    if backup["is_on_disk"] is False:
        return " (NOT ON DISK)"
    verification = backup["verification"]
    if verification is not None and verification["verdict"] == proof_pages.DAMAGED:
        return " (DAMAGED)"
    return " (bad pages)" if backup["damages"] else ""


def _verified(backup: View) -> str:
    verification = backup["verification"]
    return moment(verification["verified_at"], "%Y-%m-%d") if verification else "-"


def _status(backup: View) -> str:
    queued = (backup["progress"] or {}).get("queued")
    if backup["status"] == "QUEUED" and queued:
        return f"QUEUED ({ordinal(queued['position'])} of {queued['count']})"
    return str(backup["status"]) + _marks(backup)


def one_backup(result: View) -> Page:
    backup = result["backup"]
    page: Page = [
        _identity(backup),
        _times(backup),
        _positions(backup),
        _sizes(backup),
        _cluster(backup),
        Facts("Verification", proof_pages.of_backup(backup["verification"])),
    ]
    if backup["damages"]:
        page.append(_damages(backup["damages"]))
    if backup["hook_troubles"]:
        page.append(Facts("Hooks that did not go well", {"runs": backup["hook_troubles"]}))
    if backup["progress"]:
        page.append(Facts("Progress", {"now": progress_words(backup["progress"])}))
    if backup["error"]:
        page.append(_error(backup["error"]))
    return page


def _identity(backup: View) -> Facts:
    return Facts(
        "Backup",
        {
            "server": backup["server"],
            "id": backup["backup_id"],
            "name": told(backup["name"]),
            "status": backup["status"],
            "method": backup["method"],
            "parent": told(backup["parent_backup_id"]),
            "kept": _kept(backup),
            "retention": _retention(backup),
            "asked by": told(backup["requester"]),
        },
    )


def _kept(backup: View) -> str:
    until = f", until {moment(backup['keep_until'])}" if backup["keep_until"] else ""
    reason = f": {backup['keep_reason']}" if backup["keep_reason"] else ""
    return f"{told(backup['keep'])}{until}{reason}"


def _retention(backup: View) -> str:
    why = f" ({backup['retention_why']})" if backup["retention_why"] else ""
    return f"{told(backup['retention'])}{why}"


def _times(backup: View) -> Facts:
    return Facts(
        "Times",
        {
            "queued": moment(backup["queued_at"]),
            "started": moment(backup["started_at"]),
            "begin": moment(backup["begin_time"]),
            "end": moment(backup["end_time"]),
            "copied": moment(backup["copied_at"]),
            "settled": moment(backup["ended_at"]),
            "copy took": span(backup["copy_seconds"]),
        },
    )


def _positions(backup: View) -> Facts:
    return Facts(
        "WAL",
        {
            "timeline": told(backup["timeline"]),
            "begin": _position(backup["begin_lsn"], backup["begin_wal"]),
            "end": _position(backup["end_lsn"], backup["end_wal"]),
            "missing": wals(backup["missing_wals"], backup["missing_wal_count"]),
            "gaps behind": [f"{gap_words(gap)} ({gap['state']})" for gap in backup["wal_gaps"]]
            or "none",
        },
    )


def _position(lsn: str | None, wal: str | None) -> str:
    return f"{told(lsn)} in {wal}" if wal else told(lsn)


def _sizes(backup: View) -> Facts:
    return Facts(
        "Size",
        {
            "backup": size_exactly(backup["size_bytes"]),
            "on disk": size_exactly(backup["deduplicated_size_bytes"]),
            "cluster": size_exactly(backup["cluster_size_bytes"]),
            "WAL segment": size(backup["wal_segment_size_bytes"]),
        },
    )


def _cluster(backup: View) -> Facts:
    spaces = [
        f"{space['name']} (oid {space['oid']}) at {space['location']}"
        for space in backup["tablespaces"]
    ]
    return Facts(
        "PostgreSQL",
        {
            "version": told(backup["postgres_release"]),
            "system id": told(backup["system_id"]),
            "data folder": told(backup["pgdata"]),
            "checksums": told(backup["data_checksums"]),
            "tablespaces": spaces or "none",
        },
    )


def _damages(damages: list[View]) -> Facts:
    """Bad pages of the cluster itself, by file."""
    lines = [
        f"{each['path']}: block {', '.join(str(block) for block in each['blocks'][:MOST_BLOCKS])}"
        + (f" and {len(each['blocks']) - MOST_BLOCKS} more" * (len(each["blocks"]) > MOST_BLOCKS))
        for each in damages
    ]
    return Facts("Bad pages in the cluster", {"files": lines})


def _error(error: View) -> Facts:
    said = {"code": error["code"], "reason": error["message"].splitlines()}
    return Facts("Error", said | {"hint": (error["hint"] or "-").splitlines()})
