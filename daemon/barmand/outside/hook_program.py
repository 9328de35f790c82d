"""A hook's command: how it is run, and whether it could be."""

import os
import re
import secrets
import shlex
import shutil
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import Stopped, ToolFailed
from barmand.model.hook import Ended, capped
from barmand.outside.deadline import Deadline
from barmand.outside.process import GRACE_SECONDS, Stop, run_foreign

SHELL = "/bin/sh"
_KEPT_BYTES = 65_536
_MARK = "BARMAND_HOOK_RUN"
_PLAIN = re.compile(r"[\w@%+:,./=-]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_KEYWORDS = """\
. : [ alias bg break case cd command continue do eval exec exit export fg for function getopts hash
if jobs kill read readonly return set shift test times trap type ulimit umask unalias unset until
wait while"""
_SHELLS_OWN = frozenset(_KEYWORDS.split())


@dataclass(slots=True)
class _Tail:
    """The end of an output, however long that is."""

    kept: bytes = b""
    count: int = 0

    def hear(self, data: bytes) -> None:
        self.kept = (self.kept + data)[-_KEPT_BYTES:]
        self.count += len(data)


@dataclass(frozen=True, slots=True)
class HookProgram:
    """`path_prefix` comes before PATH, for the command and for all that it starts."""

    path_prefix: Sequence[Path] = ()
    grace_seconds: float = GRACE_SECONDS

    def run(
        self, command: str, environment: Mapping[str, str], *, timeout_seconds: float, stop: Stop
    ) -> Ended:
        """To its end, which is the end of all that it started in its group, and of what holds its
        output. Raises Stopped.
        """
        mark, tail, begun = secrets.token_hex(8), _Tail(), time.monotonic()
        deadline = Deadline(begun + timeout_seconds, stop)
        exit_code, words, timed_out = None, "", False
        try:
            finished = run_foreign(
                [SHELL, "-c", command],
                mark=f"{_MARK}={mark}",
                stop=deadline,
                environment={**environment, "PATH": self._path, _MARK: mark},
                hear=tail.hear,
                grace_seconds=self.grace_seconds,
            )
            exit_code, words = finished.exit_code, finished.words
        except Stopped:
            if stop.is_set():
                raise
            timed_out, words = True, f"ran longer than {timeout_seconds:g} s"
        except ToolFailed as failure:
            words = f"could not be started: {failure.hint or failure.message}"
        seconds = time.monotonic() - begun
        return Ended(exit_code, words, seconds, capped(tail.kept, tail.count), timed_out)

    def doubt(self, command: str) -> str | None:
        """Why the command can hardly be run; None where it can, or where only a shell can tell."""
        word = _program_in(command)
        if word is None:
            return None
        if "/" not in word:
            found = shutil.which(word, path=self._path)
            return None if found else f"there is no program {word!r} on its PATH"
        try:
            mode = Path(word).stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return f"there is no file {word}"
        except OSError as error:
            return f"{word} cannot be reached: {error.strerror}"
        if stat.S_ISDIR(mode):
            return f"{word} is a folder"
        return None if os.access(word, os.X_OK) else f"{word} is not executable"

    @property
    def _path(self) -> str:
        own = os.environ.get("PATH", os.defpath)
        return os.pathsep.join([*(str(folder) for folder in self.path_prefix), own])


def _program_in(command: str) -> str | None:
    """The program that the command begins with, as far as that can be told without a shell."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return None
    for word in words:
        if _ASSIGNMENT.match(word):
            continue
        is_plain = _PLAIN.fullmatch(word) and word not in _SHELLS_OWN and word in command
        return word if is_plain else None
    return None
