"""The control socket answers who asks properly, and survives everybody else."""

import contextlib
import json
import os
import resource
import select
import socket
import stat
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from barmand.model.errors import Refused
from barmand.service.control import LIMITS, Control, Limits
from barmand.service.listening import bind
from barmand.service.peers import Peer, Rights
from barmand.wire.lines import LINE_BYTES
from barmand.wire.messages import (
    AnyNote,
    Cancel,
    ErrorView,
    ListServers,
    Ping,
    Pong,
    ProblemNote,
    Reply,
    ServersReply,
    ShowBackup,
)
from barmand.wire.methods import AnyRequest
from support.daemon import Rpc
from support.waiting import eventually

PATIENCE = 20
PONG = Pong(version="1", protocol=1, pid=1)
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602


@dataclass(eq=False)
class FakeDesk:
    """Answers `show-backup` in the way that the server is called after."""

    let_go: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(
        self, request: AnyRequest, who: str, file: int | None
    ) -> Iterator[AnyNote | Reply | None]:
        assert file is None
        self.asked.append((request.method, who))
        match request:
            case Ping() | Cancel():
                yield PONG
            case ListServers():
                yield ServersReply(servers=[])
            case ShowBackup():
                yield from getattr(self, request.server)()

    def two_notes(self) -> Iterator[AnyNote | Reply | None]:
        yield note("one")
        yield None
        yield note("two")
        yield PONG

    def refusing(self) -> Iterator[AnyNote | Reply | None]:
        raise Refused("main is busy", hint="Wait.")

    def faulty(self) -> Iterator[AnyNote | Reply | None]:
        raise ZeroDivisionError("a secret of ours")

    def unwritable(self) -> Iterator[AnyNote | Reply | None]:
        raise Refused("no such file: \udcff")

    def patient(self) -> Iterator[AnyNote | Reply | None]:
        """Long work: the caller is looked after every hundredth of a second."""
        try:
            self.waiting.set()
            while not self.let_go.wait(0.01):
                yield None
            yield PONG
        finally:
            self.ended.set()

    def flooding(self) -> Iterator[AnyNote | Reply | None]:
        try:
            self.waiting.set()
            while True:
                yield note("x" * 10_000)
        finally:
            self.ended.set()


def note(words: str) -> ProblemNote:
    return ProblemNote(server="main", error=ErrorView(code="Refused", exit_code=4, message=words))


@dataclass(frozen=True)
class FakeRights:
    """The shape of Rights, without groups of this machine."""

    may_do: bool = True
    may_see: bool = True
    control_group: None = None
    monitor_group: None = None

    def may_control(self, _peer: Peer) -> bool:
        return self.may_do

    def may_look(self, _peer: Peer) -> bool:
        return self.may_see

    def demand(self, peer: Peer, method: str, *, is_look: bool) -> None:
        if not (self.may_see if is_look else self.may_do):
            raise Refused(f"{peer} may not ask for {method}")


@dataclass(frozen=True)
class SlowRights(FakeRights):
    """Stops the accepting thread at each newcomer, until it is let through."""

    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let_through: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def may_look(self, peer: Peer) -> bool:
        self.arrived.release()
        assert self.let_through.acquire(timeout=PATIENCE)
        return super().may_look(peer)


@dataclass
class Bench:
    """A control socket that listens, and clients that end with the test."""

    path: Path
    desk: FakeDesk
    control: Control
    clients: contextlib.ExitStack

    def connect(self) -> Rpc:
        connection = self.clients.enter_context(socket.socket(socket.AF_UNIX))
        connection.settimeout(PATIENCE)
        connection.connect(str(self.path))
        return Rpc(connection)


Start = Callable[..., Bench]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """`start(rights=…, **limits)`."""
    with contextlib.ExitStack() as stack:

        def make(rights: Any = None, **limits: Any) -> Bench:
            desk = FakeDesk()
            control = Control(
                folder / "ctl",
                rights or Rights(None, None),
                desk.answer,
                Limits(**limits) if limits else LIMITS,
            )
            control.start()
            stack.callback(control.stop)
            stack.callback(desk.let_go.set)
            return Bench(folder / "ctl", desk, control, stack.enter_context(contextlib.ExitStack()))

        yield make


@pytest.fixture
def bench(start: Start) -> Bench:
    return start()


def assert_served(bench: Bench) -> None:
    """Somebody else gets an answer."""
    with bench.connect() as other:
        assert other.call("ping")[0]["result"]["version"] == "1"


def assert_closed(client: Rpc) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert client.read_line() == b""


