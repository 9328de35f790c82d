"""The answer, as it was asked for: one JSON document, or words for people."""

from __future__ import annotations

import json
import sys

from barmand.ctl.file_list import FileList
from barmand.ctl.screen import complain
from barmand.ctl.watching import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from barmand.ctl.asked import Asked
    from barmand.model.errors import Failure

    class View(Protocol):
        """`result` and `failed` return the exit code."""

        def note(self, note: dict[str, Any]) -> None: ...
        def result(self, result: dict[str, Any]) -> int: ...
        def failed(self, failure: Failure) -> int: ...
        def interrupted(self) -> None: ...


FORMAT_VERSION = 1
SINGLE = frozenset({"show-backup", "check-backup", "cancel"})
"""Commands about one backup: it is the document, not a member of it."""


def view(asked: Asked) -> View:
    if asked.format == "json":
        return JsonView(asked)
    if asked.format == "nagios":
        from barmand.ctl.nagios import NagiosView  # noqa: PLC0415 - of one command only

        return NagiosView()
    from barmand.ctl.console import ConsoleView  # noqa: PLC0415 - scripts need none of it

    return ConsoleView(asked)


class JsonView:
    """Notifications are for people; stdout gets the one document at the end."""

    def __init__(self, asked: Asked) -> None:
        self._method = asked.method
        self._watch = Watch(asked.method, asked.params)
        self._files = FileList()

    def note(self, note: dict[str, Any]) -> None:
        if note["method"] == "files":
            self._files.add(note["params"]["paths"])
        else:
            self._watch.heed(note)

    def result(self, result: dict[str, Any]) -> int:
        if self._method == "list-files":
            self._files.print_document(result)
            return 0
        if self._method in SINGLE:
            result = {"format": result["format"], **result["backup"]}
        _print(result)
        return int(result.get("exit_code", 0))

    def failed(self, failure: Failure) -> int:
        self._files.discard()
        return print_failure(failure)

    def interrupted(self) -> None:
        self._files.discard()
        if farewell := self._watch.farewell():
            complain(*farewell)


def print_failure(failure: Failure) -> int:
    error = {
        "code": failure.kind,
        "exit_code": failure.exit_code,
        "message": failure.message,
        "hint": failure.hint,
    }
    _print({"format": FORMAT_VERSION, "error": error})
    return failure.exit_code


def _print(document: dict[str, Any]) -> None:
    # ASCII only: any terminal, pipe or locale can carry it.
    sys.stdout.write(json.dumps(document) + "\n")
