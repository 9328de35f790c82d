"""Files that come with a request and go with a reply: one owner each, closed on every path."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from barmand.model.errors import Refused
from barmand.service.caller import Handed
from barmand.service.control import Control
from barmand.service.peers import Rights
from barmand.wire.door_messages import GetWal, WalPush
from barmand.wire.messages import AnyNote, Ping, Pong, Reply
from barmand.wire.methods import AnyRequest
from support.daemon import Rpc
from support.waiting import eventually

PATIENCE = 20
PONG = Pong(version="1", protocol=1, pid=1)


@dataclass(eq=False)
class FileDesk:
    """Reads what comes with a push, and hands out a file of its own for a name."""

    path: Path
    read: list[bytes] = field(default_factory=list)
    handing: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def answer(
        self, request: AnyRequest, _who: str, file: int | None
    ) -> Iterator[AnyNote | Reply | Handed | None]:
        match request:
            case Ping():
                yield PONG
            case WalPush(name="refused"):
                raise Refused("not this one")
            case WalPush(name="faulty"):
                raise ZeroDivisionError
            case WalPush():
                assert file is not None
                self.read.append(os.pread(file, 100, 0))
                yield PONG
            case GetWal(name="slow"):
                opened = os.open(self.path, os.O_RDONLY)
                self.handing.set()
                assert self.let_go.wait(PATIENCE)
                yield Handed(PONG, opened)
            case GetWal():
                yield Handed(PONG, os.open(self.path, os.O_RDONLY))


@dataclass
class Bench:
    desk: FileDesk
    socket_path: Path
    path: Path
    clients: ExitStack

    def connect(self) -> socket.socket:
        connection = self.clients.enter_context(socket.socket(socket.AF_UNIX))
        connection.settimeout(PATIENCE)
        connection.connect(str(self.socket_path))
        return connection


@pytest.fixture
def bench(folder: Path) -> Iterator[Bench]:
    path = folder / "file"
    path.write_bytes(b"what the file holds")
    desk = FileDesk(path)
    with ExitStack() as clients:
        control = Control(folder / "ctl", Rights(None, None), desk.answer)
        control.start()
        clients.callback(control.stop)
        clients.callback(desk.let_go.set)
        yield Bench(desk, folder / "ctl", path, clients.enter_context(ExitStack()))


def line(method: str, name: str = "x", number: int = 1) -> bytes:
    params = {} if method == "ping" else {"server": "main", "name": name}
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(request).encode() + b"\n"


def send(connection: socket.socket, data: bytes, path: Path, count: int = 1) -> None:
    files = [os.open(path, os.O_RDONLY) for _ in range(count)]
    try:
        socket.send_fds(connection, [data], files)
    finally:
        for file in files:
            os.close(file)


def open_here(path: Path) -> int:
    """How many descriptors of this process, daemon's threads and all, are of this file."""
    count = 0
    for link in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # closed at this very moment
            count += str(link.readlink()) == str(path)
    return count


def error(connection: socket.socket) -> str:
    message: str = Rpc(connection).read()["error"]["message"]
    return message


def test_a_file_comes_along_with_its_request(bench: Bench) -> None:
    connection = bench.connect()
    send(connection, line("wal-push"), bench.path)
    assert "result" in Rpc(connection).read()
    assert bench.desk.read == [b"what the file holds"]
    eventually(lambda: open_here(bench.path) == 0)


def test_a_file_may_come_with_the_first_piece_of_its_line(bench: Bench) -> None:
    connection = bench.connect()
    request = line("wal-push")
    send(connection, request[:10], bench.path)
    connection.sendall(request[10:])
    assert "result" in Rpc(connection).read()
    eventually(lambda: open_here(bench.path) == 0)


def test_one_connection_may_bring_many_files_one_after_another(bench: Bench) -> None:
    connection = bench.connect()
    for number in range(5):
        send(connection, line("wal-push", number=number), bench.path)
        assert Rpc(connection).read()["id"] == number
    assert len(bench.desk.read) == 5
    eventually(lambda: open_here(bench.path) == 0)