# ------------------------------------------------------------------------------------ conversation
def test_a_request_is_answered(bench: Bench) -> None:
    answer, before = bench.connect().call("ping")
    assert answer == {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"format": 1, "version": "1", "protocol": 1, "pid": 1},
    }
    assert before == []


def test_the_answerer_is_told_who_asks(bench: Bench) -> None:
    bench.connect().call("ping")
    ((method, who),) = bench.desk.asked
    assert method == "ping"
    assert who.endswith(f"(uid {os.getuid()})")


def test_notes_come_before_the_result(bench: Bench) -> None:
    answer, before = bench.connect().call("show-backup", server="two_notes", backup="last")
    assert [each["params"]["error"]["message"] for each in before] == ["one", "two"]
    assert [each["method"] for each in before] == ["problem", "problem"]
    assert "result" in answer


def test_requests_sent_at_once_are_answered_in_order(bench: Bench) -> None:
    client = bench.connect()
    lines = [f'{{"jsonrpc":"2.0","id":{number},"method":"ping"}}\n' for number in range(200)]
    client.send("".join(lines))
    assert [client.read()["id"] for _ in lines] == list(range(200))


def test_a_request_may_come_by_bits(bench: Bench) -> None:
    client = bench.connect()
    for byte in b'\n  \r\n{"jsonrpc":"2.0","id":"x","method":"ping"}\n':
        client.send(bytes([byte]))
    assert client.read()["id"] == "x"


def test_the_longest_request_is_still_read(bench: Bench) -> None:
    client = bench.connect()
    line = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    client.send(line + b" " * (LINE_BYTES - len(line)) + b"\n")
    assert "result" in client.read()


def test_a_notification_gets_no_reply(bench: Bench) -> None:
    client = bench.connect()
    for params in ({"server": "two_notes"}, {"server": "refusing"}, {"server": "faulty"}):
        client.send({"jsonrpc": "2.0", "method": "show-backup", "params": params | {"backup": "x"}})
    client.send({"jsonrpc": "2.0", "method": "show-backup", "params": {}})
    client.send({"jsonrpc": "2.0", "method": "no such method"})
    with capture_logs():
        assert client.call("ping")[1] == []
    assert [method for method, _ in bench.desk.asked] == ["show-backup"] * 3 + ["ping"]


# ---------------------------------------------------------------------------------------- failures
def test_a_failure_is_replied_whole(bench: Bench) -> None:
    answer, _ = bench.connect().call("show-backup", server="refusing", backup="last")
    assert answer["error"] == {
        "code": -32004,
        "message": "main is busy",
        "data": {"code": "Refused", "exit_code": 4, "message": "main is busy", "hint": "Wait."},
    }


def test_a_fault_of_ours_is_told_to_the_journal_and_not_to_the_caller(bench: Bench) -> None:
    with capture_logs() as logs:
        answer, _ = bench.connect().call("show-backup", server="faulty", backup="last")
    assert answer["error"]["data"]["code"] == "Bug"
    assert "secret" not in json.dumps(answer)
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["event"], line["method"]) == (
        "request ended in a fault of barmand",
        "show-backup",
    )
    assert_served(bench)


def test_a_failure_that_names_what_is_not_utf8_is_told_all_the_same(bench: Bench) -> None:
    answer, _ = bench.connect().call("show-backup", server="unwritable", backup="last")
    assert answer["error"]["message"] == "no such file: \\udcff"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff\xfe"}', PARSE_ERROR),
        (b"\0", PARSE_ERROR),
        (b"[" * 100_000, PARSE_ERROR),
        (b'{"a":' * 100_000, PARSE_ERROR),
        (b"[]", INVALID_REQUEST),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', INVALID_REQUEST),
        (b"null", INVALID_REQUEST),
        (b'"ping"', INVALID_REQUEST),
        (b'{"id": 1, "method": "ping"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "nuke"}', METHOD_NOT_FOUND),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "show-backup"}', INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": 1}}', INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}', INVALID_PARAMS),
    ],
)
def test_what_is_no_request_gets_an_error_and_the_connection_goes_on(
    bench: Bench, line: bytes, code: int
) -> None:
    client = bench.connect()
    client.send(line + b"\n")
    assert client.read()["error"]["code"] == code
    assert "result" in client.call("ping")[0]


