"""What a person is told while work goes on: each thing once, when it happens."""

from __future__ import annotations

from barmand.ctl.proof_pages import verified
from barmand.ctl.words import progress_words, size, span, wals
from barmand.model.errors import WaitTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from barmand.ctl.screen import Screen

    Message = dict[str, Any]


class Story:
    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._statuses: dict[tuple[str, str], str] = {}
        self._problems: set[tuple[str, str]] = set()

    def tell(self, note: Message) -> None:
        told = note["params"]
        match note["method"]:
            case "progress":
                self._screen.update(f"{told['server']} {told['backup_id']}", told["progress"])
            case "backup":
                self._tell_backup(told["backup"])
            case "problem":
                self._tell_problem(told["server"], told["error"])
            case "verification":
                who = f"{told['server']} {told['backup_id']}"
                for line in verified(who, told["verification"]):
                    self._screen.say(line)
            case "warning":
                about = f"{told['server']}: " if told["server"] else ""
                self._screen.complain(f"warning: {about}{told['message']}")
            case _:
                pass  # a newer daemon has more to say than we can show

    def end(self, result: Message) -> None:
        """What was not told yet, of a `backup`'s result."""
        for backup in result["backups"]:
            self._tell_backup(backup)
        for problem in result["problems"]:
            self._tell_problem(problem["server"], problem["error"])
        codes = [problem["error"]["code"] for problem in result["problems"]]
        if result["exit_code"] == WaitTimeout.exit_code and WaitTimeout.__name__ not in codes:
            self._screen.complain(
                "the wait ended; the backup goes on", "`barmanctl list-backups` tells how far."
            )

    def _tell_backup(self, backup: Message) -> None:
        key = (backup["server"], backup["backup_id"])
        before, now = self._statuses.get(key), backup["status"]
        if now == before:
            return
        self._statuses[key] = now
        who = " ".join(key)
        if now == "FAILED":
            self._tell_failure(who, backup["error"])
            return
        if now == "QUEUED" and (backup["progress"] or {}).get("queued"):
            self._screen.say(f"{who}: {progress_words(backup['progress'])}")
            return
        if now in ("WAITING_FOR_WALS", "DONE") and before != "WAITING_FOR_WALS":
            self._screen.say(f"{who}: {_copied(backup)}")
        if now == "WAITING_FOR_WALS":
            missing = wals(backup["missing_wals"], backup["missing_wal_count"])
            words = f": {missing}" if backup["missing_wal_count"] else ""
            self._screen.say(f"{who}: waiting for WAL{words}")
        else:
            self._screen.say(f"{who}: {now if now == 'DONE' else now.lower()}")

    def _tell_failure(self, who: str, error: Message | None) -> None:
        if error is None:
            self._screen.complain(f"{who}: FAILED")
        else:
            self._screen.complain(f"{who}: FAILED: {error['message']}", error["hint"])

    def _tell_problem(self, server: str, error: Message) -> None:
        key = (server, error["message"])
        if key not in self._problems:
            self._problems.add(key)
            self._screen.complain(f"{server}: {error['message']}", error["hint"])


def _copied(backup: Message) -> str:
    words = f"copied {size(backup['size_bytes'])} in {span(backup['copy_seconds'])}"
    if backup["begin_lsn"] and backup["end_lsn"]:
        words += f", LSN {backup['begin_lsn']} to {backup['end_lsn']}"
    return words
