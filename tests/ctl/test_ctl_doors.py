"""What PostgreSQL calls: quick to start, silent, and exit codes that it understands."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from barmand.ctl import doors
from barmand.ctl.main import run
from barmand.model import errors
from barmand.model.errors import EXIT_CODES, Failure, NotFound, Refused, StorageFailed
from barmand.service.caller import Handed
from barmand.service.control import Control
from barmand.service.peers import Rights
from barmand.wire.door_messages import (
    AskPushReady,
    FetchedReply,
    GetWal,
    PeekWal,
    PushedReply,
    PushReadyReply,
    WalNamesReply,
    WalPush,
)
from barmand.wire.messages import AnyNote, Reply
from barmand.wire.methods import AnyRequest
from ctl.fake_daemon import PROGRAM, FakeDaemon, barmanctl, environment

NAME = "000000010000000000000007"
LONG = b"\x07" * 3_000_000


@dataclass(eq=False)
class WalDaemon:
    """The real control socket before a table of files: the answers are by a file's name."""

    files: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    pushed: dict[str, bytes] = field(default_factory=dict)
    lies: int = 0
    asked: list[AnyRequest] = field(default_factory=list)
    path: str = ""
    wait_before: Callable[[str], object] = lambda _name: None

    def answer(
        self, request: AnyRequest, _who: str, file: int | None
    ) -> Iterator[AnyNote | Reply | Handed | None]:
        self.asked.append(request)
        match request:
            case WalPush():
                assert file is not None
                self._fail(request.name)
                self.pushed[request.name] = os.pread(file, 1 << 30, 0)
                yield PushedReply(server="main", name=request.name, is_new=True)
            case AskPushReady():
                self._fail(request.server)
                yield PushReadyReply(server=request.server)
            case GetWal():
                self.wait_before(request.name)
                self._fail(request.name)
                yield self._get(request)
            case PeekWal():
                names = [name for name in sorted(self.files) if name >= request.name]
                yield WalNamesReply(server="main", names=names[: request.count])

    def _fail(self, name: str) -> None:
        if name in self.failures:
            raise self.failures[name]

    def _get(self, request: GetWal) -> Reply | Handed:
        if request.name not in self.files:
            return FetchedReply(server="main", name=request.name, found=False)
        content = self.files[request.name]
        stamp = f"{hash(content):x}".replace("-", "n")
        facts = {"server": "main", "name": request.name, "found": True, "stamp": stamp}
        if request.held == stamp:
            return FetchedReply(**facts, is_same=True)
        memory = os.memfd_create("wal")
        os.write(memory, content)
        return Handed(FetchedReply(**facts, size_bytes=len(content) + self.lies), memory)


@pytest.fixture
def wal(folder: Path) -> Iterator[WalDaemon]:
    daemon = WalDaemon(path=str(folder / "ctl"))
    with ExitStack() as stack:
        control = Control(folder / "ctl", Rights(None, None), daemon.answer)
        control.start()
        stack.callback(control.stop)
        yield daemon


@pytest.fixture
def nobody(folder: Path) -> str:
    return str(folder / "nobody")


