"""A hook as it really runs: hung, killed, broken, loud, and with what it leaves behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from barmand.model.errors import Stopped
from barmand.model.hook import Ended
from barmand.outside.hook_program import HookProgram
from barmand.service.stopping import StopFlag
from support.waiting import eventually

LONG = 120.0
PROGRAM = HookProgram(grace_seconds=0.5)


def run(command: str, *, seconds: float = LONG, **environment: str) -> Ended:
    return PROGRAM.run(command, environment, timeout_seconds=seconds, stop=StopFlag())


def is_alive(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rsplit(")", 1)[1].split()[0] not in "ZX"


def test_code_and_output_come_back() -> None:
    done = run("echo out; echo err >&2; exit 3")
    assert (done.exit_code, done.output) == (3, "out\nerr")
    assert done.words == "ended with exit code 3"


def test_it_is_told_its_variables_and_keeps_the_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_DAEMON", "yes")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.delenv("LC_ALL", raising=False)
    hostile = "$(touch x); `id` \"' \n -rf /"
    done = run('printf "%s|%s|%s|%s" "$V" "$OF_THE_DAEMON" "$NOTIFY_SOCKET" "$LC_ALL"', V=hostile)
    assert done.output == f"{hostile}|yes||"


def test_path_prefix_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "ls"
    own.write_text("#!/bin/sh\necho mine\n")
    own.chmod(0o755)
    program = HookProgram((tmp_path,))
    done = program.run("ls", {}, timeout_seconds=LONG, stop=StopFlag())
    assert done.output == "mine"


def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    file = tmp_path / "not-executable"
    file.touch(0o644)
    assert run("/nowhere/at/all").exit_code == 127
    assert run(str(file)).exit_code == 126


def test_one_that_is_killed_says_so() -> None:
    done = run("kill -KILL $$")
    assert (done.exit_code, done.words) == (-signal.SIGKILL, "was killed by SIGKILL")


def test_one_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    done = run(f"echo begun; sleep 1000 & echo $! > {pid}; wait", seconds=1)
    assert done.timed_out
    assert done.exit_code is None
    assert done.output == "begun"
    eventually(lambda: not is_alive(pid))


def test_one_that_takes_no_term_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    done = run(f"trap '' TERM; echo $$ > {pid}; while :; do sleep 0.1; done", seconds=1)
    assert done.timed_out
    eventually(lambda: not is_alive(pid))


def test_what_it_leaves_in_its_group_goes_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    done = run(f"sleep 1000 & echo $! > {pid}; echo over")
    assert (done.exit_code, done.output) == (0, "over")
    eventually(lambda: not is_alive(pid))


def test_a_daemon_that_holds_its_output_is_ended(tmp_path: Path) -> None:
    """It left the group, but not the pipe: nobody waits for it, and it does not stay."""
    pid = tmp_path / "pid"
    done = run(
        f"setsid sh -c 'echo $$ > {pid}; exec sleep 1000' & while [ ! -s {pid} ]; do :; done"
    )
    assert done.exit_code == 0
    eventually(lambda: not is_alive(pid))


def test_one_that_has_let_go_of_everything_stays(tmp_path: Path) -> None:
    """As a service that a hook starts on purpose."""
    pid = tmp_path / "pid"
    run(
        f"setsid sh -c 'echo $$ > {pid}; exec sleep 1000' >/dev/null 2>&1 & "
        f"while [ ! -s {pid} ]; do :; done"
    )
    assert is_alive(pid)
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_flood_is_cut_and_marked() -> None:
    done = run("yes 0123456789 | head -c 100000000; echo last")
    assert done.exit_code == 0
    assert done.output.startswith("[cut: the end of 100000005 bytes]")
    assert done.output.endswith("last")
    assert len(done.output) < 10_000


def test_a_flood_without_end_is_ended_in_time() -> None:
    assert run("yes", seconds=1).timed_out


def test_a_stop_ends_it(tmp_path: Path) -> None:
    stop, pid = StopFlag(), tmp_path / "pid"
    timer = threading.Thread(
        target=lambda: (eventually(lambda: pid.exists() and pid.read_text()), stop.stop("enough"))
    )
    timer.start()
    with pytest.raises(Stopped):
        PROGRAM.run(f"echo $$ > {pid}; sleep 1000", {}, timeout_seconds=LONG, stop=stop)
    timer.join()
    eventually(lambda: not is_alive(pid))


def process_that_runs(script: str) -> subprocess.Popen[bytes]:
    """A process in the daemon's place, to be killed while it runs this hook."""
    code = (
        "from barmand.outside.hook_program import HookProgram\n"
        "from barmand.service.stopping import StopFlag\n"
        f"HookProgram().run({script!r}, {{}}, timeout_seconds=1000, stop=StopFlag())\n"
    )
    return subprocess.Popen([sys.executable, "-c", code])


