"""The answer in words, tables and a progress bar: what a person sees of each command."""

from __future__ import annotations

from barmand.ctl import (
    hook_pages,
    keep_pages,
    process_pages,
    proof_pages,
    reload_page,
    schedule_pages,
    stream_pages,
    wal_pages,
)
from barmand.ctl.file_list import FileList
from barmand.ctl.screen import Screen, print_document
from barmand.ctl.story import Story
from barmand.ctl.watching import Watch
from barmand.ctl.words import size, span, wals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.asked import Asked
    from barmand.ctl.pages import Page
    from barmand.model.errors import Failure

    Message = dict[str, Any]


class ConsoleView:
    def __init__(self, asked: Asked) -> None:
        self._method = asked.method
        self._is_minimal: bool = getattr(asked.options, "minimal", False)
        self._watch = Watch(asked.method, asked.params)
        self._screen = Screen()
        self._story = Story(self._screen)
        self._files = FileList()

    def note(self, note: Message) -> None:
        if note["method"] == "files":
            self._files.add(note["params"]["paths"])
            return
        self._watch.heed(note)
        self._story.tell(note)

    def result(self, result: Message) -> int:
        if self._method == "backup":
            self._story.end(result)
        elif self._method == "verify-backup":
            self._none_verified(result)
        elif self._method == "diagnose":
            print_document(result["diagnosis"])
        elif self._is_minimal and self._method in _NAMES:
            self._screen.pour(iter(_NAMES[self._method](result)))
        elif self._method == "list-files":
            self._screen.pour(self._files.paths())
        elif self._method in _SENTENCES:
            for line in _SENTENCES[self._method](result):
                self._screen.say(line)
        else:
            self._screen.show(_page(self._method, result))
        return int(result.get("exit_code", 0))

    def _none_verified(self, result: Message) -> None:
        """Each was told when it came."""
        if not result["backups"]:
            self._screen.say("no backups that could be verified")

    def failed(self, failure: Failure) -> int:
        self._files.discard()
        self._screen.complain(failure.message, failure.hint)
        return failure.exit_code

    def interrupted(self) -> None:
        self._files.discard()
        self._screen.settle()
        if farewell := self._watch.farewell():
            self._screen.complain(*farewell)


def _page(method: str, result: Message) -> Page:
    from barmand.ctl import check_pages, pages, server_pages  # noqa: PLC0415 - a ping draws no page

    return {
        "list-backups": pages.backup_list,
        "show-backup": pages.one_backup,
        "check": check_pages.checks,
        "list-servers": server_pages.server_list,
        "show-servers": server_pages.server_details,
        "status": server_pages.status,
        **keep_pages.PAGES,
        **wal_pages.PAGES,
        **schedule_pages.PAGES,
        **stream_pages.PAGES,
        **process_pages.PAGES,
        **hook_pages.PAGES,
    }[method](result)


def _ping(pong: Message) -> list[str]:
    return [f"barmand {pong['version']} answers (pid {pong['pid']}, protocol {pong['protocol']})"]


def _backup(reply: Message) -> list[str]:
    backup = reply["backup"]
    line = f"{backup['server']} {backup['backup_id']}: {backup['status']}"
    if backup["missing_wals"]:
        missing = wals(backup["missing_wals"], backup["missing_wal_count"])
        was_whole = backup["status"] == "DONE"
        line += (
            f" once, but WAL is missing now: {missing}" if was_whole else f", missing WAL {missing}"
        )
    if backup["error"]:
        line += f": {backup['error']['message']}"
    return [line]


def _deleted(deleted: Message) -> list[str]:
    segments = f"{deleted['removed_wals']} WAL segments went with it"
    return [f"deleted backup {deleted['backup_id']} of {deleted['server']}; {segments}"]


def _restored(restored: Message) -> list[str]:
    what = f"{size(restored['size_bytes'])} and {restored['wal_segments']} WAL segments"
    return [
        f"restored {restored['server']} {restored['backup_id']} to {restored['destination']}",
        f"{what} in {span(restored['seconds'])}; recovery goes to: {restored['target']}",
    ]


_NAMES = {
    "list-backups": lambda result: [each["backup_id"] for each in result["backups"]],
    "list-servers": lambda result: [each["server"] for each in result["servers"]],
}
"""With --minimal; `replication-status` has its own."""

_SENTENCES = {
    "ping": _ping,
    "reload": reload_page.lines,
    "cancel": _backup,
    "check-backup": _backup,
    "delete": _deleted,
    "restore": _restored,
    **keep_pages.SENTENCES,
    **proof_pages.SENTENCES,
    **wal_pages.SENTENCES,
    **schedule_pages.SENTENCES,
    **stream_pages.SENTENCES,
    **process_pages.SENTENCES,
}
