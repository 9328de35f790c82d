"""Pages and the progress bar in colour, for somebody who looks (rich's door)."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table as Grid
from rich.text import Text

from barmand.ctl.pages import Facts, Table
from barmand.ctl.plain import NEXT_IN_QUEUE
from barmand.ctl.words import progress_words, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.pages import Page

COLOURED = frozenset({"STATUS", "STATE", "RESULT", "status", "state"})
"""Columns and labels whose words have a colour; elsewhere the same words are somebody's names."""

COLOURS = {
    "DONE": "green",
    "active": "green",
    "OK": "green",
    "WARNING": "yellow",
    "WAITING_FOR_WALS": "yellow",
    "STARTED": "cyan",
    "QUEUED": "cyan",
    "DELETING": "magenta",
    "inactive": "dim",
    "FAILED": "bold red",
    "broken": "bold red",
}


def console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def draw(page: Page) -> None:
    screen = console()
    for part in page:
        if isinstance(part, Table):
            screen.print(_grid(part))
        elif isinstance(part, Facts):
            screen.print(_fact_grid(part))
        else:
            screen.print(Text(safe(part)), soft_wrap=True)


def _grid(table: Table) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    grid.title = Text(safe(table.title), style="bold") if table.title else None
    for heading in table.headings:
        is_number = heading.startswith(">")
        name = heading.removeprefix(">")
        grid.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in table.rows:
        cells = zip(table.headings, row, strict=True)
        grid.add_row(*(_cell(heading, cell) for heading, cell in cells))
    return grid


def _fact_grid(facts: Facts) -> Grid:
    grid = Grid(box=None, show_header=False, title_justify="left", padding=(0, 1))
    grid.title = Text(safe(facts.title), style="bold")
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts.facts.items():
        lines = [value] if isinstance(value, str) else value
        grid.add_row(label, Text("\n").join(_cell(label, line) for line in lines))
    return grid


def _cell(place: str, text: str) -> Text:
    return Text(safe(text), style=COLOURS.get(text, "") if place in COLOURED else "")


class Bar:
    """Live lines at the foot of the terminal, one for each work; `hide` takes them away until the
    next updates. Of the queue, only those that are next have one.

    It is drawn by whoever updates it, and no thread of rich's: a terminal that vanishes is then an
    ordinary error in the one place that expects it.
    """

    def __init__(self) -> None:
        self._live: Progress | None = None
        self._lines: dict[str, TaskID] = {}

    def update(self, work: str, progress: dict[str, Any]) -> None:
        queued = progress.get("queued")
        if queued and queued["position"] > NEXT_IN_QUEUE:
            return
        live = self._live or self._begin()
        if work not in self._lines:
            self._lines[work] = live.add_task("", words="")
        total = progress["bytes_total"]
        live.update(
            self._lines[work],
            description=safe(work),
            completed=min(progress["bytes_done"] or 0, total or 0),
            total=total,
            words=safe(progress_words(progress)),
        )
        live.refresh()

    def hide(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            self._lines.clear()
            live.stop()

    def _begin(self) -> Progress:
        live = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[words]}", markup=False),
            console=console(),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        self._live = live
        return live
