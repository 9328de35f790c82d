"""Signals are told to the main thread, and children get them as if we had never listened."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

LISTENER = """
import subprocess, sys
from barmand.service.signals import Signals
signals = Signals()
print("listening", flush=True)
while True:
    heard = signals.wait(30)
    print(*sorted(each.name for each in heard), flush=True)
    if "SIGTERM" in [each.name for each in heard]:
        break
"""

CHILD = """
import signal, subprocess, sys
from barmand.service.signals import Signals
Signals()
child = subprocess.Popen([sys.executable, "-c", "import signal; print(*signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True); signal.pause()"], stdout=subprocess.PIPE, text=True)
print("masked:" + child.stdout.readline().strip(), flush=True)
child.terminate()
print("ended by", signal.Signals(-child.wait(20)).name, flush=True)
"""  # noqa: E501 - a program in a program


@pytest.fixture
def listener() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True
    ) as process:
        assert read(process) == "listening"
        yield process
        process.kill()


def read(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_is_heard_and_ends_nothing(listener: "subprocess.Popen[str]", name: str) -> None:
    listener.send_signal(signal.Signals[name])
    assert read(listener) == name
    assert listener.poll() is None


def test_term_is_heard_and_not_deadly(listener: "subprocess.Popen[str]") -> None:
    listener.terminate()
    assert read(listener) == "SIGTERM"
    assert listener.wait(20) == 0


def test_a_storm_of_signals_loses_no_kind(listener: "subprocess.Popen[str]") -> None:
    for _ in range(2000):
        listener.send_signal(signal.SIGHUP)
    listener.terminate()
    heard: set[str] = set()
    while "SIGTERM" not in heard:
        heard |= set(read(listener).split())
    assert heard == {"SIGHUP", "SIGTERM"}
    assert listener.wait(20) == 0


def test_waiting_has_an_end_when_nothing_comes() -> None:
    program = "from barmand.service.signals import Signals; print(Signals().wait(0.01))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "set()\n"


def test_children_mask_nothing_and_end_at_term() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines() == ["masked:", "ended by SIGTERM"]
