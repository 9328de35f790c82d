"""What `systemctl status` shows of the daemon: one line."""

from collections.abc import Iterable

from barmand.model.progress import Progress
from barmand.service.job import Key


def status_line(under_way: Iterable[tuple[Key, Progress]], servers: int, queued: int) -> str:
    told = [
        f"{key.deed} {key.server} {key.backup_id}: {progress.phase.value}"
        + (
            f" {progress.bytes_done * 100 // progress.bytes_total}%"
            if progress.bytes_done is not None and progress.bytes_total
            else ""
        )
        for key, progress in under_way
    ]
    told += [f"{queued} queued"] if queued else []
    return "; ".join(told) or f"{servers} servers, nothing under way"
