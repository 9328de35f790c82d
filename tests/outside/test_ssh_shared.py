"""One connection for several commands, by the real ssh and sshd."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from barmand.model.errors import Stopped
from barmand.outside.process import run
from barmand.outside.ssh import transport
from barmand.outside.ssh_shared import shared_connection
from support.processes import Process, descendants
from support.sshd import Sshd
from support.taking import Background
from support.waiting import eventually


@pytest.fixture
def sshd(folder: Path) -> Iterator[Sshd]:
    made = Sshd(folder / "sshd").start()
    yield made
    made.stop()


@contextmanager
def sharing(words: Sequence[str], *, seconds: int = 10) -> Iterator[tuple[str, ...]]:
    with shared_connection(words, seconds, 60, (), Event()) as options:
        yield options
    assert not masters()


def masters() -> list[Process]:
    return [each for each in descendants(os.getpid()) if "ControlMaster=yes" in each.command]


def folder_of(options: tuple[str, ...]) -> Path:
    (path,) = (each.removeprefix("ControlPath=") for each in options if "ControlPath" in each)
    return Path(path).parent


def connections(sshd: Sshd) -> int:
    return sshd.log.count("Accepted publickey")


def said(words: tuple[str, ...], options: tuple[str, ...]) -> list[str]:
    way = transport(words, 10, 60, options)
    return list(run([*way.command, words[-1], "echo one; echo two"], stop=Event()).tail)


def test_commands_share_it_and_nothing_is_left(sshd: Sshd) -> None:
    with sharing(sshd.words) as options:
        folder = folder_of(options)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [said(sshd.words, options) for _ in range(3)] == [["one", "two"]] * 3
        assert connections(sshd) == 1
    assert not folder.exists()
    eventually(lambda: not sshd.children)


def test_where_it_broke_each_connects_by_himself(sshd: Sshd) -> None:
    with sharing(sshd.words) as options:
        masters()[0].kill()
        assert said(sshd.words, options)[-2:] == ["one", "two"]
        assert connections(sshd) == 2


def test_a_host_that_allows_one_session_a_connection_is_connected_to_again(sshd: Sshd) -> None:
    sshd.stop()
    sshd.start("MaxSessions 1")
    with sharing(sshd.words) as options:
        over, begun = Event(), Event()
        way = transport(sshd.words, 10, 60, options)
        first = [*way.command, sshd.words[-1], "echo begun; sleep 60"]
        work = Background(lambda: run(first, stop=over, on_line=lambda _line: begun.set()))
        assert begun.wait(10)
        assert said(sshd.words, options)[-2:] == ["one", "two"]
        assert connections(sshd) == 2
        over.set()
        with pytest.raises(Stopped):
            work.wait(10)


def test_a_user_without_a_shell_has_it_too(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/false")
    with sharing(sshd.words) as options:
        assert options
        assert said(sshd.words, options) == ["one", "two"]


@pytest.mark.parametrize(
    "own",
    [
        ("-S", "/nonexistent"),
        ("-M",),
        ("-qM",),
        ("-o", "ControlPath=/nonexistent"),
        ("-oControlMaster=auto",),
        ("-o", "controlpersist=1h"),
    ],
)
def test_an_administrators_own_way_is_left_alone(sshd: Sshd, own: tuple[str, ...]) -> None:
    ssh, *words = sshd.words
    with sharing((ssh, *own, *words)) as options:
        assert options == ()
        assert not masters()


@pytest.mark.parametrize("words", [("/usr/bin/env", "db1"), ("rsh", "-l", "postgres", "db1")])
def test_what_is_not_ssh_is_not_asked(words: tuple[str, ...]) -> None:
    with sharing(words) as options:
        assert options == ()


def test_an_ssh_in_a_wrapping_is_shared(sshd: Sshd) -> None:
    words = ("/usr/bin/env", "LANG=C", *sshd.words)
    with sharing(words) as options:
        assert said(words, options) == ["one", "two"]
        assert connections(sshd) == 1


def test_where_nobody_answers_there_is_none(sshd: Sshd) -> None:
    sshd.stop()
    with sharing(sshd.words) as options:
        assert options == ()


def test_a_host_that_is_not_known_is_not_connected_to(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    with sharing(sshd.words) as options:
        assert options == ()
    assert connections(sshd) == 0


def test_it_is_not_waited_for_without_end(folder: Path) -> None:
    silent = folder / "ssh"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    begun = time.monotonic()
    with sharing((str(silent), "db1"), seconds=1) as options:
        assert options == ()
    assert time.monotonic() - begun < 5


def test_what_a_killed_daemon_left_is_taken_away(
    sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    (folder / "tmp").mkdir()
    with subprocess.Popen(["true"]) as ended:
        pass
    left = [folder / f"tmp/barmand-ssh-{pid}-x" for pid in (ended.pid, os.getpid(), "odd")]
    for each in left:
        each.mkdir()
        (each / "connection").touch()
    with sharing(sshd.words):
        assert not left[0].exists()
    assert sorted((folder / "tmp").iterdir()) == sorted(left[1:])


def test_a_socket_where_the_kernel_knows_no_such_path_is_not_tried(
    sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = folder / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with sharing(sshd.words) as options:
        assert options == ()
    assert list(deep.iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(folder / "gone"))
    with sharing(sshd.words) as options:
        assert options == ()
