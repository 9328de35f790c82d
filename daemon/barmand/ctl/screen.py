"""Where words go: answers to stdout, complaints to stderr; in colour only on a terminal."""

from __future__ import annotations

import os
import sys

from barmand.ctl import plain
from barmand.ctl.words import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    from barmand.ctl.pages import Page

PROGRAM = "barmanctl"


def print_document(document: dict[str, Any]) -> None:
    """JSON that a person may read, whatever the terminal can show."""
    import json  # noqa: PLC0415 - pages and sentences need none of it

    sys.stdout.write(json.dumps(document, indent=2) + "\n")


class Screen:
    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in (
            "dumb",
            "unknown",
        )
        self._progress: Any = None

    def say(self, line: str) -> None:
        self.settle()
        sys.stdout.write(safe(line) + "\n")
        sys.stdout.flush()

    def pour(self, lines: Iterator[str]) -> None:
        """Very many lines."""
        self.settle()
        for line in lines:
            sys.stdout.write(safe(line) + "\n")

    def show(self, page: Page) -> None:
        self.settle()
        if self._is_terminal:
            from barmand.ctl import fancy  # noqa: PLC0415 - heavy, and only for who looks

            fancy.draw(page)
        else:
            for line in plain.lines(page):
                sys.stdout.write(line + "\n")

    def complain(self, message: str, hint: str | None = None) -> None:
        self.settle()
        complain(message, hint)

    def update(self, work: str, progress: dict[str, Any]) -> None:
        if self._progress is None:
            self._progress = self._new_progress()
        self._progress.update(work, progress)

    def settle(self) -> None:
        """No bar stands where words shall go, or where a shell's prompt will be."""
        if self._progress is not None:
            self._progress.hide()

    def _new_progress(self) -> Any:
        if not self._is_terminal:
            return plain.ProgressLines(self.say)
        from barmand.ctl import fancy  # noqa: PLC0415 - heavy, and only for who looks

        return fancy.Bar()


def complain(message: str, hint: str | None = None) -> None:
    """To stderr, several lines where there are; who closed it does not want to hear."""
    lines = _indented(f"{PROGRAM}: {message}", "    ")
    if hint:
        lines += _indented(f"  hint: {hint}", "        ")
    try:
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
    except OSError:
        abandon(sys.stderr)


def _indented(text: str, margin: str) -> list[str]:
    first, *rest = text.splitlines()
    return [safe(first), *(margin + safe(line) for line in rest)]


def abandon(stream: TextIO) -> None:
    """What is still in its buffer shall not fail again, at the very end, with an exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
