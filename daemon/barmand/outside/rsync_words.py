r"""What rsync says, understood: files, progress, complaints, and the meaning of its exit code.

In the C locale rsync writes each byte of a name that is not printable ASCII as `\#ooo` (octal), so
a name is always within its line, and comes back byte for byte.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from barmand.model.errors import Failure, StorageFailed, ToolFailed
from barmand.outside.process import Finished

OUT_FORMAT = "|%i|%l|%M|%B|%n|"
CONNECTION_CODES = frozenset({10, 12, 30, 35, 255})
_PARTIAL_CODES = frozenset({23, 24})
_LASTING_CODES = frozenset({1, 2, 4, 6})
"""Syntax, protocol, actions that are not carried: another attempt ends the same way."""
_KEPT_COMPLAINTS = 20

_FILE = re.compile(r"\|(\S[^|]{10})\|(\d+)\|([\d/:-]+)\|(\S{9})\|(.*)\|")
_PROGRESS = re.compile(r"\s*(\d+)\s+\d+%\s+\S+/s\s+[\d:?]+\s*(?:\((?:xfr|ir)[^)]*\))?")
_QUOTED = re.compile(r'"(.*)"')
_GONE = re.compile(r'file has vanished: "|rsync: .*".*: No such file or directory \(2\)')
_SHRUNK = re.compile(r'rsync: .*read errors mapping ".*": No data available \(61\)')
_SUMMARY = re.compile(r"rsync (error|warning): |IO error encountered")
_DISCARDED = re.compile(r"(WARNING|ERROR): .* failed verification -- update discarded")
_FAULT = re.compile(r"rsync: |symlink has |ERROR: |WARNING: |skipping |cannot |file has vanished")
"""What rsync says of a file; other lines are ssh's, or a greeting of the host."""
_OURS = re.compile(r"rsync: \[(receiver|generator|Receiver|Generator)\] .*\((13|28|30|122)\)")
_WAYS_OUT = {
    "IDENTIFICATION HAS CHANGED": (
        "The host's key is not the one in known_hosts. If the host was set up anew, and only then, "
        "remove the old key with `ssh-keygen -R {entry}` as barmand's user, and add the new one."
    ),
    "Host key verification failed": (
        "Add the host's key to ~/.ssh/known_hosts of barmand's user: `ssh-keyscan {port}HOST` "
        "prints it; compare it with the host's own, in /etc/ssh."
    ),
    r"Permission denied \([a-z]": (
        "Add the public key of barmand's user to ~/.ssh/authorized_keys of the user on the host."
    ),
    "command not found": "Install rsync on the host.",
    "symlink has no referent": "This link points to nothing: mend it, or remove it.",
    r"^rsync: .*: Permission denied \(13\)": (
        "Make it readable for the user that rsync runs as: on a host the user of `ssh_command`, "
        "else barmand's."
    ),
}
"""What nothing but the administrator can change, by a pattern; the first that fits counts."""
_OUR_DISK = "Free space on the file system of the backups, or see to it that it can be written."
_ESCAPED = re.compile(rb"\\#([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory that it tells of. `changed` is in whole seconds, as rsync tells it."""

    kind: str
    """`f` for a file, `d` for a directory."""
    is_transferred: bool
    size: int
    changed: str
    permissions: str
    path: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Whether it matters what a complaint is about. Paths are the source's, absolute."""

    concerns: Callable[[str], bool]
    may_be_gone: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended. `error` None: well, without what was rightly `gone` by then."""

    error: Failure | None
    may_be_retried: bool = False
    gone: frozenset[str] = frozenset()
    """Paths of the source, absolute."""


@dataclass(slots=True)
class Hearing:
    """Takes the lines of one command."""

    judge: Judge
    on_entry: Callable[[Entry], None]
    on_progress: Callable[[int], None]
    port: str | None = None
    """Of ssh, for what is said of the host's key."""
    complaints: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    is_short: bool = False
    """Something was gone, shrank or changed: no fault, it is looked for afterwards."""

    def take(self, line: str) -> None:
        if found := _FILE.fullmatch(line):
            what, size, changed, permissions, name = found.groups()
            path = unescaped(name)
            self.on_entry(Entry(what[1], what[0] == ">", int(size), changed, permissions, path))
        elif counted := _PROGRESS.match(line):
            self.on_progress(int(counted[1]))
            # It ends without a newline: what ssh says next is on the same line.
            if rest := line[counted.end() :]:
                self.take(rest)
        elif not _SUMMARY.match(line):
            self._complain(line)

    def ending(self, finished: Finished) -> Ending:
        code = finished.exit_code
        faults = [line for line in self.complaints if _FAULT.match(line)]
        if code == 0 or (code in _PARTIAL_CODES and self.is_short and not faults):
            return Ending(None, gone=frozenset(self.gone))
        ours = [line for line in faults if _OURS.match(line)]
        said = self._of_ssh() if code in CONNECTION_CODES else []
        reason = _reason(ours or said or faults or self.complaints, finished)
        words = _words(code, reason)
        lasting = [way for pattern, way in _WAYS_OUT.items() if self._says(pattern)]
        ways = [_OUR_DISK] if ours else [self._filled(way) for way in lasting[:1]]
        ways += [finished.way_out] if finished.way_out else []
        hint = "\n".join([*ways, *(line for line in self.complaints if line != reason)])
        if ours:
            return Ending(StorageFailed(words, hint=hint))
        is_lasting = (
            code in _LASTING_CODES or (code in _PARTIAL_CODES and bool(faults)) or bool(lasting)
        )
        return Ending(ToolFailed(words, hint=hint or None), may_be_retried=not is_lasting)

    def _says(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.complaints)

    def _filled(self, way: str) -> str:
        if self.port is None:
            return way.format(port="", entry="HOST")
        return way.format(port=f"-p {self.port} ", entry=f"'[HOST]:{self.port}'")

    def _of_ssh(self) -> list[str]:
        """Why a connection broke: its last words, of which rsync knows only that it did."""
        return [line for line in self.complaints if not _FAULT.match(line)][-1:]

    def _complain(self, line: str) -> None:
        quoted = _QUOTED.search(line)
        path = unescaped(quoted[1]) if quoted else None
        if _DISCARDED.match(line) or (path is not None and self._is_fine(line, path)):
            self.is_short = True
        elif len(self.complaints) < _KEPT_COMPLAINTS:
            self.complaints.append(line)

    def _is_fine(self, line: str, path: str) -> bool:
        if not self.judge.concerns(path):
            return True
        if not self.judge.may_be_gone(path):
            return False
        if _GONE.match(line):
            self.gone.add(path)
            return True
        return _SHRUNK.match(line) is not None


def unescaped(name: str) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), os.fsencode(name)))


def _reason(said: list[str], finished: Finished) -> str:
    """The first complaint, else its last word that is neither a file nor a progress."""
    others = (line for line in reversed(finished.tail) if not _is_routine(line))
    return said[0] if said else next(others, "it gave no reason")


def _is_routine(line: str) -> bool:
    return _FILE.fullmatch(line) is not None or _PROGRESS.match(line) is not None


def _words(code: int, reason: str) -> str:
    how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
    lost = "lost its connection: it " if code in CONNECTION_CODES else ""
    return f"rsync {lost}{how}: {reason.removeprefix('rsync: ')}"