def ctl(
    wal: WalDaemon | str, *argv: str | bytes, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    path = wal if isinstance(wal, str) else wal.path
    return subprocess.run(
        [*PROGRAM, *argv],
        env=environment(path),
        capture_output=True,
        check=False,
        timeout=30,
        cwd=cwd,
    )


# ---------------------------------------------------------------------------------------- wal-push
def test_a_push_is_silent_and_sends_the_file_under_its_own_name(
    wal: WalDaemon, tmp_path: Path
) -> None:
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal" / NAME).write_bytes(LONG)
    done = ctl(wal, "wal-push", "main", f"pg_wal/{NAME}", cwd=tmp_path)  # as PostgreSQL calls it
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert wal.pushed == {NAME: LONG}


def test_a_push_in_json_is_a_document(wal: WalDaemon, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"x")
    done = ctl(wal, "wal-push", "-f", "json", "main", str(tmp_path / NAME))
    assert done.stdout == (
        b'{"format": 1, "server": "main", "name": "%s", "is_new": true}\n' % NAME.encode()
    )


@pytest.mark.parametrize("options", [[], ["-f", "console"]])
def test_a_push_that_fails_says_so_in_one_line_and_postgresql_tries_again(
    wal: WalDaemon, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / NAME).write_bytes(b"x")
    wal.failures[NAME] = Refused("another content", hint="It is kept\nas x.")
    done = ctl(wal, "wal-push", "main", str(tmp_path / NAME), *options)
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr == b"barmanctl: another content (It is kept as x.)\n"


def test_nothing_that_can_befall_a_push_ends_the_archiver(
    wal: WalDaemon, nobody: str, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"x")
    path = str(tmp_path / NAME)
    for failure in (*EXIT_CODES, "Bug"):
        assert 0 < EXIT_CODES.get(failure, 1) < 126
    assert ctl(nobody, "wal-push", "main", path).returncode == 10
    assert ctl(wal, "wal-push", "main", f"{path}0").returncode == 8
    assert ctl(wal, "wal-push", "main", str(tmp_path)).returncode not in (0, *range(126, 256))
    assert ctl(wal, "wal-push", "main").returncode == 2
    os.mkfifo(tmp_path / "pipe")
    assert ctl(wal, "wal-push", "main", str(tmp_path / "pipe")).returncode not in range(126, 256)


# ----------------------------------------------------------------------------------------- get-wal
def test_a_file_goes_to_stdout(wal: WalDaemon) -> None:
    wal.files[NAME] = LONG
    done = ctl(wal, "get-wal", "main", NAME)
    assert (done.returncode, done.stdout, done.stderr) == (0, LONG, b"")


def test_a_file_goes_to_a_target_and_nothing_is_left_beside_it(
    wal: WalDaemon, tmp_path: Path
) -> None:
    wal.files[NAME] = LONG
    (tmp_path / "RECOVERYXLOG").write_bytes(b"an older one")
    done = ctl(wal, "get-wal", "main", NAME, "RECOVERYXLOG", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"RECOVERYXLOG": LONG}
    assert stat.S_IMODE((tmp_path / "RECOVERYXLOG").stat().st_mode) == 0o600


def test_a_file_goes_into_a_folder(wal: WalDaemon, tmp_path: Path) -> None:
    wal.files[NAME] = LONG
    assert ctl(wal, "get-wal", "-o", str(tmp_path), "main", NAME).returncode == 0
    assert (tmp_path / NAME).read_bytes() == LONG


@pytest.mark.parametrize("name", [NAME, "00000002.history"])
def test_what_is_not_in_the_archive_is_exit_code_one_and_silent(wal: WalDaemon, name: str) -> None:
    done = ctl(wal, "get-wal", "main", name, "/nowhere/x")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in EXIT_CODES])
def test_every_failure_stops_postgresql(wal: WalDaemon, kind: type[Failure]) -> None:
    wal.failures[NAME] = kind("it went wrong")
    done = ctl(wal, "get-wal", "main", NAME)
    assert (done.returncode, done.stdout) == (200 + kind.exit_code, b"")
    assert done.stderr == b"barmanctl: it went wrong\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["get-wal"],
        ["get-wal", "main"],
        ["get-wal", "main", NAME, "x", "y"],
        ["get-wal", "main", NAME, "--nonsense"],
        ["get-wal", "main", NAME, "-p", "many"],
        ["get-wal", "main", NAME, "x", "-o", "y"],
        ["get-wal", "main", NAME, "-f", "json"],
        ["-f", "json", "get-wal", "main", NAME],
        ["get-wal", "main", b"\xff"],
        ["--socket"],
        ["--socket", "x", "get-wal", ""],
    ],
)
def test_a_wrong_command_line_stops_postgresql(wal: WalDaemon, argv: list[str]) -> None:
    done = ctl(wal, *argv)
    assert done.returncode == (202 if "get-wal" in argv else 2)
    assert done.stdout == b"" or "json" in argv


def test_a_daemon_that_is_down_stops_postgresql(nobody: str) -> None:
    assert ctl(nobody, "get-wal", "main", NAME).returncode == 210


def test_a_daemon_that_goes_away_in_mid_answer_stops_postgresql(tmp_path: Path) -> None:
    with FakeDaemon(lambda _call: [b'{"jsonrpc": "2.0", "id": 1, "res']) as daemon:
        done = ctl(daemon.path, "get-wal", "main", NAME, str(tmp_path / "x"))
    assert done.returncode == 210
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_not_ours_stops_postgresql() -> None:
    with FakeDaemon(lambda _call: [b'{"jsonrpc": "2.0", "id": 1, "result": {}}\n']) as daemon:
        assert ctl(daemon.path, "get-wal", "main", NAME).returncode == 201


@pytest.mark.parametrize("lies", [-1, 1])
def test_a_file_of_another_size_than_told_is_not_delivered(
    wal: WalDaemon, tmp_path: Path, lies: int
) -> None:
    wal.files[NAME], wal.lies = LONG, lies
    done = ctl(wal, "get-wal", "main", NAME, str(tmp_path / "x"))
    assert done.returncode == 208
    assert list(tmp_path.iterdir()) == []
    done = ctl(wal, "get-wal", "main", NAME)
    assert (done.returncode, done.stdout) == (208, b"")


