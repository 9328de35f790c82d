"""Real programs, run to their end or to ours."""

import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest

from barmand.model.errors import Stopped, ToolFailed
from barmand.outside.pg_version import version_of
from barmand.outside.printed import LINE_BYTES, TAIL_LINES
from barmand.outside.process import Finished, find_program, run
from support.processes import find_process
from support.waiting import eventually

LONG = 60  # seconds that nobody waits


def shell(script: str, stop: Event | None = None, grace_seconds: float = 5.0) -> Finished:
    return run(["sh", "-c", script], stop=stop or Event(), grace_seconds=grace_seconds)


def said(script: str) -> list[str]:
    return list(shell(script).tail)


class StopAt:
    """Hears the lines; the first one, a pid, sets the stop."""

    def __init__(self) -> None:
        self.stop = Event()
        self.pids: list[int] = []

    def hear(self, line: str) -> None:
        self.pids += [int(word) for word in line.split()]
        self.stop.set()

    def run(self, script: str, grace_seconds: float = 5.0) -> None:
        with pytest.raises(Stopped, match="sh was stopped"):
            run(
                ["sh", "-c", script],
                stop=self.stop,
                on_line=self.hear,
                grace_seconds=grace_seconds,
            )


# --------------------------------------------------------------------------------------- to its end


@pytest.mark.parametrize("code", [0, 1, 2, 126, 127, 255])
def test_the_exit_code_is_the_programs_own(code: int) -> None:
    assert shell(f"exit {code}").exit_code == code
    assert shell(f"exit {code}").words == f"ended with exit code {code}"


def test_a_program_that_a_signal_ended_says_so() -> None:
    finished = shell("kill -TERM $$")
    assert finished.exit_code == -signal.SIGTERM
    assert finished.words == "was killed by SIGTERM"


def test_both_streams_are_heard_line_by_line() -> None:
    heard: list[str] = []
    finished = run(
        ["sh", "-c", "echo one; echo two >&2; printf three"], stop=Event(), on_line=heard.append
    )
    assert heard == ["one", "two", "three"]
    assert finished.tail == ("one", "two", "three")


def test_a_carriage_return_ends_a_line_too() -> None:
    assert said(r"printf '10%%\r20%%\r\n30%%\n'") == ["10%", "20%", "30%"]


def test_only_the_last_lines_are_kept() -> None:
    assert said("seq 1000") == [str(number) for number in range(1001 - TAIL_LINES, 1001)]


def test_what_is_not_utf8_is_marked() -> None:
    assert said(r"printf 'gr\374n\n'") == ["gr\ufffdn"]


def test_the_last_words_are_heard_even_when_they_fill_the_pipe() -> None:
    heard: list[str] = []
    run(["sh", "-c", "seq 12000"], stop=Event(), on_line=heard.append)
    assert heard[-1] == "12000"
    assert len(heard) == 12000


