"""Who lives, and whose child is it? Read from /proc, so that nothing is taken for granted."""

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; its start time tells it from a later one with the same number."""

    pid: int
    parent: int
    started: int

    @property
    def command(self) -> str:
        with contextlib.suppress(OSError):
            return (PROC / str(self.pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return ""

    @property
    def is_alive(self) -> bool:
        return find_process(self.pid) == self

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        if not self.is_alive:
            return
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                select.select([descriptor], [], [], 10)
            finally:
                os.close(descriptor)


def find_process(pid: int) -> Process | None:
    """The process with this number. A zombie is dead: it only waits to be counted."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    state, parent, started = fields[0], int(fields[1]), int(fields[19])
    return None if state in "ZX" else Process(pid, parent, started)


def all_processes() -> list[Process]:
    found = (find_process(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def descendants(pid: int) -> list[Process]:
    """Children of `pid`, their children, and so on: parents first."""
    living = all_processes()
    family, found = {pid}, []
    while True:
        more = [p for p in living if p.parent in family and p.pid not in family]
        if not more:
            return found
        found += more
        family.update(process.pid for process in more)


def marked(variable: str, value: str) -> list[Process]:
    """The processes that were started with this in their environment, whoever their parent is."""
    mark = f"{variable}={value}".encode()
    found = []
    for process in all_processes():
        with contextlib.suppress(OSError):
            if mark in (PROC / str(process.pid) / "environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


def working_in(folder: Path) -> list[Process]:
    """The processes whose working directory this is: all of PostgreSQL's, for its data."""
    folder, found = folder.resolve(), []
    for process in all_processes():
        with contextlib.suppress(OSError):
            if (PROC / str(process.pid) / "cwd").readlink() == folder:
                found.append(process)
    return found


def kill_all(processes: Iterable[Process]) -> None:
    for process in processes:
        process.kill()
