"""What a program prints: bytes into lines, each of bounded length, of which the last are kept."""

from collections import deque
from collections.abc import Callable

TAIL_LINES = 20
LINE_BYTES = 4096


class Lines:
    """`on_line` is told each; `tail` are the last few."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > LINE_BYTES:
            self._take(self._rest)
            self._rest = b""

    def close(self) -> None:
        self._take(self._rest)
        self._rest = b""

    def _take(self, line: bytes) -> None:
        text = line[:LINE_BYTES].decode(errors="replace").rstrip()
        if text:
            self.tail.append(text)
            self._on_line(text)
