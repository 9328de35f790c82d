"""The real barmand for a test: started, told, watched, and stopped without leftovers."""

import configparser
import contextlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from support.postgres import Cluster
from support.processes import Process, descendants, find_process, kill_all, marked

PROGRAMS = Path(sys.executable).parent  # where pip put barmand and barmanctl
MARK = "BARMAND_TEST_DAEMON"  # in the environment of the daemon and of all that it starts
TIMEOUT = 30.0
_COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""barmanctl has tests of its own; to be measured would cost it five times its start."""

Options = Mapping[str, object | None]


# ------------------------------------------------------------------------------------- the settings


def server_options(cluster: Cluster, **options: object | None) -> dict[str, object | None]:
    """The section of one server: streaming, by pg_basebackup. An option set to None is left out."""
    return {
        "conninfo": cluster.conninfo,
        "backup_method": "postgres",
        "path_prefix": cluster.bindir,
        "streaming_archiver": "on",
        "slot_name": "barmand",
        "create_slot": "auto",
        "immediate_checkpoint": "on",
    } | options


def ini(folder: Path, servers: Mapping[str, Options], **options: object | None) -> str:
    """The INI of a daemon that keeps everything in `folder`; `options` go to [barmand]."""
    everything = {
        "barman_home": folder / "home",
        "state_directory": folder / "state",
        "control_socket": folder / "ctl",
        "check_interval": 0,  # a verdict that nobody asked for is an error in the log
    } | options
    parser = configparser.ConfigParser(interpolation=None)
    for section, values in {"barmand": everything, **servers}.items():
        parser[section] = {k: str(v) for k, v in values.items() if v is not None}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


# --------------------------------------------------------------------------------------- the daemon


class Daemon:
    """One barmand: its folder, its settings, its life."""

    def __init__(self, folder: Path, ini_text: str) -> None:
        self.folder = folder
        self.config = folder / "barmand.conf"
        self.config.write_text(ini_text)
        self.log_file = folder / "log"
        self.environment: dict[str, str] = {}
        self._identity = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        self._notices: _Notices | None = None
        self._family: list[Process] = []
        self._expected: list[str] = []

    # Life.

    @property
    def pid(self) -> int:
        assert self._process is not None, "the daemon was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def socket(self) -> Path:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.config)
        return Path(parser["barmand"]["control_socket"])

    def start(self, timeout: float = TIMEOUT) -> Self:
        """Until it says READY=1."""
        self.launch()
        self.wait_for_notice("READY=1", timeout=timeout)
        return self

    def launch(self, *options: str) -> None:
        """Start it without waiting for anything: for the tests in which it must refuse."""
        assert not self.is_running
        self._forget_process()
        self._notices = _Notices(self.folder / "notify")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAMS / "barmand", "--config", self.config, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(NOTIFY_SOCKET=str(self.folder / "notify")),
                cwd=self.folder,
            )
        self._notices.listen(self._process.pid)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Until it has ended by itself; its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"barmand did not end in {timeout} s\n{self.log}") from None

    def stop(self, timeout: float = TIMEOUT) -> int:
        """TERM, and wait; its exit code."""
        self._note_family()
        self._signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill9(self) -> None:
        self._note_family()
        self._signal(signal.SIGKILL)
        self.wait()

    def hup(self, timeout: float = TIMEOUT) -> None:
        """Reload, and wait until it is ready again (with the new settings or with the old)."""
        seen = self.notices.count("READY=1")
        self._signal(signal.SIGHUP)
        self.wait_for_notice("READY=1", count=seen + 1, timeout=timeout)

    def children(self) -> list[int]:
        """The processes that the daemon started, and theirs."""
        return [process.pid for process in self._descendants()] if self.is_running else []

    # What it says.

    @property
    def notices(self) -> list[str]:
        """What it told systemd, line by line: READY=1, STATUS=…, WATCHDOG=1."""
        assert self._notices is not None
        return list(self._notices.lines)

    def wait_for_notice(self, line: str, *, count: int = 1, timeout: float = TIMEOUT) -> None:
        assert self._notices is not None
        if not self._notices.wait_for(line, count, timeout):
            ended = "" if self.is_running else " and has ended"
            raise AssertionError(f"barmand did not say {line} in time{ended}\n{self.log}")

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_records(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log, of all its lives; a line that is no record has the level "unparsed"."""
        records = [_record(line) for line in self.log.splitlines() if line.strip()]
        return [r for r in records if event is None or r.get("event") == event]

    def expects(self, event: str) -> None:
        """From now on, errors whose event holds these words are part of the test."""
        self._expected.append(event)

    # What it is told.

    def ctl(
        self,
        *args: str | Path,
        check: bool = True,
        timeout: float = 60,
        input: str | None = None,  # noqa: A002  (the word of subprocess.run)
    ) -> subprocess.CompletedProcess[str]:
        """Run the real barmanctl; `check` demands that it succeeds."""
        done = subprocess.run(
            [PROGRAMS / "barmanctl", *args],
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={k: v for k, v in self._environment().items() if k not in _COVERAGE},
            cwd="/",
        )
        if check and done.returncode != 0:
            said = f"exit {done.returncode}\n{done.stdout}{done.stderr}"
            raise AssertionError(f"barmanctl {' '.join(map(str, args))}: {said}\n{self.log}")
        return done

    def json(self, command: str, *args: str, timeout: float = 60) -> Any:
        """What `barmanctl COMMAND -f json …` prints, as a value."""
        return json.loads(self.ctl(command, "-f", "json", *args, timeout=timeout).stdout)

    def rpc(self, timeout: float = TIMEOUT) -> "Rpc":
        """A connection of one's own to the control socket; close it, or use `with`."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect(str(self.socket))
        return Rpc(connection)

    # The end of the test.

    def finish(self) -> None:
        """Stop it, and fail if it logged an unexpected error or left a process behind."""
        try:
            if self.is_running:
                self.stop()
            self.assert_nothing_lives()
            self.assert_no_unexpected_errors()
        finally:
            self._discard()

    def assert_nothing_lives(self) -> None:
        alive = [process for process in self._leftovers() if not _goes_away(process)]
        assert alive == [], f"left behind: {[process.command for process in alive]}\n{self.log}"

    def assert_no_unexpected_errors(self) -> None:
        bad = [
            record
            for record in self.log_records()
            if record.get("level") in {"error", "critical", "unparsed"}
            and not any(words in str(record.get("event")) for words in self._expected)
        ]
        assert bad == [], f"barmand logged errors that the test did not expect\n{self.log}"

    # Below.

    def _environment(self, **more: str) -> dict[str, str]:
        own = {
            "BARMAND_SOCKET": str(self.socket),
            "BARMAND_LOG": "json",
            MARK: self._identity,
            "PATH": f"{PROGRAMS}:{os.environ.get('PATH', os.defpath)}",
        }
        return {**os.environ, **own, **self.environment, **more}

    def _signal(self, number: int) -> None:
        assert self.is_running, f"barmand is not running\n{self.log}"
        os.kill(self.pid, number)

    def _descendants(self) -> list[Process]:
        return descendants(self.pid)

    def _note_family(self) -> None:
        """A child may clear its environment: remember the children while they have a parent."""
        self._family += self._descendants()

    def _leftovers(self) -> list[Process]:
        me = find_process(self._process.pid) if self._process else None
        found = {*self._family, *marked(MARK, self._identity)}
        return [process for process in found if process != me and process.is_alive]

    def _forget_process(self) -> None:
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    def _discard(self) -> None:
        if self.is_running:
            self.kill9()
        kill_all(self._leftovers())
        self._forget_process()


def _record(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict):
            return record
    return {"level": "unparsed", "event": line}


def _goes_away(process: Process, within: float = 2.0) -> bool:
    """A process that was killed this moment takes a moment to be gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within)[0])
    finally:
        os.close(descriptor)


