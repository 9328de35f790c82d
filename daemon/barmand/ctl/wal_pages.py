"""What WAL looks like to a person: sentences and pages, by command."""

from __future__ import annotations

from barmand.ctl.words import gap_words, minute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.pages import Page, View


def archived(result: View) -> list[str]:
    return [f"{result['archived']} segments of {result['server']} archived"]


def acknowledged(result: View) -> list[str]:
    gap = result["gap"]
    return [f"gap {gap['id']} ({gap_words(gap)}) acknowledged: {gap['reason']}"]


def rebuilt(result: View) -> list[str]:
    server = result["server"]
    found = f"{result['adopted_backups']} backups and {result['adopted_wals']} WAL segments"
    return [
        f"{server}: {found} were on disk and not in the catalogue",
        f"{server}: {result['forgotten_backups']} backups were in the catalogue and gone from disk",
        f"{server}: {result['lost_wals']} WAL segments were in the catalogue and not whole on disk",
    ]


def gaps(result: View) -> Page:
    from barmand.ctl.pages import Table  # noqa: PLC0415 - sentences need no page

    if not result["gaps"]:
        return [f"{result['server']}: no WAL is missing"]
    headings = "GAP | STATE | FIRST | LAST | >SEGMENTS | FOUND | WHY"
    rows = [
        [
            str(gap["id"]),
            gap["state"],
            gap["first_wal"],
            gap["last_wal"],
            str(gap["segments"]),
            minute(gap["found_at"]),
            gap["why"] + (f"; {gap['acknowledged_by']}: {gap['reason']}" if gap["reason"] else ""),
        ]
        for gap in result["gaps"]
    ]
    return [Table(headings, rows, result["server"])]


SENTENCES = {
    "acknowledge-gap": acknowledged,
    "archive-wal": archived,
    "rebuild": rebuilt,
}

PAGES = {
    "wal-gaps": gaps,
}
