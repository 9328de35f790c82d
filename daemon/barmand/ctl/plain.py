"""Pages as aligned plain text: for pipes, files and terminals that can do no more."""

from __future__ import annotations

from time import monotonic

from barmand.ctl.pages import Facts, Table
from barmand.ctl.words import progress_words, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from barmand.ctl.pages import Page

STEP_PERCENT = 10
LEAST_SECONDS = 1
MOST_SECONDS = 60
NEXT_IN_QUEUE = 10


def lines(page: Page) -> Iterator[str]:
    for number, part in enumerate(page):
        if number and not isinstance(part, str):
            yield ""
        if isinstance(part, Table):
            yield from _table_lines(part)
        elif isinstance(part, Facts):
            yield from _fact_lines(part)
        else:
            yield safe(part)


def _table_lines(table: Table) -> Iterator[str]:
    if table.title:
        yield safe(table.title)
    headings = [heading.removeprefix(">") for heading in table.headings]
    rows = [headings, *([safe(cell) for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = [heading.startswith(">") for heading in table.headings]
    for row in rows:
        cells = zip(row, widths, numeric, strict=True)
        aligned = (
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells
        )
        yield "  ".join(aligned).rstrip()


def _fact_lines(facts: Facts) -> Iterator[str]:
    yield safe(facts.title)
    width = max(len(label) for label in facts.facts) + len(":  ")
    for label, value in facts.facts.items():
        start = f"{label}:"
        for line in [value] if isinstance(value, str) else value:
            yield f"  {start:<{width}}{safe(line)}"
            start = ""


class ProgressLines:
    """A line when the phase changes, when 10 % more are done, and at the latest every minute.

    What waits in the queue has been told so; it is told again each minute once it is among the
    next.
    """

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = monotonic) -> None:
        self._say = say
        self._now = now
        self._told: dict[str, tuple[str, int, float]] = {}

    def update(self, work: str, progress: dict[str, Any]) -> None:
        phase, queued, now = progress["phase"], progress.get("queued"), self._now()
        done, total = progress["bytes_done"] or 0, progress["bytes_total"]
        percent = 100 * done // total if total else 0
        if queued and (queued["position"] > NEXT_IN_QUEUE or work not in self._told):
            self._told.setdefault(work, (phase, 0, now))
            return
        told, percent_told, at = self._told.get(work, ("", 0, 0.0))
        passed = now - at
        is_due = passed >= MOST_SECONDS or (
            percent >= percent_told + STEP_PERCENT and passed >= LEAST_SECONDS
        )
        if phase != told or is_due:
            self._told[work] = (phase, percent, now)
            self._say(f"{work}: {progress_words(progress)}")

    def hide(self) -> None:
        """Lines stay where they are."""