def test_the_group_does_not_outlive_a_daemon_that_is_killed(tmp_path: Path) -> None:
    """The kernel ends the shell with its parent, but not what the shell has started."""
    pid = tmp_path / "pid"
    child = process_that_runs(f"sleep 1000 & echo $! > {pid}; wait")
    eventually(lambda: pid.exists() and pid.read_text() and is_alive(pid))
    child.kill()
    child.wait()
    eventually(lambda: not is_alive(pid))


def test_who_left_the_group_and_holds_the_output_does_not_outlive_the_daemon(
    tmp_path: Path,
) -> None:
    """One that has let go of both stays, as it does when a run ends by itself."""
    pids = {name: tmp_path / name for name in ("holds", "free")}
    holds, free = (f"setsid sh -c 'echo $$ > {pid}; exec sleep 1000'" for pid in pids.values())
    child = process_that_runs(f"{holds} & {free} >/dev/null 2>&1 & wait")
    for pid in pids.values():
        eventually(lambda pid=pid: pid.exists() and pid.read_text() and is_alive(pid))
    child.kill()
    child.wait()
    eventually(lambda: not is_alive(pids["holds"]))
    assert is_alive(pids["free"])
    os.kill(int(pids["free"].read_text()), signal.SIGKILL)


def test_what_cannot_be_started_is_a_failure_and_no_fault() -> None:
    done = run("true", HUGE="x" * 200_000)
    assert done.exit_code is None
    assert not done.timed_out
    assert done.words.startswith("could not be started: ")


@pytest.mark.parametrize(
    ("command", "doubt"),
    [
        ("/nowhere/hook", "there is no file /nowhere/hook"),
        ("/nowhere/hook --x 'y z'", "there is no file /nowhere/hook"),
        ("A=1 B=2 /nowhere/hook", "there is no file /nowhere/hook"),
        ("/etc", "/etc is a folder"),
        ("/proc/version", "/proc/version is not executable"),
        ("no-such-program-at-all x", "there is no program 'no-such-program-at-all' on its PATH"),
        ("true", None),
        ("/bin/sh -c 'x'", None),
        ("exit 3", None),
        ("if true; then x; fi", None),
        ("$HOME/hook", None),
        ("~/hook", None),
        ("(cd /; x)", None),
        ("echo 'unclosed", None),
        ("# nothing", None),
    ],
)
def test_what_can_be_told_of_a_command_without_running_it(command: str, doubt: str | None) -> None:
    assert PROGRAM.doubt(command) == doubt


def test_a_command_that_the_daemon_may_not_even_see_is_told(tmp_path: Path) -> None:
    """A script in another user's home, say."""
    folder = tmp_path / "home"
    folder.mkdir()
    hook = folder / "hook"
    hook.touch(0o755)
    folder.chmod(0)
    try:
        assert PROGRAM.doubt(str(hook)) == f"{hook} cannot be reached: Permission denied"
    finally:
        folder.chmod(0o700)
