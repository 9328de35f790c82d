"""pg_verifybackup: its command line, and what its lines and exit codes mean.

Source: PostgreSQL documentation, pg_verifybackup. Its WAL is in the archive, so it is not parsed
(`--no-parse-wal`).
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import ToolFailed
from barmand.outside.pg_version import version_of
from barmand.outside.process import Stop, find_program, run

NAME = "pg_verifybackup"
_ERROR = re.compile(r"pg_verifybackup: (?:error|warning): (.*)")
_ABOUT_FILE = re.compile(r'^(?:checksum mismatch for file )?"(.+)"(.*)$')
_CANNOT = re.compile(r'^could not \w+ (?:file|directory|file or directory) "(.+?)": (.*)$')

OnFlaw = Callable[[str, str], None]
"""Hears the path, relative or not, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class PgVerifybackup:
    path_prefix: Sequence[Path] = ()

    def version(self) -> int:
        """Its major version. Raises ToolFailed when it is missing."""
        return version_of(find_program(NAME, self.path_prefix))

    def verify(
        self,
        data: Path,
        *,
        ignored: Sequence[str],
        stop: Stop,
        on_flaw: OnFlaw,
        on_bytes: Callable[[int], None],
    ) -> None:
        """Look at all that the manifest in `data` names; each flaw is told.

        `on_bytes` hears of bytes as they are read. Raises ToolFailed where it did not come to an
        end, Stopped.
        """
        words = _Words(on_flaw)
        watched = _Watched(stop, on_bytes)
        finished = run(
            [
                str(find_program(NAME, self.path_prefix)),
                "--no-parse-wal",
                *(f"--ignore={path}" for path in ignored),
                str(data),
            ],
            stop=watched,
            on_line=words.take,
            on_start=watched.begin,
        )
        if finished.exit_code not in (0, 1) or (finished.exit_code == 1 and not words.count):
            said = next((line for line in reversed(finished.tail) if "error:" in line), None)
            raise ToolFailed(
                f"pg_verifybackup {finished.words}: {said or 'it gave no reason'}",
                hint=finished.way_out or "\n".join(finished.tail) or None,
            )


@dataclass(slots=True)
class _Words:
    on_flaw: OnFlaw
    count: int = 0

    def take(self, line: str) -> None:
        found = _ERROR.match(line)
        if found is None:
            return
        self.count += 1
        self.on_flaw(*meaning(found[1]))


def meaning(words: str) -> tuple[str, str]:
    """The file that an error is about, and what is wrong with it."""
    about = _ABOUT_FILE.match(words)
    if about is not None:
        is_sum = words.startswith("checksum mismatch")
        what = "its checksum is not the manifest's" if is_sum else about[2].strip()
        return about[1], what
    cannot = _CANNOT.match(words)
    if cannot is not None:
        return cannot[1], f"cannot be read: {cannot[2]}"
    return "", words


@dataclass(slots=True)
class _Watched:
    """A stop that, whenever it is looked at, tells how much the program has read by now.

    Before PostgreSQL 16 the program itself has no word for it; the kernel counts.
    """

    stop: Stop
    on_bytes: Callable[[int], None]
    _pid: int | None = None
    _told: int = 0

    def begin(self, pid: int) -> None:
        self._pid = pid

    def is_set(self) -> bool:
        with suppress(OSError, ValueError, IndexError):  # it has ended: what it read was told
            text = Path(f"/proc/{self._pid}/io").read_text(encoding="ascii")
            count = int(text.split("rchar:", 1)[1].split()[0])
            if count > self._told:
                self.on_bytes(count - self._told)
                self._told = count
        return self.stop.is_set()
