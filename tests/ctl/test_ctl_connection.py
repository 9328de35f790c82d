"""The socket: nobody there, nobody listening, strangers, silence."""

import json
import os
import socket
import threading
from pathlib import Path

import pytest

from barmand.ctl import connection
from barmand.ctl.main import run
from barmand.model.errors import Refused
from barmand.wire.lines import INVALID_REQUEST, failure_line, refusal, result_line
from ctl.fake_daemon import PONG, Endless, FakeDaemon, barmanctl, pong


def test_nobody_at_the_socket_is_exit_code_ten(tmp_path: Path) -> None:
    nobody = barmanctl(str(tmp_path / "s"), "ping")
    assert (nobody.returncode, nobody.stdout) == (10, "")
    assert nobody.stderr.startswith(f"barmanctl: no barmand at {tmp_path}/s\n  hint: `systemctl")


def test_a_left_over_socket_is_nobody_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "s"))
    assert run(["--socket", str(tmp_path / "s"), "ping"]) == 10


@pytest.mark.parametrize("path", ["/" + "x" * 200, "/dev/null/s"])
def test_a_socket_that_cannot_be_is_exit_code_ten(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--socket", path, "ping"]) == 10
    assert "cannot reach barmand at /" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_of_others_is_refused_with_the_groups_that_may(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(tmp_path / "s"))
        (tmp_path / "s").chmod(0)
        refused = barmanctl(str(tmp_path / "s"), "ping")
    assert refused.returncode == 4
    assert "control_group and monitor_group" in refused.stderr


def test_no_permission_is_a_refusal_that_names_the_groups() -> None:
    failure = connection.unreachable("/s", PermissionError())
    assert isinstance(failure, Refused)
    assert "control_group and monitor_group" in str(failure.hint)


def test_a_daemon_that_takes_no_calls_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)
        assert run(["--socket", path, "ping"]) == 10
    assert "took no call for 1 s" in capsys.readouterr().err


def test_a_daemon_that_does_not_answer_a_ping_is_given_up(
    endless: Endless, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.05)
    with FakeDaemon(endless) as daemon:
        assert run(["--socket", daemon.path, "ping"]) == 10
        endless.end.set()
    assert "barmand does not answer\n" in capsys.readouterr().err


def test_a_daemon_that_reads_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(path)
        deaf.listen()
        servers = [f"{number:0200}" for number in range(5000)]
        assert run(["--socket", path, "check", *servers]) == 10
    assert "barmand does not read its socket\n" in capsys.readouterr().err


@pytest.mark.parametrize("half", [b"", b'{"jsonrpc": "2.0", "id": 1, "resu'])
def test_silence_is_never_success(half: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeDaemon(lambda _: [half]) as daemon:
        assert run(["--socket", daemon.path, "list-backups"]) == 10
        listing = capsys.readouterr()
        assert run(["--socket", daemon.path, "backup", "main"]) == 10
        backup = capsys.readouterr()
    assert listing.err.startswith("barmanctl: barmand went away in mid-answer\n  hint: `systemctl")
    assert "may go on" not in listing.err
    assert "The backup may go on, or be marked as interrupted" in backup.err


@pytest.mark.parametrize("line", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b"\xff\n"])
def test_a_stranger_at_the_socket_is_told_apart(
    line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeDaemon(lambda _: [line]) as daemon:
        assert run(["--socket", daemon.path, "ping"]) == 10
    assert "does not speak as barmand does" in capsys.readouterr().err


def test_a_daemon_that_hangs_up_before_it_reads_may_have_said_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "s")
    line = failure_line(None, Refused("too many callers"))

    def hang_up(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.sendall(line)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        thread = threading.Thread(target=hang_up, args=(listening,))
        thread.start()
        servers = [f"{number:0200}" for number in range(5000)]
        assert run(["--socket", path, "check", *servers]) == 4
        thread.join()
    assert capsys.readouterr().err == "barmanctl: too many callers\n"


def test_a_daemon_that_resets_the_connection_went_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "s")

    def reset(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.recv(1)  # the rest stays unread: the kernel then resets instead of closing

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        thread = threading.Thread(target=reset, args=(listening,))
        thread.start()
        assert run(["--socket", path, "ping"]) == 10
        thread.join()
    assert "went away in mid-answer" in capsys.readouterr().err


def test_an_answer_to_somebody_elses_request_is_not_ours() -> None:
    with FakeDaemon(lambda call: [result_line("other", PONG), *pong(call)]) as daemon:
        assert barmanctl(daemon.path, "ping").returncode == 0


def test_an_error_of_the_protocol_is_a_usage_error() -> None:
    with FakeDaemon(lambda _: [refusal(None, INVALID_REQUEST, "no")]) as daemon:
        assert barmanctl(daemon.path, "ping").returncode == 2


def test_an_error_without_data_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "oh"}}\n'
    with FakeDaemon(lambda _: [line]) as daemon:
        assert run(["--socket", daemon.path, "-f", "json", "ping"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == {
        "code": "Bug",
        "exit_code": 1,
        "message": "oh",
        "hint": None,
    }
