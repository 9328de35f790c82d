"""Whatever callers send, or do not, the daemon answers the others and its backup goes on."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from daemon.asking import Followed, Json, ask, follow
from support.daemon import Daemon
from support.waiting import eventually

MEGABYTE = 1024 * 1024
PINGS = 100
MOST_GROWTH = 64 * MEGABYTE
MOST_DESCRIPTORS = 64
"""More than before: SQLite's connections are kept, 16 at most."""
NONSENSE = (
    (b"hello\n", -32700),
    (b"\xff\xfe\x00\n", -32700),
    (b"[" * 100_000 + b"\n", -32700),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "ping"\n', -32700),
    (b"[]\n", -32600),
    (b"1\n", -32600),
    (b'{"id": 1, "method": "ping"}\n', -32600),
    (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}\n', -32600),
    (b'{"jsonrpc": "2.0", "id": 1, "method": 7}\n', -32600),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "drop"}\n', -32601),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "backup"}\n', -32602),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "backup", "params": {"servers": 7}}\n', -32602),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}\n', -32602),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"more": 1}}\n', -32602),
)


@pytest.fixture
def busy(daemon: Daemon) -> Iterator[Daemon]:
    """A daemon in the middle of a backup, which ends well whatever the test does."""
    with follow(daemon, bwlimit=8000) as followed:
        followed.until_phase("copying")
        before = descriptors(daemon)
        yield daemon
        eventually(lambda: descriptors(daemon) - before < MOST_DESCRIPTORS)
        assert_ends_well(followed)


def assert_ends_well(followed: Followed) -> None:
    result = followed.result()
    assert result["backups"][0]["status"] == "DONE"


def connected(daemon: Daemon) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    try:
        connection.connect(str(daemon.socket))
    except OSError:
        connection.close()
        raise
    return connection


def answer_to(daemon: Daemon, line: bytes) -> Json:
    with daemon.rpc() as rpc:
        rpc.send(line)
        return rpc.read()


def resident(daemon: Daemon) -> int:
    """Bytes of memory that the daemon has."""
    status = (Path("/proc") / str(daemon.pid) / "status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def descriptors(daemon: Daemon) -> int:
    return len(list((Path("/proc") / str(daemon.pid) / "fd").iterdir()))


def ninety_nine_of_hundred_pings_take_at_most(daemon: Daemon) -> float:
    """Seconds, in the best of three rounds: the machine has other work too."""
    return min(_slow_ping(daemon) for _ in range(3))


def _slow_ping(daemon: Daemon) -> float:
    """Each has a connection of its own, as barmanctl makes it."""
    taken = []
    for _ in range(PINGS):
        begun = monotonic()
        ask(daemon, "ping")
        taken.append(monotonic() - begun)
    return sorted(taken)[-PINGS // 100 - 1]


def test_nonsense_is_answered_and_the_connection_stays(busy: Daemon) -> None:
    with busy.rpc() as rpc:
        for line, code in NONSENSE:
            rpc.send(line)
            assert rpc.read()["error"]["code"] == code, line[:100]
        answer, _ = rpc.call("ping")
        assert answer["result"]["pid"] == busy.pid


def test_hostile_words_are_refused(busy: Daemon) -> None:
    for word in ("../../etc", "a\0b", "$(reboot)", "-rf", "é" * 300, "a\nb", ".", "..%2f"):
        with busy.rpc() as rpc:
            for method, params in (
                ("show-backup", {"server": "main", "backup": word}),
                ("show-backup", {"server": word, "backup": "last"}),
                ("delete", {"server": "main", "backup": word}),
                ("restore", {"server": "main", "backup": "last", "destination": word}),
            ):
                answer, _ = rpc.call(method, **params)
                assert answer["error"]["data"]["exit_code"] in (2, 3, 4), (method, word)


def test_a_line_without_end_is_refused_and_memory_stays(busy: Daemon) -> None:
    before = resident(busy)
    for _ in range(5):
        with connected(busy) as connection:
            with contextlib.suppress(OSError):  # it hangs up on us before we are through
                for _ in range(64):
                    connection.sendall(b"x" * MEGABYTE)
            with contextlib.suppress(ConnectionResetError):
                assert b"at most" in connection.recv(65536)
    assert resident(busy) - before < MOST_GROWTH


def test_hundreds_of_slow_callers_delay_nobody(busy: Daemon) -> None:
    before = resident(busy)
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(busy)) for _ in range(200)]
        for position in range(len(line) - 1):
            for connection in slow:
                connection.sendall(line[position : position + 1])
        assert ninety_nine_of_hundred_pings_take_at_most(busy) < 0.1
        for connection in slow:
            connection.sendall(line[-1:])
        for connection in slow:
            assert json.loads(connection.recv(65536))["result"]["pid"] == busy.pid
    assert resident(busy) - before < MOST_GROWTH


def test_callers_that_hang_up_in_mid_reply_harm_nobody(busy: Daemon) -> None:
    before = resident(busy)
    for round_ in range(200):
        with connected(busy) as connection:
            request = {"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}}
            connection.sendall(json.dumps(request).encode()[: 20 + round_] + b"\n" * (round_ % 2))
    assert ninety_nine_of_hundred_pings_take_at_most(busy) < 0.1
    assert resident(busy) - before < MOST_GROWTH


def test_callers_that_read_nothing_harm_nobody(busy: Daemon) -> None:
    before = resident(busy)
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}}).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            connection = stack.enter_context(connected(busy))
            connection.setblocking(False)  # noqa: FBT003 - the socket's own word
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000):
                    connection.send(line + b"\n")
        assert ninety_nine_of_hundred_pings_take_at_most(busy) < 0.1
    assert resident(busy) - before < MOST_GROWTH


def test_more_callers_than_there_is_room_for_push_out_the_idle_ones(busy: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(busy)) for _ in range(600)]
        assert ninety_nine_of_hundred_pings_take_at_most(busy) < 0.1
        assert idle[0].recv(1) == b""
        ask(busy, "status")
    eventually(lambda: ask(busy, "ping"))


def test_more_watchers_than_there_is_room_for_are_refused_and_the_ping_is_served(
    busy: Daemon,
) -> None:
    """Each waits for a backup that is refused at once; so they cancel nothing and hold nothing."""
    with contextlib.ExitStack() as stack:
        watchers = [stack.enter_context(busy.rpc()) for _ in range(60)]
        for watcher in watchers:
            watcher.request("check", servers=["main"])
        assert ask(busy, "ping")["pid"] == busy.pid
        codes = {("error" in watcher.read()) for watcher in watchers}
    assert False in codes
