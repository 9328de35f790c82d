"""Where paths lead through links, asked of disks that may never answer."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

ANSWER_SECONDS = 5.0


def real_path(path: Path) -> Path:
    """Without links, as far as it is there and may be looked at."""
    return Path(os.path.realpath(path))


def real_paths(
    paths: Iterable[Path],
    *,
    seconds: float = ANSWER_SECONDS,
    follow: Callable[[Path], Path] = real_path,
) -> dict[Path, Path]:
    """Each of them without links. Missing are those for which no answer came in time: who still
    waits for a mount that is dead is left behind.
    """
    wanted, found, is_over = tuple(paths), dict[Path, Path](), threading.Event()

    def look() -> None:
        try:
            for path in wanted:
                found[path] = follow(path)
        finally:
            is_over.set()

    threading.Thread(target=look, name="follows links", daemon=True).start()
    is_over.wait(seconds)
    return found.copy()
