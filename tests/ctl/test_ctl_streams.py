"""Streams that close, disks that are full, Ctrl-C: the backup goes on, and no traceback comes."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from barmand.wire.lines import result_line
from barmand.wire.messages import (
    BackupListReply,
)
from ctl import samples
from ctl.fake_daemon import PROGRAM, Endless, FakeDaemon, barmanctl, environment, pong
from ctl.samples import ID

MANY = BackupListReply(backups=[samples.backup(server=f"server-{n}") for n in range(3000)])


@pytest.mark.parametrize("argv", [["list-backups"], ["list-backups", "-f", "json"], ["--help"]])
def test_a_reader_that_went_away_gets_no_traceback(argv: list[str]) -> None:
    with FakeDaemon(lambda call: [result_line(call.id, MANY)]) as daemon:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*PROGRAM, *argv],
            env=environment(daemon.path),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_backup_whose_watcher_lost_its_reader_ends_only_the_watching(endless: Endless) -> None:
    with FakeDaemon(endless) as daemon:
        reading, writing = os.pipe()
        with subprocess.Popen(
            [*PROGRAM, "backup", "main"],
            env=environment(daemon.path),
            stdout=writing,
            stderr=subprocess.PIPE,
        ) as client:
            os.close(writing)
            assert endless.began.wait(10)
            os.close(reading)
            endless.end.set()
            assert client.communicate(timeout=10)[1] == b""
    assert client.returncode == 141


def test_a_full_disk_under_stdout_is_told_and_exit_code_one() -> None:
    with FakeDaemon(pong) as daemon, Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, "ping", "-f", "json"],
            env=environment(daemon.path),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"barmanctl: cannot write the answer: No space left on device\n"


@pytest.mark.parametrize(
    ("redirections", "code"), [(">&-", 0), (">&- 2>&-", 0), ("<&- >&- 2>&-", 0), (">/dev/full", 1)]
)
def test_streams_closed_from_the_start_do_no_harm(redirections: str, code: int) -> None:
    with FakeDaemon(pong) as daemon:
        done = subprocess.run(
            ["sh", "-c", f'"$@" {redirections}', "sh", *PROGRAM, "ping"],
            env=environment(daemon.path),
            check=False,
        )
    assert done.returncode == code


def test_complaints_that_nobody_hears_do_not_change_the_exit_code() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>/dev/full', "sh", *PROGRAM, "ping"],
        env=environment("/nowhere/s"),
        check=False,
    )
    assert done.returncode == 10


def test_letters_that_a_locale_lacks_are_escaped_not_fatal() -> None:
    reply = BackupListReply(backups=[samples.backup(name="毎週")])
    with FakeDaemon(lambda call: [result_line(call.id, reply)]) as daemon:
        done = barmanctl(daemon.path, "list-backups", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert r"\u6bce\u9031" in done.stdout


@pytest.mark.parametrize("format_", ["console", "json"])
def test_ctrl_c_leaves_the_backup_running_and_says_how_to_watch_or_cancel(
    format_: str, endless: Endless
) -> None:
    with (
        FakeDaemon(endless) as daemon,
        subprocess.Popen(
            [*PROGRAM, "backup", "main", "-f", format_],
            env=environment(daemon.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client,
    ):
        assert endless.began.wait(10)
        time.sleep(0.2)  # the note is on its way
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=10)
        endless.end.set()
    assert client.returncode == 130
    assert err == (
        "barmanctl: stopped watching; the backup goes on\n"
        f"  hint: watch it: `barmanctl status main` or `barmanctl show-backup main {ID}`;"
        " cancel it: `barmanctl cancel main`\n"
    )
    assert out.startswith(f"main {ID}: queued\n") if format_ == "console" else out == ""


@pytest.mark.parametrize("format_", ["console", "json"])
def test_ctrl_c_elsewhere_is_quiet(format_: str, endless: Endless) -> None:
    with (
        FakeDaemon(endless) as daemon,
        subprocess.Popen(
            [*PROGRAM, "list-backups", "-f", format_],
            env=environment(daemon.path),
            stderr=subprocess.PIPE,
        ) as client,
    ):
        assert endless.began.wait(10)
        time.sleep(0.2)  # the client waits for its answer by then
        client.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=10)
        endless.end.set()
    assert (client.returncode, err) == (130, b"")


def test_ctrl_c_before_anything_was_asked_is_quiet_too(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)
        with subprocess.Popen(
            [*PROGRAM, "backup", "main"], env=environment(path), stderr=subprocess.PIPE
        ) as client:
            time.sleep(1)  # by then it waits for a place in the queue
            client.send_signal(signal.SIGINT)
            _, err = client.communicate(timeout=10)
    assert (client.returncode, err) == (130, b"")
