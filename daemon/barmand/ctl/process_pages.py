"""What is being worked on, for a person."""

from __future__ import annotations

from barmand.ctl.words import moment, progress_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.pages import Page

    Message = dict[str, Any]


def processes(result: Message) -> Page:
    from barmand.ctl.pages import Table  # noqa: PLC0415 - a sentence needs no page

    if not result["processes"]:
        return [f"nothing is being worked on for {result['server']}"]
    rows = [[each["id"], moment(each["since"]), _phase(each)] for each in result["processes"]]
    return [Table("TASK | SINCE | PHASE", rows)]


def _phase(process: Message) -> str:
    progress = process["progress"]
    return progress_words(progress) if progress else str(process["phase"])


def terminated(result: Message) -> list[str]:
    process = result["process"]["id"]
    words = "has ended" if result["ended"] else "has been told to end, and is coming to it"
    told = [f"{result['server']}: {process} {words}"]
    return told if result["hint"] is None else [*told, result["hint"]]


PAGES = {"list-processes": processes}
SENTENCES = {"terminate-process": terminated}
