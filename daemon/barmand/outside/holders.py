"""Who still holds the writing end of a pipe, and how that is ended."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

END_ALL = r"""
read -r group pipe mark && {
    read -r _
    kill -s KILL -- "-$group"
    for _ in 1 2 3; do
        grep --files-with-matches --null-data -xF -- "$mark" /proc/[0-9]*/environ |
            while read -r told; do
                home=${told%/environ}
                ls -l "$home/fd" | grep -qF "$pipe" && kill -s KILL "${home#/proc/}"
            done
    done
}
"""
"""What a shell does whose input ends with the daemon: the same for it, and for a group.

More than once: who is being looked for may start others meanwhile.
"""
_PROC = Path("/proc")


def end_holders(pipe: int, mark: str) -> None:
    """KILL each process that can write to `pipe` and has `mark` in the environment it began with.

    Without the mark, a child of ours that was forked this moment, and has not become its program
    yet, would be taken for one.
    """
    name = pipe_name(pipe)
    for pid in _pids():
        with suppress(OSError):  # it is gone, or another user's: not ours to end
            file = os.pidfd_open(pid)
            try:
                # Looked at after it was opened: the number cannot mean another one any more.
                if mark.encode() in _environment(pid) and _writes(pid, name):
                    signal.pidfd_send_signal(file, signal.SIGKILL)
            finally:
                os.close(file)


def pipe_name(pipe: int) -> str:
    """As /proc has it."""
    return f"pipe:[{os.fstat(pipe).st_ino}]"


def _pids() -> Iterator[int]:
    own = os.getpid()
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != own:
            yield int(entry.name)


def _environment(pid: int) -> list[bytes]:
    return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")


def _writes(pid: int, name: str) -> bool:
    for link in (_PROC / str(pid) / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if str(link.readlink()) == name and _is_for_writing(pid, link.name):
                return True
    return False


def _is_for_writing(pid: int, descriptor: str) -> bool:
    words = (_PROC / str(pid) / "fdinfo" / descriptor).read_text().split()
    flags = int(words[words.index("flags:") + 1], 8)
    return flags & os.O_ACCMODE != os.O_RDONLY
