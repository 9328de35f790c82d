"""A daemon with a real socket and real lines, that answers as a test has scripted."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import barmand
from barmand.wire.lines import Call, Malformed, note_line, read_call, result_line
from barmand.wire.messages import Pong
from ctl import samples

Script = Callable[[Call], Iterable[bytes]]
PACKAGE_ROOT = Path(barmand.__file__).parents[1]
PONG = Pong(version="0.1.0", protocol=1, pid=42)
PROGRAM = (sys.executable, "-c", "from barmand.ctl.main import main; main()")


class FakeDaemon:
    """Sends what `script` yields, line by line, then hangs up. `calls` is what it was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._folder = tempfile.TemporaryDirectory(prefix="ctl-")  # a socket's path must be short
        self.path = f"{self._folder.name}/s"
        self.calls: list[Call] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._socket.bind(self.path)
        self._socket.listen()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._socket.close()
        self._folder.cleanup()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return  # the end of the test
            with peer, peer.makefile("rb") as lines:
                self._answer(peer, lines.readline())

    def _answer(self, peer: socket.socket, line: bytes) -> None:
        try:
            call = read_call(line)
        except Malformed as malformed:
            peer.sendall(malformed.reply or b"")
            return
        self.calls.append(call)
        try:
            for reply in self._script(call):
                peer.sendall(reply)
        except (BrokenPipeError, ConnectionResetError):
            return  # the client went away, as some tests want it to


def pong(call: Call) -> list[bytes]:
    return [result_line(call.id, PONG)]


class Endless:
    """A backup that goes on for ever: the tests end the client."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.end = threading.Event()

    def __call__(self, _call: Call) -> Iterator[bytes]:
        yield note_line(samples.becomes(samples.queued()))
        yield note_line(samples.progress())
        self.began.set()
        self.end.wait(20)
        yield note_line(samples.progress(phase="syncing to disk"))
        self.end.wait(20)


def environment(path: str, **more: str) -> dict[str, str]:
    """Nothing of the caller's own Python settings: unbuffered streams would hide much."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(PACKAGE_ROOT),
        "BARMAND_SOCKET": path,
        **more,
    }


def barmanctl(path: str, *argv: str | bytes, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *argv],
        env=environment(path, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
