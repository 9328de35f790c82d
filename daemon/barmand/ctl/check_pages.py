"""What checks look like to a person."""

from __future__ import annotations

from barmand.ctl.pages import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.pages import Page, View

HEADINGS = "CHECK | RESULT | HINT"
FAILED, WARNING = "FAILED", "WARNING"


def checks(result: View) -> Page:
    page: Page = [
        Table(HEADINGS, _rows(server["findings"]), f"{server['server']}: {_verdict(server)}")
        for server in result["servers"]
    ]
    if result["daemon"]:
        level = worst(result["daemon"])
        page.append(Table(HEADINGS, _rows(result["daemon"]), f"barmand itself: {level}"))
    return page


def worst(findings: list[View]) -> str:
    levels = {finding["level"] for finding in findings}
    return FAILED if FAILED in levels else WARNING if WARNING in levels else "OK"


def _rows(findings: list[View]) -> list[list[str]]:
    return [[finding["name"], finding["level"], finding["hint"]] for finding in findings]


def _verdict(server: View) -> str:
    if any(finding["keeps_from_backup"] for finding in server["findings"]):
        return f"{server['level']}, no backup can be taken"
    return f"{server['level']}, a backup can be taken" if not server["ok"] else server["level"]