@pytest.mark.parametrize("name", ["refused", "faulty"])
def test_a_push_that_fails_leaves_no_file_open(bench: Bench, name: str) -> None:
    connection = bench.connect()
    send(connection, line("wal-push", name), bench.path)
    assert error(connection)
    eventually(lambda: open_here(bench.path) == 0)


def test_a_push_without_its_file_is_refused(bench: Bench) -> None:
    connection = bench.connect()
    connection.sendall(line("wal-push"))
    assert error(connection) == "wal-push comes with one file descriptor, and has none"


def test_a_request_that_takes_no_file_is_refused_with_one(bench: Bench) -> None:
    connection = bench.connect()
    send(connection, line("ping"), bench.path)
    assert error(connection) == "ping takes no file descriptor"
    eventually(lambda: open_here(bench.path) == 0)
    connection.sendall(line("ping"))  # and the connection goes on
    assert "result" in Rpc(connection).read()


@pytest.mark.parametrize("count", [2, 3, 100])
def test_more_files_than_one_are_refused(bench: Bench, count: int) -> None:
    connection = bench.connect()
    send(connection, line("wal-push"), bench.path, count)
    assert error(connection) == "a request comes with one file descriptor at most"
    assert connection.recv(1) == b""
    assert bench.desk.read == []
    eventually(lambda: open_here(bench.path) == 0)


def test_a_second_file_before_the_end_of_the_line_is_refused(bench: Bench) -> None:
    connection = bench.connect()
    send(connection, b'{"jsonrpc":', bench.path)
    eventually(lambda: open_here(bench.path) == 1)
    send(connection, b'"2.0",', bench.path)
    assert error(connection) == "a request comes with one file descriptor at most"
    eventually(lambda: open_here(bench.path) == 0)


def test_who_hangs_up_in_mid_line_leaves_no_file_open(bench: Bench) -> None:
    connection = bench.connect()
    send(connection, b'{"jsonrpc":', bench.path)
    eventually(lambda: open_here(bench.path) == 1)
    connection.close()
    eventually(lambda: open_here(bench.path) == 0)


def test_a_line_that_is_no_request_leaves_no_file_open(bench: Bench) -> None:
    connection = bench.connect()
    for data in (b"nonsense\n", b"\n"):
        send(connection, data, bench.path)
    connection.sendall(line("ping"))
    eventually(lambda: open_here(bench.path) == 0)


def test_others_are_served_while_files_are_refused(bench: Bench) -> None:
    for _ in range(20):
        send(bench.connect(), b'{"jsonrpc":', bench.path)
        send(bench.connect(), line("wal-push"), bench.path, 3)
    other = bench.connect()
    other.sendall(line("ping"))
    assert "result" in Rpc(other).read()
    bench.clients.close()
    eventually(lambda: open_here(bench.path) == 0)


def test_a_reply_hands_a_file_over(bench: Bench) -> None:
    connection = bench.connect()
    connection.sendall(line("get-wal"))
    data, files, _, _ = socket.recv_fds(connection, 65536, 4)
    assert json.loads(data)["result"]["version"] == "1"
    (file,) = files
    assert os.read(file, 100) == b"what the file holds"
    os.close(file)
    eventually(lambda: open_here(bench.path) == 0)


def test_who_goes_away_before_a_file_is_handed_over_leaves_none_open(bench: Bench) -> None:
    connection = bench.connect()
    connection.sendall(line("get-wal", "slow"))
    assert bench.desk.handing.wait(PATIENCE)
    connection.close()
    bench.desk.let_go.set()
    eventually(lambda: open_here(bench.path) == 0)


def test_a_request_that_wants_no_answer_is_handed_no_file(bench: Bench) -> None:
    connection = bench.connect()
    params = {"server": "main", "name": "x"}
    Rpc(connection).send({"jsonrpc": "2.0", "method": "get-wal", "params": params})
    connection.sendall(line("ping"))
    data, files, _, _ = socket.recv_fds(connection, 65536, 4)
    assert (json.loads(data)["id"], files) == (1, [])
    eventually(lambda: open_here(bench.path) == 0)