class _Notices:
    """systemd's end of NOTIFY_SOCKET. It always reads: a full queue would block the daemon."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._reader: threading.Thread | None = None

    def listen(self, pid: int) -> None:
        self._reader = threading.Thread(target=self._listen, args=(os.pidfd_open(pid),))
        self._reader.start()

    def wait_for(self, line: str, count: int, timeout: float) -> bool:
        """Was it said so often, before the time or the sender came to an end?"""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or self.lines.count(line) >= count, timeout=timeout
            )
            return self.lines.count(line) >= count

    def close(self) -> None:
        """After the end of the sender."""
        if self._reader is not None:
            self._reader.join()
        self._socket.close()

    def _listen(self, process: int) -> None:
        try:
            while True:
                ready, _, _ = select.select([self._socket, process], [], [])
                if self._socket in ready:
                    said = self._socket.recv(65536).decode(errors="replace").splitlines()
                    self._tell(said, ended=False)
                elif process in ready:
                    break
        finally:
            os.close(process)
            self._tell([], ended=True)

    def _tell(self, said: Sequence[str], *, ended: bool) -> None:
        with self._changed:
            self.lines += said
            self._ended = ended
            self._changed.notify_all()


# ------------------------------------------------------------------------------- the control socket


@dataclass(slots=True)
class Rpc:
    """JSON-RPC by hand, one message a line, so that a test can also say what no client would."""

    connection: socket.socket
    _pending: bytes = b""
    _next_id: int = field(default=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def send(self, line: bytes | str | dict[str, Any] | list[Any]) -> None:
        """A message; text and bytes go as they are, without a newline added."""
        if isinstance(line, dict | list):
            line = json.dumps(line) + "\n"
        self.connection.sendall(line.encode() if isinstance(line, str) else line)

    def read_line(self) -> bytes:
        """The next line without its end; empty when the other side has closed."""
        while b"\n" not in self._pending:
            more = self.connection.recv(65536)
            if not more:
                line, self._pending = self._pending, b""
                return line
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def read(self) -> dict[str, Any]:
        line = self.read_line()
        assert line, "the daemon closed the connection"
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def request(self, method: str, **params: object) -> int:
        """Send a request; its id."""
        number, self._next_id = self._next_id, self._next_id + 1
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def call(self, method: str, **params: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Send a request; its final answer (`result` or `error`), and what came before it."""
        number, before = self.request(method, **params), list[dict[str, Any]]()
        while (message := self.read()).get("id") != number:
            before.append(message)
        return message, before
