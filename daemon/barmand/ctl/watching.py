"""Which backups are being followed, and what to tell somebody who stops following."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GO_ON = ("verify-backup", "generate-manifest")
ENDED = frozenset({"DONE", "FAILED"})


class Watch:
    def __init__(self, method: str, params: dict[str, Any]) -> None:
        self._method = method
        self._is_backup = method == "backup"
        self._servers: list[str] = params.get("servers", []) if self._is_backup else []
        self._ids: dict[str, str] = {}
        self._ended: set[str] = set()

    def heed(self, note: dict[str, Any]) -> None:
        told = note["params"]
        if note["method"] == "progress":
            self._ids[told["server"]] = told["backup_id"]
        elif note["method"] == "backup":
            backup = told["backup"]
            self._ids[backup["server"]] = backup["backup_id"]
            if backup["status"] in ENDED:
                self._ended.add(backup["server"])
        elif note["method"] == "problem":
            self._ended.add(told["server"])

    def farewell(self) -> tuple[str, str] | None:
        """Message and hint for Ctrl-C; None where nothing goes on without us that we know of."""
        if self._method in GO_ON:
            words = f"stopped watching; {self._method} goes on"
            return words, "stop it: `barmanctl cancel SERVER BACKUP`; what it comes to is logged"
        asked = [server for server in self._servers if server != "all"]
        running = [
            server for server in dict.fromkeys((*asked, *self._ids)) if server not in self._ended
        ]
        if not self._is_backup or (asked and not running):
            return None
        hints = [self._hint(server) for server in running]
        return "stopped watching; the backup goes on", "\n".join(hints) or (
            "watch it: `barmanctl status`; cancel it: `barmanctl cancel SERVER`"
        )

    def _hint(self, server: str) -> str:
        watch = f"`barmanctl status {server}`"
        if server in self._ids:
            watch += f" or `barmanctl show-backup {server} {self._ids[server]}`"
        return f"watch it: {watch}; cancel it: `barmanctl cancel {server}`"
