"""Fetching the next segments while PostgreSQL replays this one.

By a process of its own, for PostgreSQL waits for the command that it called: only what goes on
after that is time won. It belongs to nobody's session, holds none of PostgreSQL's pipes, is the
only one of its spool, and the kernel ends it after PREFETCH_SECONDS.
"""

from __future__ import annotations

import os
import signal
import sys

from barmand.ctl.connection import Connection
from barmand.ctl.wal_files import ask_for, received

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.connection import Message
    from barmand.ctl.spool import Spool

PREFETCH_SECONDS = 60
MOST_NAMES = 10_000
"""The wire's own limit."""


def prefetch(socket_path: str, server: str, name: str, count: int, spool: Spool) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        return
    try:
        _detach()
        fetch(socket_path, server, name, count, spool)
    finally:
        os._exit(0)  # a prefetch that failed is none: the next command asks by itself


def fetch(socket_path: str, server: str, name: str, count: int, spool: Spool) -> None:
    """The next segments that barmand has and the spool lacks. Raises Failure, OSError."""
    if not spool.lock():
        return
    with Connection(socket_path) as connection:
        names = _next_names(connection, server, name, count)
        spool.keep_only(names)
        for each in names:
            if not spool.has(each):
                result = ask_for(connection, server, each)
                if not result["found"]:
                    return
                file = received(connection, result)
                spool.put(each, file, result["size_bytes"], result["stamp"])


def _next_names(connection: Connection, server: str, name: str, count: int) -> list[str]:
    params = {"server": server, "name": name, "count": min(count + 1, MOST_NAMES)}
    names: list[str] = connection.ask("peek-wal", params, _heed_nothing)["names"]
    return [each for each in names if each != name]


def _detach() -> None:
    os.setsid()
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PREFETCH_SECONDS)


def _heed_nothing(_note: Message) -> None:
    """Names have no progress to tell."""