# ---------------------------------------------------------------------------------- hostile callers
def test_an_endless_line_is_refused_in_bounded_memory(bench: Bench) -> None:
    client = bench.connect()
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 64 * LINE_BYTES:
            sent += client.connection.send(b"x" * 65536)
    assert sent < 4 * LINE_BYTES  # what we took, and what the kernel had in its pipes
    answer = client.read()
    assert answer["error"]["code"] == INVALID_REQUEST
    assert str(LINE_BYTES) in answer["error"]["message"]
    assert_closed(client)
    assert_served(bench)


def test_a_line_too_long_by_one_byte_is_refused(bench: Bench) -> None:
    client = bench.connect()
    client.send(b" " * (LINE_BYTES + 1) + b"\n")
    assert client.read()["error"]["code"] == INVALID_REQUEST
    assert_closed(client)


def test_who_is_gone_before_its_refusal_harms_nobody(start: Start) -> None:
    bench = start(callers=1)
    bench.connect().request("show-backup", server="patient", backup="last")
    assert bench.desk.waiting.wait(PATIENCE)  # from here on refusals wait for a thread
    hasty = bench.connect()
    hasty.send(b"x" * (LINE_BYTES + 1))
    hasty.close()
    with capture_logs() as logs:
        bench.desk.let_go.set()
        eventually(lambda: logs, PATIENCE)
    assert [line["event"] for line in logs] == ["caller went away before its refusal"]
    assert_served(bench)


def test_who_hangs_up_in_mid_answer_is_noticed(bench: Bench) -> None:
    client = bench.connect()
    client.request("show-backup", server="patient", backup="last")
    assert bench.desk.waiting.wait(PATIENCE)
    client.close()
    assert bench.desk.ended.wait(PATIENCE)
    assert_served(bench)


def test_who_hangs_up_after_a_notification_wanted_it_done_all_the_same(bench: Bench) -> None:
    client = bench.connect()
    params = {"server": "patient", "backup": "last"}
    client.send({"jsonrpc": "2.0", "method": "show-backup", "params": params})
    assert bench.desk.waiting.wait(PATIENCE)
    client.close()
    assert not bench.desk.ended.wait(0.1)
    bench.desk.let_go.set()
    assert bench.desk.ended.wait(PATIENCE)


def test_who_hangs_up_with_an_answer_unread_is_let_go(bench: Bench) -> None:
    client = bench.connect()
    client.request("ping")
    assert select.select([client.connection], [], [], PATIENCE)[0]
    eventually(lambda: bench.control._idle, PATIENCE)
    client.close()
    eventually(lambda: not bench.control._idle, PATIENCE)
    assert_served(bench)


def test_who_never_reads_costs_a_bounded_time(start: Start) -> None:
    bench = start(send_seconds=0.2)
    client = bench.connect()
    client.request("show-backup", server="flooding", backup="last")
    assert bench.desk.waiting.wait(PATIENCE)
    assert_served(bench)
    assert bench.desk.ended.wait(PATIENCE)


def test_hundreds_of_slow_callers_delay_nobody(bench: Bench) -> None:
    """A byte a second from each of 300, and a ping in under 100 ms (their median, told fairly)."""
    line = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    slow = [bench.connect() for _ in range(300)]
    took: list[float] = []
    with bench.connect() as quick:
        for byte in line[:20]:
            for client in slow:
                client.send(bytes([byte]))
            begun = time.monotonic()
            assert "result" in quick.call("ping")[0]
            took.append(time.monotonic() - begun)
    assert statistics.median(took) < 0.1
    for client in slow:
        client.send(line[20:])
    assert all(client.read()["id"] == 1 for client in slow)


def test_too_many_long_requests_leave_room_for_a_ping(start: Start) -> None:
    bench = start(callers=3, watchers=1)
    first = bench.connect()
    first.request("show-backup", server="patient", backup="last")
    assert bench.desk.waiting.wait(PATIENCE)
    answer, _ = bench.connect().call("list-servers")
    assert answer["error"]["message"] == "too many callers at once"
    assert_served(bench)
    bench.desk.let_go.set()
    assert "result" in first.read()
    eventually(lambda: "result" in bench.connect().call("list-servers")[0], PATIENCE)


# ------------------------------------------------------------------------------------- connections
def test_who_asks_nothing_makes_room_for_who_comes(start: Start) -> None:
    bench = start(connections=2)
    first, second = bench.connect(), bench.connect()
    for client in (first, second):  # the first asked longer ago than the second
        assert "result" in client.call("ping")[0]
        eventually(lambda: len(bench.control._idle) == 2, PATIENCE)
    assert_served(bench)
    assert_closed(first)
    assert "result" in second.call("ping")[0]