@pytest.mark.parametrize(
    "flood",
    ["yes " + "x" * 99 + " | head -c 100000000", "head -c 100000000 /dev/zero | tr '\\0' x"],
    ids=["lines", "one endless line"],
)
def test_a_flood_of_words_is_bounded(flood: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    finished = shell(flood)
    assert finished.exit_code == 0
    assert len(finished.tail) <= TAIL_LINES
    assert all(len(line) <= LINE_BYTES for line in finished.tail)
    grown_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kibibytes < 32 * 1024


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(ToolFailed, match="program not found: pg_nothing") as failed:
        find_program("pg_nothing")
    assert "path_prefix" in str(failed.value.hint)


def test_a_program_that_went_away_says_so_in_its_tail(tmp_path: Path) -> None:
    finished = run([str(tmp_path / "gone")], stop=Event())
    assert finished.exit_code == 127
    assert "gone: No such file or directory" in finished.tail[-1]


def test_a_command_line_that_cannot_be_is_a_failure() -> None:
    with pytest.raises(ToolFailed, match="cannot start echo"):
        run(["echo", "x" * 10_000_000], stop=Event())


def test_the_path_prefix_comes_first(tmp_path: Path) -> None:
    mine = tmp_path / "sh"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    assert find_program("sh", [tmp_path]) == mine
    assert find_program("sh") != mine


# --------------------------------------------------------------------------------------------- stop


def test_a_stop_before_the_start_stops_at_once() -> None:
    stop = Event()
    stop.set()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        shell(f"sleep {LONG}", stop)
    assert time.monotonic() - begun < LONG / 2


def test_a_stop_ends_the_whole_group_politely(tmp_path: Path) -> None:
    script = f"""
    cd {tmp_path}
    (trap 'touch child; exit' TERM; echo ready >&3; while :; do sleep 0.1; done) 3>ready &
    trap 'touch leader; wait; exit' TERM
    while [ ! -s ready ]; do sleep 0.02; done
    echo $$ $!
    while :; do sleep 0.1; done
    """
    stopping = StopAt()
    stopping.run(script)
    assert (tmp_path / "leader").exists()
    assert (tmp_path / "child").exists()
    assert [find_process(pid) for pid in stopping.pids] == [None, None]


def test_what_does_not_heed_a_polite_word_is_killed() -> None:
    stopping = StopAt()
    stopping.run(
        "trap '' TERM; (while :; do sleep 1; done) & echo $$ $!; while :; do sleep 1; done",
        grace_seconds=0.2,
    )
    assert len(stopping.pids) == 2
    eventually(lambda: not any(find_process(pid) for pid in stopping.pids))


def test_a_child_that_outlives_its_polite_leader_is_killed() -> None:
    stopping = StopAt()
    stopping.run(f"(trap '' TERM; sleep {LONG}) & echo $$ $!; wait")
    eventually(lambda: not any(find_process(pid) for pid in stopping.pids))


def test_a_listener_that_fails_leaves_no_process() -> None:
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(["sh", "-c", f"echo $$; sleep {LONG}"], stop=Event(), on_line=fail)
    assert find_process(pids[0]) is None


# ----------------------------------------------------------------------------------- what it leaves


def test_a_grandchild_that_holds_the_output_does_not_hold_us() -> None:
    begun = time.monotonic()
    (pid,) = said(f"setsid sleep {LONG} & echo $!")
    try:
        assert time.monotonic() - begun < LONG / 2
    finally:
        os.kill(int(pid), signal.SIGKILL)


def test_a_grandchild_that_never_stops_talking_does_not_hold_us() -> None:
    begun = time.monotonic()
    pids: list[int] = []

    def hear(line: str) -> None:
        pids.extend([int(line)] if line.isdecimal() else [])

    assert run(["sh", "-c", "yes & echo $!"], stop=Event(), on_line=hear).exit_code == 0
    assert time.monotonic() - begun < LONG / 2
    eventually(lambda: find_process(pids[0]) is None)


def test_what_a_program_leaves_in_its_group_goes_with_it() -> None:
    (pid,) = said(f"sleep {LONG} >/dev/null 2>&1 & echo $!")
    eventually(lambda: find_process(int(pid)) is None)


PARENT = f"""
import sys, threading
from barmand.outside.process import run
def work():
    run(["sh", "-c", "echo $$; exec sleep {LONG}"], stop=threading.Event(),
        on_line=lambda line: print(line, flush=True))
worker = threading.Thread(target=work)
worker.start()
worker.join()
"""


def test_a_child_dies_with_a_daemon_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            assert select.select([child], [], [], 10)[0]
        finally:
            os.close(child)


# --------------------------------------------------------------------------------- what it is given


def test_systemds_own_words_are_not_for_children() -> None:
    ours = {
        **os.environ,
        "NOTIFY_SOCKET": "/run/x",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "JOURNAL_STREAM": "8:1",
        "PLAIN": "yes",
        "LC_ALL": "de_DE.UTF-8",
    }
    script = (
        "import threading; from barmand.outside.process import run;"
        "run(['env'], stop=threading.Event(), environment={'PGPASSWORD': 'secret'}, on_line=print)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], env=ours, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    names = {line.partition("=")[0] for line in printed}
    assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}
    assert {"PLAIN=yes", "LC_ALL=C", "PGPASSWORD=secret"} <= set(printed)


def test_a_child_heeds_sigterm_and_reads_nothing() -> None:
    masks = dict(line.split() for line in said("grep -E 'Sig(Blk|Ign)' /proc/self/status"))
    term = 1 << (signal.SIGTERM - 1)
    assert not int(masks["SigBlk:"], 16) & term
    assert not int(masks["SigIgn:"], 16) & term
    assert said("cat; echo end") == ["end"]


# ----------------------------------------------------------------------------------------- versions


def program(folder: Path, script: str) -> Path:
    path = folder / "pg_tool"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("words", "major"),
    [
        ("pg_tool (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("pg_tool (PostgreSQL) 17beta1", 17),
        ("pg_tool (PostgreSQL) 18devel", 18),
    ],
)
def test_a_program_tells_its_major_version(tmp_path: Path, words: str, major: int) -> None:
    assert version_of(program(tmp_path, f"echo '{words}'")) == major


@pytest.mark.parametrize("script", ["exit 1", "echo something", "echo '(PostgreSQL) x'", "exit 0"])
def test_a_program_that_does_not_tell_is_a_failure(tmp_path: Path, script: str) -> None:
    with pytest.raises(ToolFailed, match="does not tell its version"):
        version_of(program(tmp_path, script))


def test_a_program_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="does not tell its version"):
        version_of(tmp_path / "gone")
