"""Run a program, end its whole group: subprocess's only door.

A program lives in a process group of its own, and dies with the daemon: `setpriv --pdeathsig` asks
the kernel for that in the child itself (a `preexec_fn` is not safe in a threaded process). The
kernel ties that signal to the thread which started the child, so the same thread waits for it.
"""

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

from barmand.model.errors import Stopped, ToolFailed
from barmand.outside.holders import END_ALL, end_holders, pipe_name
from barmand.outside.printed import Lines

STOP_POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
_CHUNK_BYTES = 65536
_WHO_KILLED = (
    "Was it the kernel, for want of memory? Look in its log (`journalctl --dmesg`) for `Out of "
    "memory`. With `basebackup_retry_times` it is tried again."
)
_LAST_WORDS_SECONDS = 0.5
_OUR_TOOLS = {"LC_ALL": "C"}
_NOT_FOR_CHILDREN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")


class Stop(Protocol):
    def is_set(self) -> bool: ...


@runtime_checkable
class Audible(Protocol):
    """A stop that wakes whoever waits on its bell, a descriptor."""

    def bell(self) -> AbstractContextManager[int]: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """`tail`: the last lines that it printed, on either stream."""

    exit_code: int
    tail: tuple[str, ...]

    @property
    def words(self) -> str:
        """How it ended: `ended with exit code 1`, `was killed by SIGKILL`."""
        if self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        return f"was killed by {signal.Signals(-self.exit_code).name}"

    @property
    def way_out(self) -> str | None:
        """What the operator can do about one that was killed from outside."""
        return _WHO_KILLED if self.exit_code == -signal.SIGKILL else None


