"""systemd hears what it is told, word by word, on a socket like its own."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.service import systemd


@pytest.fixture
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """systemd's end of NOTIFY_SOCKET."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listening


@pytest.mark.parametrize(
    ("tell", "words"),
    [
        (systemd.ready, "READY=1"),
        (systemd.reloading, "RELOADING=1"),
        (systemd.stopping, "STOPPING=1"),
        (systemd.pat_watchdog, "WATCHDOG=1"),
        (lambda: systemd.status("backup main: copying 42%"), "STATUS=backup main: copying 42%"),
        (lambda: systemd.status("größer"), "STATUS=größer"),
    ],
)
def test_systemd_is_told(manager: socket.socket, tell: Callable[[], None], words: str) -> None:
    tell()
    assert manager.recv(4096).decode().splitlines()[0] == words


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.ready()
    systemd.status("nobody listens")


def test_a_manager_that_has_gone_does_not_matter(manager: socket.socket, folder: Path) -> None:
    manager.close()
    (folder / "notify").unlink()
    systemd.pat_watchdog()


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        (None, None, None),
        ("30000000", None, 30.0),
        ("30000000", "our own", 30.0),
        ("30000000", "1", None),
        ("1500000", None, 1.5),
        ("", None, None),
        ("-5", None, None),
        ("many", None, None),
    ],
)
def test_how_often_systemd_wants_a_pat(
    monkeypatch: pytest.MonkeyPatch,
    microseconds: str | None,
    pid: str | None,
    seconds: float | None,
) -> None:
    told_pid = str(os.getpid()) if pid == "our own" else pid
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", told_pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_seconds() == seconds
