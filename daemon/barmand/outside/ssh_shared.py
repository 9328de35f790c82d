"""One connection of ssh's for several commands, one after the other.

To connect takes both machines a quarter of a second; over a connection that is there a command
begins in a hundredth of that.
Source: ssh_config(5), ControlMaster, ControlPath and LocalCommand.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from barmand.outside.process import Stop, running_beside
from barmand.outside.ssh import transport

_READY = "barmand: connected"
_OWN_WAY = re.compile(r"(?:^|\s)(?:-[A-Za-z0-9]*[MS]\b|-o\s*(?i:control))")
"""An administrator who shares connections in his own way knows why."""
_FOLDER = "barmand-ssh-"
_SOCKET_BYTES = 90
"""Of its path: the kernel knows 107, and ssh adds 17 to it until it listens."""
_ANY_SHELL = {"SHELL": "/bin/sh"}
"""ssh has LocalCommand carried out by the user's shell, which for a daemon's may be /bin/false."""


@contextmanager
def shared_connection(
    ssh_command: Sequence[str],
    connect_seconds: int,
    silence_seconds: int,
    options: Sequence[str],
    stop: Stop,
) -> Iterator[tuple[str, ...]]:
    """What to tell ssh besides `options`, so that it goes over this connection.

    Nothing where there is none, for whatever reason: who connects without it hears that reason. So
    does ssh by itself when the connection breaks later on.
    """
    with ExitStack() as held:
        socket = _socket(held)
        if socket is None or not _can_share(ssh_command):
            yield ()
            return
        own = (
            *options,
            "ControlMaster=yes",
            f"ControlPath={socket}",
            "ControlPersist=no",
            "PermitLocalCommand=yes",
            f"LocalCommand=echo {_READY}",
        )
        way = transport(ssh_command, connect_seconds, silence_seconds, own)
        is_there = held.enter_context(
            running_beside(
                [*way.command, "-N", ssh_command[-1]],
                is_ready=lambda line: line == _READY,
                seconds=connect_seconds,
                stop=stop,
                environment=_ANY_SHELL,
            )
        )
        yield ("ControlMaster=no", f"ControlPath={socket}") if is_there else ()


def _socket(held: ExitStack) -> Path | None:
    """In a folder that is there as long as `held`, and nobody else's."""
    try:
        _clear_after_the_dead()
        prefix = f"{_FOLDER}{os.getpid()}-"
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
    except OSError:
        return None
    socket = Path(folder) / "connection"
    return socket if len(bytes(socket)) <= _SOCKET_BYTES else None


def _clear_after_the_dead() -> None:
    """A daemon that was killed could not take its folders away. OSError."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        is_alive = not pid.isdigit() or Path("/proc", pid).exists()
        if not is_alive and folder.lstat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)


def _can_share(ssh_command: Sequence[str]) -> bool:
    """Is it ssh, and told nothing of this?"""
    words = ssh_command[:-1]
    is_ssh = any(word.rpartition("/")[2] == "ssh" for word in words)
    return is_ssh and _OWN_WAY.search(" ".join(words)) is None