def test_a_target_that_cannot_be_written_stops_postgresql(wal: WalDaemon) -> None:
    wal.files[NAME] = LONG
    assert ctl(wal, "get-wal", "main", NAME, "/nowhere/x").returncode == 208
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, "get-wal", "main", NAME],
            env=environment(wal.path),
            stdout=full,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == 208


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_stops_postgresql_or_does_no_harm(wal: WalDaemon, closed: int) -> None:
    wal.files[NAME] = LONG
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *PROGRAM, "get-wal", "main", NAME],
        env=environment(wal.path),
        capture_output=True,
        check=False,
    )
    assert done.returncode == (0 if closed == 2 else 208)


def test_appending_to_a_file_works_too(wal: WalDaemon, tmp_path: Path) -> None:
    wal.files[NAME] = LONG
    with (tmp_path / "x").open("ab") as target:
        done = subprocess.run(
            [*PROGRAM, "get-wal", "main", NAME],
            env=environment(wal.path),
            stdout=target,
            check=False,
        )
    assert done.returncode == 0
    assert (tmp_path / "x").read_bytes() == LONG


def test_peeking_prints_names(wal: WalDaemon) -> None:
    wal.files |= {f"{NAME[:-1]}{digit}": b"x" for digit in "789"}
    done = ctl(wal, "get-wal", "--peek", "2", "main", NAME)
    assert (done.returncode, done.stdout) == (0, f"{NAME}\n{NAME[:-1]}8\n".encode())
    assert ctl(wal, "get-wal", "--peek", "2", "main", f"{NAME[:-1]}A").returncode == 1
    assert ctl("/nowhere", "get-wal", "--peek", "2", "main", NAME).returncode == 210


def test_partial_reaches_the_daemon(wal: WalDaemon) -> None:
    ctl(wal, "get-wal", "-P", "main", NAME)
    ctl(wal, "get-wal", "--partial", "main", NAME)
    assert wal.asked == [GetWal(server="main", name=NAME, partial=True)] * 2


# ------------------------------------------------------------------------------------------- start
@pytest.mark.parametrize(
    ("argv", "command"),
    [
        ("get-wal main x", "get-wal"),
        ("--socket get-wal ping", "ping"),
        ("-f json get-wal", "get-wal"),
        ("--socket=x -f=json get-wal", "get-wal"),
        ("", None),
    ],
)
def test_the_command_is_told_without_a_parser(argv: str, command: str | None) -> None:
    assert doors.command_of(argv.split()) == command


def test_both_ways_to_read_a_command_line_agree(
    wal: WalDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARMAND_SOCKET", wal.path)
    wal.files[NAME] = LONG
    for options in ([], ["-P"], ["-o", str(tmp_path)], ["-p", "0"]):
        line = ["get-wal", *options, "main", NAME]
        if not options or options[0] != "-o":
            line.append(str(tmp_path / NAME))
        assert doors.quick(line) == 0
        assert doors.quick([*line, "-f", "console"]) is None
        assert run([*line, "-f", "console"]) == 0
        first, second = wal.asked[-2:]
        assert first == second


def test_what_postgresql_calls_loads_no_parser_and_nothing_else_that_is_slow(
    wal: WalDaemon, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"x")
    wal.files[NAME] = LONG
    # What the installation loads for every program (a .pth file of a coverage, say) is not ours.
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "pass"],
        env=environment(wal.path),
        capture_output=True,
        text=True,
        check=True,
    )
    always = set(re.findall(r"\| +([\w.]+)$", bare.stderr, re.MULTILINE))
    for words in (["wal-push", "main", str(tmp_path / NAME)], ["get-wal", "main", NAME, "x"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *PROGRAM[1:], *words],
            env=environment(wal.path),
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
        assert {"barmand.ctl.doors", "_socket"} <= loaded | always
        loaded -= always
        assert words[0] == "get-wal" or not loaded & {"socket", "json", "enum", "re"}
        assert not loaded & {"argparse", "pathlib", "dataclasses", "msgspec", "rich", "tempfile"}


def test_an_unknown_server_is_not_taken_for_an_absent_file(wal: WalDaemon) -> None:
    wal.failures[NAME] = NotFound("no server 'main' is configured")
    assert barmanctl(wal.path, "get-wal", "main", NAME).returncode == 203


def test_a_fault_of_ours_stops_postgresql(capsys: pytest.CaptureFixture[str]) -> None:
    def faulty() -> int:
        raise ZeroDivisionError("oh")

    def failing() -> int:
        raise StorageFailed("no")

    assert doors.told_to_recovery(faulty) == 201
    assert doors.told_to_recovery(failing) == 208
    assert capsys.readouterr().err == "barmanctl: unexpected ZeroDivisionError: oh\nbarmanctl: no\n"
