"""The socket: one request out, notifications and one answer in."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable

from barmand.model.errors import BUG_EXIT_CODE, DaemonUnreachable, Failure, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    Message = dict[str, Any]

CONNECT_SECONDS = 10
PING_SECONDS = 10
"""A daemon that does not answer a ping for so long is none; other answers may take hours."""
WAL_SECONDS = 300
"""PostgreSQL waits for this answer, and says nothing while it waits: at last it shall hear why."""
SECONDS = {"ping": PING_SECONDS, "wal-push": WAL_SECONDS, "get-wal": WAL_SECONDS}

READ_BYTES = 65536
CLOSE_ON_EXEC = 0x40000000  # MSG_CMSG_CLOEXEC

REQUEST_ID = 1
LOOK = "`systemctl status barmand` tells whether it runs; `journalctl -u barmand`, why not."
BACKUP_GOES_ON = (
    "The backup may go on, or be marked as interrupted when barmand starts again:"
    " `barmanctl list-backups` tells."
)


class Answered(Failure):
    """The daemon's own failure, with the code and the exit code that it told."""

    def __init__(self, error: Message) -> None:
        told = error.get("data") or {}
        super().__init__(str(told.get("message", error.get("message"))), hint=told.get("hint"))
        self.exit_code = told.get("exit_code", BUG_EXIT_CODE)
        self._kind = str(told.get("code", "Bug"))

    @property
    def kind(self) -> str:
        return self._kind


class Connection:
    """Use it with `with`. Every failure comes as one the operator can act on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._read = bytearray()
        self.file: int | None = None
        """What came with the answer; gone with this connection."""

    def __enter__(self) -> Self:
        try:
            # The kernel's own limit also waits for a place in a full queue; Python's does not.
            limit = struct.pack("ll", CONNECT_SECONDS, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._socket.connect(self._path)
        except OSError as error:
            self._socket.close()
            raise unreachable(self._path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._drop_file()

    def ask(
        self,
        method: str,
        params: Message,
        on_note: Callable[[Message], None],
        file: int | None = None,
    ) -> Message:
        """The result; before it, each notification goes to `on_note`. `file` goes along."""
        if method in SECONDS:
            self._socket.settimeout(SECONDS[method])
        self._drop_file()
        self._send(method, params, file)
        while (message := self._next()) is not None:
            if "method" in message:
                on_note(message)
            elif "error" in message:  # also without our id: then the line itself was refused
                raise Answered(message["error"])
            elif message.get("id") == REQUEST_ID:
                return dict(message["result"])
        hint = f"{LOOK} {BACKUP_GOES_ON}" if method == "backup" else LOOK
        raise DaemonUnreachable("barmand went away in mid-answer", hint=hint)

    def _send(self, method: str, params: Message, file: int | None) -> None:
        request = {"jsonrpc": "2.0", "id": REQUEST_ID, "method": method, "params": params}
        line = json.dumps(request).encode() + b"\n"
        try:
            if file is not None:
                line = line[socket.send_fds(self._socket, [line], [file]) :]
            self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what it said before it hung up can still be read: perhaps the reason
        except (BlockingIOError, TimeoutError) as error:
            raise DaemonUnreachable("barmand does not read its socket", hint=LOOK) from error

    def _next(self) -> Message | None:
        try:
            line = self._line()
        except ConnectionResetError:
            return None
        except TimeoutError as error:
            raise DaemonUnreachable("barmand does not answer", hint=LOOK) from error
        if line is None:
            return None
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise DaemonUnreachable(f"what answers at {self._path} does not speak as barmand does")
        return message

    def _line(self) -> bytes | None:
        looked_at = 0
        while (end := self._read.find(b"\n", looked_at)) < 0:
            looked_at = len(self._read)
            data, files, _, _ = socket.recv_fds(self._socket, READ_BYTES, 1, CLOSE_ON_EXEC)
            if files:
                self._drop_file()
                self.file = files[0]
            if not data:
                return None
            self._read += data
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line

    def _drop_file(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            os.close(file)


def unreachable(path: str, error: OSError) -> Failure:
    if isinstance(error, PermissionError):
        return Refused(
            f"not permitted to use {path}",
            hint="barmand serves root, its own user and the members of control_group and"
            " monitor_group; `id` shows your groups (new ones count from the next login).",
        )
    if isinstance(error, BlockingIOError):
        return DaemonUnreachable(
            f"barmand at {path} took no call for {CONNECT_SECONDS} s", hint=LOOK
        )
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return DaemonUnreachable(
            f"no barmand at {path}",
            hint=f"{LOOK} Another socket: --socket, or BARMAND_SOCKET.",
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return DaemonUnreachable(f"cannot reach barmand at {path}: {reason}", hint=LOOK)