def find_program(name: str, path_prefix: Sequence[Path] = ()) -> Path:
    """The program in `path_prefix`, else on PATH. Raises ToolFailed when there is none."""
    path = os.pathsep.join([*(str(folder) for folder in path_prefix), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        raise ToolFailed(
            f"program not found: {name}",
            hint="Install it, or name its folder in `path_prefix`.",
        )
    return Path(found)


def run(
    argv: Sequence[str],
    *,
    stop: Stop,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _line: None,
    on_start: Callable[[int], None] = lambda _pid: None,
    grace_seconds: float = GRACE_SECONDS,
) -> Finished:
    """Run to the end, or until `stop`: then the whole process group goes, politely first.

    Raises Stopped when `stop` ended it, ToolFailed when it could not be started. What it prints
    goes line by line to `on_line`; only the last lines are kept. `on_start` hears its pid.
    """
    with _started(argv, {**_OUR_TOOLS, **(environment or {})}) as process:
        on_start(process.pid)
        lines = Lines(on_line)
        if _follow(process, lines.feed, stop):
            _end_group(process, grace_seconds)
            raise Stopped(f"{Path(argv[0]).name} was stopped")
        # The leader has ended but is not yet waited for, so its group's number is still ours.
        _signal_group(process, signal.SIGKILL)
        exit_code = process.wait()
        lines.close()
        return Finished(exit_code, tuple(lines.tail))


def run_foreign(
    argv: Sequence[str],
    *,
    mark: str,
    stop: Stop,
    environment: Mapping[str, str],
    hear: Callable[[bytes], None],
    grace_seconds: float = GRACE_SECONDS,
) -> Finished:
    """As `run`, for a program that is not ours: in its own locale, and nothing of it is left.

    What left its group and still holds its output at the end is ended too: `mark`, a word of the
    environment, tells that it is the program's. None of these outlives the daemon.
    """
    with _leash(mark) as hold, _started(argv, environment) as process:
        hold(process)
        is_stopped = _follow(process, hear, stop)
        if is_stopped:
            _end_group(process, grace_seconds)
        else:
            _signal_group(process, signal.SIGKILL)
        if not _hear_out(process, hear):
            end_holders(_output(process).fileno(), mark)
        exit_code = process.wait()
        if is_stopped:
            raise Stopped(f"{Path(argv[0]).name} was stopped")
        return Finished(exit_code, ())


@contextmanager
def running_beside(
    argv: Sequence[str],
    *,
    is_ready: Callable[[str], bool],
    seconds: float,
    stop: Stop,
    environment: Mapping[str, str] | None = None,
) -> Iterator[bool]:
    """A program that runs until the end of the `with`; True once it printed what `is_ready` knows.

    False if it ended before, or has not in so many `seconds`, or `stop` was set: it is no more
    then. What it prints later is heard by nobody. ToolFailed when it could not be started.
    """
    until = _Until(is_ready, stop, time.monotonic() + seconds)
    with _started(argv, {**_OUR_TOOLS, **(environment or {})}) as process:
        _follow(process, Lines(until.take).feed, until)
        if not until.has_come:
            _end_group(process, 0)
        _output(process).close()
        yield until.has_come


@dataclass(slots=True)
class _Until:
    """A stop that is set when the line has come, too."""

    is_line: Callable[[str], bool]
    stop: Stop
    deadline: float
    has_come: bool = False

    def take(self, line: str) -> None:
        self.has_come = self.has_come or self.is_line(line)

    def is_set(self) -> bool:
        return self.has_come or self.stop.is_set() or time.monotonic() > self.deadline


@contextmanager
def _started(
    argv: Sequence[str], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    inherited = {key: value for key, value in os.environ.items() if key not in _NOT_FOR_CHILDREN}
    guarded = [str(find_program("setpriv")), "--pdeathsig", "KILL", "--", *argv]
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; every argument is a word of its own
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**inherited, **environment},
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(f"cannot start {argv[0]}", hint=str(error)) from error
    try:
        yield process
    finally:
        if process.returncode is None:
            _end_group(process, 0)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def _leash(mark: str) -> Iterator[Callable[["subprocess.Popen[bytes]"], None]]:
    """The kernel ends only a program itself with the daemon; this one ends all of it.

    It is there first, and then told which group that is, and which output.
    """
    try:
        guard = subprocess.Popen(  # noqa: S603 - our own words
            ["/bin/sh", "-c", END_ALL],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed("cannot start /bin/sh", hint=str(error)) from error
    held = guard.stdin
    if held is None:
        raise TypeError("started without a pipe")

    def hold(process: "subprocess.Popen[bytes]") -> None:
        told = f"{process.pid} {pipe_name(_output(process).fileno())} {mark}\n"
        with suppress(BrokenPipeError):  # somebody killed it: then only the kernel watches
            os.write(held.fileno(), told.encode())

    try:
        yield hold
    finally:
        guard.kill()
        guard.wait()
        held.close()


def _follow(process: "subprocess.Popen[bytes]", hear: Callable[[bytes], None], stop: Stop) -> bool:
    """Read until the process ends (False) or `stop` is set (True).

    The end is told by the process itself, not by its output: a grandchild may keep that open.
    """
    output = _output(process)
    with ExitStack() as open_files:
        selector = open_files.enter_context(selectors.DefaultSelector())
        ended = open_files.enter_context(closing(_pid_file(process)))
        selector.register(output, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        poll_seconds: float | None = STOP_POLL_SECONDS
        if isinstance(stop, Audible):  # a receiver waits for weeks: it must not look every moment
            selector.register(open_files.enter_context(stop.bell()), selectors.EVENT_READ)
            poll_seconds = None
        while not stop.is_set():
            ready = {key.fileobj for key, _ in selector.select(poll_seconds)}
            if output in ready:
                data = output.read1(_CHUNK_BYTES)  # type: ignore[attr-defined] # Popen's pipes are buffered readers
                hear(data)
                if not data:
                    selector.unregister(output)
            if ended in ready:  # what it printed at last was read just now, whoever prints on
                return False
    return True


def _hear_out(process: "subprocess.Popen[bytes]", hear: Callable[[bytes], None]) -> bool:
    """What was printed at last; False when somebody still holds the output."""
    output = _output(process)
    deadline = time.monotonic() + _LAST_WORDS_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            data = output.read1(_CHUNK_BYTES)  # type: ignore[attr-defined] # as in `_follow`
            if not data:
                return True
            hear(data)
    return False


def _pid_file(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    return os.fdopen(os.pidfd_open(process.pid), "rb", buffering=0)


def _output(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    if process.stdout is None:
        raise TypeError("started without a pipe")
    return process.stdout


def _end_group(process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
    _signal_group(process, signal.SIGTERM)
    with selectors.DefaultSelector() as selector, closing(_pid_file(process)) as ended:
        selector.register(ended, selectors.EVENT_READ)
        selector.select(grace_seconds)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # nobody is left in the group, which is what the signal was for
