"""barmanctl as a process: how fast it starts, what it ends with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from barmand.model.errors import EXIT_CODES
from barmand.wire.lines import result_line
from barmand.wire.messages import (
    BackupsReply,
)
from ctl import samples
from ctl.fake_daemon import FakeDaemon, barmanctl, environment, pong

LIGHT = "__future__, argparse, contextlib, errno, json, locale, os, re, socket, struct"
BARE_PYTHON = Path(sys.executable).resolve()
"""Without this environment's site-packages: what is measured is our own start."""
PING = "from barmand.ctl.main import run; run(['ping'])"


def test_a_ping_is_answered_in_words_and_in_json() -> None:
    with FakeDaemon(pong) as daemon:
        words = barmanctl(daemon.path, "ping")
        document = barmanctl(daemon.path, "-f", "json", "ping")
    assert (words.returncode, words.stderr) == (0, "")
    assert words.stdout == "barmand 0.1.0 answers (pid 42, protocol 1)\n"
    assert json.loads(document.stdout) == {
        "format": 1,
        "version": "0.1.0",
        "protocol": 1,
        "pid": 42,
    }


@pytest.mark.parametrize("argv", [["-q", "ping"], ["ping", "--quiet", "-f", "json"]])
def test_a_quiet_success_says_nothing(argv: list[str]) -> None:
    """As Barman's crontab line has it: `barman -q cron`."""
    with FakeDaemon(pong) as daemon:
        done = barmanctl(daemon.path, *argv)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_quiet_failure_is_told(tmp_path: Path) -> None:
    done = barmanctl(tmp_path / "nobody", "-q", "ping")
    assert (done.returncode, done.stdout) == (10, "")
    assert "no barmand at" in done.stderr


def test_a_ping_loads_nothing_that_is_slow() -> None:
    imports = f"import sys, {LIGHT}; print(*sys.modules, file=sys.stderr)"
    ping = f"{PING}; import sys; print(*sys.modules, file=sys.stderr)"
    with FakeDaemon(pong) as daemon:
        before, after = (
            subprocess.run(
                [BARE_PYTHON, "-c", code],
                env=environment(daemon.path),
                capture_output=True,
                text=True,
                check=True,
            )
            for code in (imports, ping)
        )
    loaded = set(after.stderr.split()) - set(before.stderr.split())
    elsewhere = {name for name in loaded if not name.startswith("barmand.ctl")}
    assert elsewhere == {"barmand", "barmand.model", "barmand.model.errors"}
    assert not loaded & {"barmand.ctl.fancy", "barmand.ctl.server_pages"}


@pytest.mark.parametrize("exit_code", sorted(EXIT_CODES.values()))
def test_each_failure_ends_the_process_with_its_number(exit_code: int) -> None:
    reply = BackupsReply(backups=[samples.failed()], problems=[], exit_code=exit_code)
    with FakeDaemon(lambda call: [result_line(call.id, reply)]) as daemon:
        done = barmanctl(daemon.path, "backup", "main", "-f", "json")
    assert (done.returncode, done.stderr) == (exit_code, "")
    assert json.loads(done.stdout)["exit_code"] == exit_code


def test_usage_errors_are_exit_code_two_and_ask_nobody() -> None:
    with FakeDaemon(pong) as daemon:
        words = barmanctl(daemon.path, "backup", "main", "--jobs", "-3")
        document = barmanctl(daemon.path, "backup", "main", "--jobs", "-3", "-f", "json")
        foreign = barmanctl(daemon.path, "show-backup", b"\xff", "last")
    assert (words.returncode, words.stdout) == (2, "")
    assert words.stderr.startswith("barmanctl: -j/--jobs: '-3' is not a whole number")
    assert (document.returncode, document.stderr) == (2, "")
    assert json.loads(document.stdout)["error"]["code"] == "UsageError"
    assert (foreign.returncode, foreign.stderr) == (
        2,
        "barmanctl: '\\udcff' is not valid UTF-8\n",
    )
    assert daemon.calls == []


def test_without_a_command_there_is_help_and_exit_code_two() -> None:
    helped = barmanctl("/nowhere")
    assert (helped.returncode, helped.stdout) == (2, "")
    assert helped.stderr.startswith("usage: barmanctl ")
    assert helped.stderr.endswith("barmanctl: no command given\n")
    document = barmanctl("/nowhere", "-f", "json")
    assert json.loads(document.stdout)["error"]["message"] == "no command given"


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["backup", "--help"]])
def test_help_and_version_need_no_daemon(argv: list[str]) -> None:
    done = barmanctl("/nowhere", *argv)
    assert (done.returncode, done.stderr) == (0, "")
    assert "barmanctl" in done.stdout