def test_who_is_dropped_at_the_moment_it_speaks_harms_nobody(start: Start) -> None:
    rights = SlowRights()
    bench = start(rights, connections=2)
    oldest = bench.connect()
    assert rights.arrived.acquire(timeout=PATIENCE)
    rights.let_through.release()
    bench.connect()
    assert rights.arrived.acquire(timeout=PATIENCE)
    # While the accepting thread is held at the second, a third comes and the oldest speaks: both
    # are told to it at once, and to take in the third it drops the oldest.
    third = bench.connect()
    oldest.request("ping")
    rights.let_through.release(2)
    assert "result" in third.call("ping")[0]
    assert bench.control.is_alive()


def test_without_descriptors_the_longest_idle_makes_room(bench: Bench) -> None:
    idle = bench.connect()
    assert "result" in idle.call("ping")[0]
    eventually(lambda: bench.control._idle, PATIENCE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as newcomer, capture_logs() as logs:
        newcomer.settimeout(PATIENCE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            newcomer.connect(str(bench.path))
            assert "result" in Rpc(newcomer).call("ping")[0]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "connection not accepted" in [line["event"] for line in logs]
    assert_closed(idle)


# ------------------------------------------------------------------------------------------ rights
def test_who_may_nothing_is_told_so_and_turned_away(start: Start) -> None:
    bench = start(FakeRights(may_see=False, may_do=False))
    with capture_logs() as logs:
        client = bench.connect()
        answer = client.read()
        assert_closed(client)
    assert answer["id"] is None
    assert answer["error"]["data"]["code"] == "Refused"
    assert "may not use barmand's control socket" in answer["error"]["message"]
    assert [line["event"] for line in logs] == ["caller refused"]
    assert bench.desk.asked == []


def test_who_is_turned_away_and_gone_already_harms_nobody(start: Start) -> None:
    rights = SlowRights(may_see=False)
    bench = start(rights)
    client = bench.connect()
    assert rights.arrived.acquire(timeout=PATIENCE)
    client.close()
    with capture_logs() as logs:
        rights.let_through.release(2)
        assert "error" in bench.connect().read()
    assert "connection closed at once" in [line["event"] for line in logs]


def test_who_may_only_look_may_look(start: Start) -> None:
    bench = start(FakeRights(may_do=False))
    client = bench.connect()
    assert "result" in client.call("list-servers")[0]
    answer, _ = client.call("cancel", server="main")
    assert answer["error"]["code"] == -32004
    assert "may not ask for cancel" in answer["error"]["message"]
    assert [method for method, _ in bench.desk.asked] == ["list-servers"]


ASK_AS_NOBODY = """
import os, socket, sys
os.setgroups([int(group) for group in sys.argv[2].split()])
os.setresgid(*[4000009] * 3)
os.setresuid(*[4000000] * 3)
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    replies = client.makefile()
    for request in ('"ping"', '"cancel","params":{"server":"main"}'):
        try:
            client.sendall(b'{"jsonrpc":"2.0","id":1,"method":%s}\\n' % request.encode())
        except BrokenPipeError:  # turned away; the reason waits to be read
            pass
        print(replies.readline(), end="", flush=True)
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("groups", "replies"),
    [
        ("", ["may not use barmand's control socket"]),
        ("4000003", ["may not use barmand's control socket"]),
        ("4000002", ["result", "may not ask for cancel"]),
        ("4000001", ["result", "result"]),
    ],
)
def test_another_user_may_what_its_groups_may(
    start: Start, groups: str, replies: list[str]
) -> None:
    bench = start(Rights(control_group=4_000_001, monitor_group=4_000_002))
    done = subprocess.run(
        [sys.executable, "-c", ASK_AS_NOBODY, bench.path, groups],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(replies)
    assert all(words in line for line, words in zip(lines, replies, strict=True)), lines


# --------------------------------------------------------------------------------------- the socket
@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        yield made


NO_GROUPS = Rights(None, None)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_is_for_its_user_and_group(bench: Bench) -> None:
    assert mode_of(bench.path) == 0o660


@pytest.mark.parametrize(
    ("control", "monitor", "mode"),
    [(None, None, 0o660), ("own", None, 0o660), (None, "own", 0o660), ("own", "own", 0o660)],
)
def test_one_group_is_given_the_socket(
    listener: socket.socket, folder: Path, control: str | None, monitor: str | None, mode: int
) -> None:
    own = os.getegid()
    path = folder / "ctl"
    bind(listener, path, Rights(control and own, monitor and own))
    assert (mode_of(path), path.stat().st_gid) == (mode, own)


def test_two_groups_cannot_be_told_to_the_kernel_so_all_may_connect(
    listener: socket.socket, folder: Path
) -> None:
    path = folder / "ctl"
    bind(listener, path, Rights(os.getegid(), os.getegid() + 1))
    assert (mode_of(path), path.stat().st_gid) == (0o666, os.getegid())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may give a file to any group")
def test_a_group_we_are_not_in_is_told(listener: socket.socket, folder: Path) -> None:
    with pytest.raises(Refused, match="to group 0") as error:
        bind(listener, folder / "ctl", Rights(0, None))
    assert error.value.hint is not None
    assert "member" in error.value.hint


def test_the_folder_of_the_socket_is_made(listener: socket.socket, folder: Path) -> None:
    bind(listener, folder / "run" / "barmand" / "ctl", NO_GROUPS)
    assert (folder / "run" / "barmand" / "ctl").is_socket()


def test_a_socket_that_nobody_answers_behind_is_replaced(folder: Path, start: Start) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "ctl"))
        dead.listen()
    assert_served(start())


def test_a_second_listener_is_refused_and_the_first_goes_on(
    bench: Bench, listener: socket.socket
) -> None:
    with pytest.raises(Refused, match="somebody listens on"):
        bind(listener, bench.path, NO_GROUPS)
    assert_served(bench)


def test_a_listener_too_busy_to_answer_is_left_alone(listener: socket.socket, folder: Path) -> None:
    path = folder / "ctl"
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(path))
        with pytest.raises(Refused, match="cannot tell who listens"):
            bind(listener, path, NO_GROUPS)
        assert path.is_socket()


def lay_file(path: Path) -> None:
    path.write_text("precious")


def lay_link(path: Path) -> None:
    path.with_name("target").write_text("precious")
    path.symlink_to(path.with_name("target"))


def lay_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def lay_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("lay", [lay_file, lay_link, lay_dangling_link, lay_folder])
def test_what_is_no_socket_is_never_touched(
    listener: socket.socket, folder: Path, lay: Callable[[Path], None]
) -> None:
    lay(folder / "ctl")
    before = {path: path.lstat() for path in folder.rglob("*")}
    with pytest.raises(Refused, match="exists and is no socket"):
        bind(listener, folder / "ctl", NO_GROUPS)
    assert {path: path.lstat() for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", ["x" * 200, "file/ctl"])
def test_a_path_that_cannot_be_listened_on_is_refused_with_the_reason(
    listener: socket.socket, folder: Path, name: str
) -> None:
    (folder / "file").write_text("in the way")
    with pytest.raises(Refused, match=r"cannot listen on .*: (?!None)") as error:
        bind(listener, folder / name, NO_GROUPS)
    assert str(folder / name) in error.value.message


# -------------------------------------------------------------------------------------------- stop
def test_who_is_being_answered_hears_the_end_of_it(folder: Path) -> None:
    desk = FakeDesk()
    control = Control(folder / "ctl", NO_GROUPS, desk.answer)
    control.start()
    with contextlib.ExitStack() as clients:
        bench = Bench(folder / "ctl", desk, control, clients)
        busy, idle = bench.connect(), bench.connect()
        assert "result" in idle.call("ping")[0]
        busy.request("show-backup", server="patient", backup="last")
        assert desk.waiting.wait(PATIENCE)
        stopping = threading.Thread(target=control.stop)
        stopping.start()
        eventually(lambda: not control.is_alive(), PATIENCE)
        desk.let_go.set()
        assert "result" in busy.read()
        stopping.join(PATIENCE)
        assert_closed(busy)
        assert_closed(idle)
    assert not (folder / "ctl").exists()


def test_an_answer_that_never_comes_does_not_keep_the_daemon_from_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a disk that does not answer, say."""
    monkeypatch.setattr("barmand.service.control.END_SECONDS", 0.05)
    desk = FakeDesk()
    control = Control(folder / "ctl", NO_GROUPS, desk.answer)
    control.start()
    with contextlib.ExitStack() as clients:
        bench = Bench(folder / "ctl", desk, control, clients)
        client = bench.connect()
        client.request("show-backup", server="patient", backup="last")
        assert desk.waiting.wait(PATIENCE)
        with capture_logs() as logs:
            control.stop()
        assert control.has_left_work_behind
        assert "callers are not answered, and left behind" in [line["event"] for line in logs]
        desk.let_go.set()
        assert "result" in client.read()
        assert_closed(client)
