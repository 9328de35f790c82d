"""A list that comes in parts and may be very long.

It is gathered on disk, once it is no more small: who reads our output may be slow (a pager), and
the daemon does not wait for that.
"""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Message = dict[str, Any]

IN_MEMORY = 1 << 20


class FileList:
    def __init__(self) -> None:
        self._lines: Any = None

    def add(self, paths: list[str]) -> None:
        if self._lines is None:
            import tempfile  # noqa: PLC0415 - only here, and slow to load

            self._lines = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - lives as long as we do
        self._lines.writelines(json.dumps(path).encode() + b"\n" for path in paths)

    def print_document(self, result: Message) -> None:
        """The result with its `files`, as one JSON document."""
        head = json.dumps(result)
        sys.stdout.write(f'{head[:-1]}, "files": [')
        between = ""
        for line in self._read():
            sys.stdout.write(between + line)
            between = ", "
        sys.stdout.write("]}\n")

    def paths(self) -> Iterator[str]:
        return (str(json.loads(line)) for line in self._read())

    def _read(self) -> Iterator[str]:
        if self._lines is not None:
            self._lines.seek(0)
            for line in self._lines:
                yield line.decode().rstrip("\n")
            self.discard()

    def discard(self) -> None:
        if self._lines is not None:
            self._lines.close()
