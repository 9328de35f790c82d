"""One connection to the control socket: what it has sent, and what it is sent.

A request may bring one open file, a reply may hand one over (SCM_RIGHTS). Each descriptor has one
owner, who closes it on every path: here until the request is answered.
"""

import array
import os
import select
import socket
from dataclasses import dataclass, field

from barmand.model.errors import UsageError
from barmand.service.peers import Peer
from barmand.wire.lines import LINE_BYTES
from barmand.wire.messages import Reply

_READ_BYTES = 65536
_HUNG_UP = select.POLLRDHUP | select.POLLHUP | select.POLLERR
_ROOM_FOR_ONE = socket.CMSG_LEN(array.array("i").itemsize)
"""The kernel closes what does not fit, and says so by MSG_CTRUNC."""


class HungUp(Exception):  # noqa: N818 - it is what the peer did
    """The peer went away, or reads nothing."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A reply that goes with an open file; from here on the control socket closes that."""

    reply: Reply
    file: int


@dataclass(slots=True, eq=False)
class Caller:
    """Either the reading thread has it, or one thread that answers."""

    socket: socket.socket
    peer: Peer
    send_seconds: float
    buffer: bytearray = field(default_factory=bytearray)
    file: int | None = None
    """What came along with the request that is next, or is being answered."""

    def receive(self) -> bool:
        """Take what has come; False when nothing comes any more.

        Raises UsageError for more descriptors than one.
        """
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(
                _READ_BYTES, _ROOM_FOR_ONE, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.buffer += data
        self._take_files(_descriptors(ancillary), is_cut=bool(flags & socket.MSG_CTRUNC))
        return bool(data)

    def take_line(self) -> bytes | None:
        """The first whole line of what came; UsageError for one without end."""
        end = self.buffer.find(b"\n")
        if end < 0 and len(self.buffer) <= LINE_BYTES:
            return None
        if end < 0 or end > LINE_BYTES:
            raise UsageError(f"a request has at most {LINE_BYTES} bytes")
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line

    def send(self, data: bytes, file: int | None = None) -> None:
        try:
            self.socket.settimeout(self.send_seconds)
            if file is not None:
                data = data[socket.send_fds(self.socket, [data], [file]) :]
            self.socket.sendall(data)
        except OSError as error:
            raise HungUp from error

    def demand_presence(self) -> None:
        """Raises HungUp for a peer that closed its end."""
        poll = select.poll()
        poll.register(self.socket, _HUNG_UP)
        if poll.poll(0):
            raise HungUp

    def close(self) -> None:
        self.close_file()
        self.socket.close()

    def close_file(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            os.close(file)

    def _take_files(self, came: list[int], *, is_cut: bool) -> None:
        if is_cut or len(came) > (self.file is None):
            for file in came:
                os.close(file)
            # Cut, and yet none came: then we have no descriptor left to hold it with.
            raise UsageError(
                "a request comes with one file descriptor at most"
                if came or not is_cut
                else "barmand has no file descriptor left for the one that came"
            )
        if came:
            self.file = came[0]


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return found.tolist()
