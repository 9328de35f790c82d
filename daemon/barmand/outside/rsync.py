"""rsync: its command line. A tree is listed once, then its files are fetched by name."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.order import Reuse
from barmand.outside.process import Stop, find_program
from barmand.outside.rsync_silence import run_rsync
from barmand.outside.rsync_words import OUT_FORMAT, Ending, Entry, Hearing, Judge
from barmand.outside.ssh import Transport, transport

_NOWHERE = Path("/nonexistent/barmand")
"""As a target of a dry run: rsync would have to make it, and does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A folder whose unchanged files serve again. `has_doubts`: compared byte by byte."""

    folder: Path
    reuse: Reuse
    has_doubts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Files of a tree to bring here. `names` lists them, each ended by NUL; `limit` in KiB/s."""

    source: Path
    target: Path
    names: Path
    beside: Path
    """A folder of the target's file system: half a file is there, never under its name."""
    reference: Reference | None = None
    limit: int | None = None
    quiet_seconds: float = 0
    """What the other side may take in addition before its first word: it looks at every file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rsync:
    """`ssh`: Barman's `ssh_command` in words; None copies on this machine.

    A connection on which nothing comes for `silence_seconds` is taken for dead, on both sides.
    `ssh_options` are ours, as `Name=value`: the administrator's go before them.
    """

    ssh: tuple[str, ...] | None = None
    path_prefix: Sequence[Path] = ()
    network_compression: bool = False
    connect_seconds: int = 15
    silence_seconds: int = 60
    ssh_options: tuple[str, ...] = ()

    def list_tree(
        self,
        source: Path,
        empty: Path,
        *,
        left_out: Sequence[str],
        judge: Judge,
        on_entry: Callable[[Entry], None],
        stop: Stop,
    ) -> Ending:
        """Tell all that is in `source`; `empty` is a directory of ours with nothing in it.

        A dry run, for its lines hold names whole, which those of --list-only do not. All of them
        come at the end of the other side's walk, during which rsync's own timeout can be trusted.
        """
        words = [
            "--recursive",
            "--no-inc-recursive",
            "--dry-run",
            *(f"--exclude={pattern}" for pattern in left_out),
            *self._place(source, empty),
        ]
        hearing = self._hearing(judge, on_entry)
        return self._run(words, hearing, stop, quiet_seconds=math.inf)

    def look_at(self, folder: Path, stop: Stop) -> Ending:
        """Can a directory be reached and listed? Nothing is copied, nothing is made."""
        words = ["--dirs", "--dry-run", *self._place(folder, _NOWHERE)]
        judge = Judge(concerns=lambda _path: True, may_be_gone=lambda _path: False)
        return self._run(words, self._hearing(judge), stop)

    def fetch(
        self,
        files: Fetch,
        *,
        judge: Judge,
        on_entry: Callable[[Entry], None],
        on_progress: Callable[[int], None],
        stop: Stop,
    ) -> Ending:
        """`on_entry` hears of a file shortly before it stands under its name."""
        words = [
            "--no-implied-dirs",
            "--from0",
            f"--files-from={files.names}",
            f"--temp-dir={files.beside}",
            "--info=progress2",
            "-ii",  # a word for every file, also where there is nothing to do: it is alive
            "--outbuf=L",
            *([] if self._is_narrow(files) else ["--whole-file"]),
            *(["--compress"] if self.network_compression and self.ssh else []),
            *([] if files.limit is None else [f"--bwlimit={files.limit}"]),
            *_reuse(files.reference),
            *self._place(files.source, files.target),
        ]
        hearing = self._hearing(judge, on_entry, on_progress)
        return self._run(words, hearing, stop, quiet_seconds=files.quiet_seconds)

    def _is_narrow(self, files: Fetch) -> bool:
        """Is the way worth the work of finding differences? Else whole files are faster."""
        return self.ssh is not None and (self.network_compression or files.limit is not None)

    def _run(
        self, words: Sequence[str], hearing: Hearing, stop: Stop, *, quiet_seconds: float = 0
    ) -> Ending:
        argv = [
            str(find_program("rsync", self.path_prefix)),
            "--copy-links",
            "--perms",
            "--times",
            "--modify-window=-1",  # times are compared to the nanosecond
            "-s",  # names travel in the protocol, no shell sees them
            "--no-human-readable",
            "--info=nonreg0",
            f"--out-format={OUT_FORMAT}",
            f"--timeout={self.silence_seconds}",
            *words,
        ]
        # rsync's own timeout comes first where it sees one, for it knows more of why.
        seconds = 1.5 * self.silence_seconds
        first_seconds = seconds + self.connect_seconds + quiet_seconds
        return run_rsync(argv, hearing, stop, seconds=seconds, first_seconds=first_seconds)

    def _hearing(
        self,
        judge: Judge,
        on_entry: Callable[[Entry], None] = lambda _entry: None,
        on_progress: Callable[[int], None] = lambda _bytes: None,
    ) -> Hearing:
        way = self._way()
        return Hearing(judge, on_entry, on_progress, way.port if way else None)

    def _way(self) -> Transport | None:
        if self.ssh is None:
            return None
        return transport(self.ssh, self.connect_seconds, self.silence_seconds, self.ssh_options)

    def _place(self, source: Path, target: Path) -> list[str]:
        way = self._way()
        if way is None:
            return ["--", f"{source}/", f"{target}/"]
        # A killed rsync leaves ssh behind, and the receiver that listens to it: it dies with it.
        command = (str(find_program("setpriv")), "--pdeathsig", "KILL", "--", *way.command)
        shell = " ".join(_quoted(word) for word in command)
        return [f"--rsh={shell}", "--", f"{way.host}:{source}/", f"{target}/"]


def _reuse(reference: Reference | None) -> list[str]:
    if reference is None or reference.reuse is Reuse.OFF:
        return []
    option = "--link-dest" if reference.reuse is Reuse.LINK else "--copy-dest"
    return [f"{option}={reference.folder}", *(["--checksum"] if reference.has_doubts else [])]


def _quoted(word: str) -> str:
    """For rsync, which splits the shell's command by itself: a quote within quotes is doubled."""
    return "'" + word.replace("'", "''") + "'"
