"""The unix socket: lines in, lines out, peer credentials.

One thread accepts and reads, never waiting for anybody: what a peer sends by bits is gathered until
it is a line, within bounds. A whole line goes to a thread of the callers' pool, which answers it
and hands the connection back. A peer that sends nothing, reads nothing or goes away costs a bounded
buffer or a bounded time, and never the work that it asked for.
"""

import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from barmand.model.errors import Failure, Refused, UsageError
from barmand.service.caller import Caller, Handed, HungUp
from barmand.service.listening import bind
from barmand.service.peers import Rights, peer_of
from barmand.wire.lines import (
    INVALID_REQUEST,
    Call,
    Malformed,
    failure_line,
    note_line,
    read_call,
    refusal,
    result_line,
)
from barmand.wire.messages import AnyNote, Ping, Reply
from barmand.wire.methods import AnyRequest

log = structlog.get_logger()

END_SECONDS = 20.0
"""So long it is waited for answers under way, at the daemon's end."""

Answerer = Callable[[AnyRequest, str, int | None], Iterator[AnyNote | Reply | Handed | None]]
"""The request, who asks, and the open file that came along: ours to read, the socket's to close."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the callers may cost."""

    callers: int = 64
    watchers: int = 48
    """Long requests at once; the rest of the callers' threads stay free for short ones."""
    connections: int = 512
    send_seconds: float = 10.0


LIMITS = Limits()


class Control:
    def __init__(
        self, path: Path, rights: Rights, answer: Answerer, limits: Limits = LIMITS
    ) -> None:
        self._path = path
        self._rights = rights
        self._answer = answer
        self._limits = limits
        self._listener = socket.socket(socket.AF_UNIX)
        self._selector = selectors.DefaultSelector()
        self._bell = os.eventfd(0)
        self._returned: deque[Caller] = deque()
        self._idle: dict[Caller, None] = {}
        self._queued: dict[Caller, None] = {}
        self._watchers = threading.Semaphore(limits.watchers)
        self._pool = ThreadPoolExecutor(limits.callers, thread_name_prefix="caller")
        self._answering: set[Future[None]] = set()
        self._is_stopping = False
        self.has_left_work_behind = False
        self._thread = threading.Thread(target=self._serve, name="control")

    def start(self) -> None:
        """Listen, and serve from a thread of its own. Raises Refused, StorageFailed."""
        bind(self._listener, self._path, self._rights)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """No new connections; who is being answered hears the end of the answer, if it comes."""
        self._is_stopping = True
        os.eventfd_write(self._bell, 1)
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        _, hanging = wait(list(self._answering), END_SECONDS)
        if hanging:  # at a disk that does not answer, say
            self.has_left_work_behind = True
            log.error("callers are not answered, and left behind", count=len(hanging))
        for caller in [*self._idle, *self._returned, *self._queued]:
            caller.close()
        self._listener.close()
        self._selector.close()
        os.close(self._bell)
        self._path.unlink(missing_ok=True)

    # --------------------------------------------------------------------------- the reading thread
    def _serve(self) -> None:
        while not self._is_stopping:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd == self._bell:
                    os.eventfd_read(self._bell)
                    self._take_back()
                else:
                    self._read(key.data)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # the peer went away again, or we are out of descriptors
            log.warning("connection not accepted", error=str(error))
            self._drop_longest_idle()
            return
        try:
            caller = Caller(connection, peer_of(connection), self._limits.send_seconds)
            connection.settimeout(0)
            if not self._rights.may_look(caller.peer):
                refused = Refused(
                    f"{caller.peer} may not use barmand's control socket",
                    hint="Members of control_group and monitor_group may.",
                )
                log.warning("caller refused", peer=str(caller.peer))
                caller.send(failure_line(None, refused))
                connection.close()
                return
        except (OSError, HungUp) as error:
            log.warning("connection closed at once", error=str(error))
            connection.close()
            return
        if len(self._idle) >= self._limits.connections:
            self._drop_longest_idle()
        self._await_more(caller)

    def _drop_longest_idle(self) -> None:
        """Who asks nothing makes room for who asks."""
        if self._idle:
            self._close(next(iter(self._idle)))

    def _take_back(self) -> None:
        while self._returned:
            self._await_more(self._returned.popleft())

    def _await_more(self, caller: Caller) -> None:
        caller.socket.settimeout(0)
        self._selector.register(caller.socket, selectors.EVENT_READ, caller)
        self._idle[caller] = None
        self._hand_over_line(caller)

    def _read(self, caller: Caller) -> None:
        if caller not in self._idle:
            return  # dropped a moment ago, to make room for another
        try:
            has_more = caller.receive()
        except UsageError as error:
            self._refuse_and_close(caller, error)
            return
        if has_more:
            self._hand_over_line(caller)
        else:
            self._close(caller)

    def _hand_over_line(self, caller: Caller) -> None:
        try:
            line = caller.take_line()
        except UsageError as error:
            self._refuse_and_close(caller, error)
            return
        if line is not None:
            self._let_go(caller)
            self._submit(caller, self._answer_line, line)

    def _refuse_and_close(self, caller: Caller, error: UsageError) -> None:
        self._let_go(caller)
        self._submit(caller, self._say_and_close, refusal(None, INVALID_REQUEST, error.message))

    def _submit(self, caller: Caller, deed: Callable[[Caller, bytes], None], line: bytes) -> None:
        self._queued[caller] = None
        self._have_done(deed, caller, line)

    def _have_done(self, deed: Callable[..., None], *words: object) -> None:
        """In a thread of the callers; it is waited for a while at the end."""
        future = self._pool.submit(deed, *words)
        self._answering.add(future)
        future.add_done_callback(self._answering.discard)

    def _let_go(self, caller: Caller) -> None:
        self._selector.unregister(caller.socket)
        self._idle.pop(caller, None)

    def _close(self, caller: Caller) -> None:
        self._let_go(caller)
        if caller.file is None:
            caller.close()
        else:  # the last close of a stranger's file may wait, on a network say; we never do
            self._have_done(caller.close)

    # ------------------------------------------------------------------------ the callers' threads
    def _answer_line(self, caller: Caller, line: bytes) -> None:
        self._queued.pop(caller)
        try:
            self._converse(caller, line)
        except HungUp:
            caller.close()
        except Exception:
            log.exception("conversation ended in a fault of barmand")
            caller.close()
        else:
            caller.close_file()
            self._returned.append(caller)
            if not self._is_stopping:
                os.eventfd_write(self._bell, 1)
            elif self.has_left_work_behind:  # nobody looks after it any more
                caller.close()

    def _say_and_close(self, caller: Caller, line: bytes) -> None:
        self._queued.pop(caller)
        with closing(caller):
            try:
                caller.send(line)
            except HungUp:
                log.debug("caller went away before its refusal", peer=str(caller.peer))

    def _converse(self, caller: Caller, line: bytes) -> None:
        """The other of the two boundaries: every failure becomes the reply."""
        if not line.strip():
            return
        try:
            call = read_call(line)
        except Malformed as malformed:
            if malformed.reply is not None:
                caller.send(malformed.reply)
            return
        say = caller.send if call.wants_reply else _discard
        try:
            self._rights.demand(caller.peer, call.request.method, is_look=call.request.is_look)
            self._reply(caller, call, say)
        except HungUp:
            raise
        except Failure as failure:
            log.debug("request failed", method=call.request.method, error=failure.message)
            say(failure_line(call.id, failure))
        except Exception as error:
            log.exception("request ended in a fault of barmand", method=call.request.method)
            say(failure_line(call.id, error))

    def _reply(self, caller: Caller, call: Call, say: Callable[[bytes], None]) -> None:
        _demand_file(call, caller.file)
        if not isinstance(call.request, Ping) and not self._watchers.acquire(blocking=False):
            raise Refused("too many callers at once", hint="Ask again in a moment.")
        try:
            for reply in self._answer(call.request, str(caller.peer), caller.file):
                if isinstance(reply, Handed):
                    _hand(caller, call, reply)
                elif isinstance(reply, Reply):
                    say(result_line(call.id, reply))
                elif reply is not None:
                    say(note_line(reply))
                elif call.wants_reply:
                    caller.demand_presence()
        finally:
            if not isinstance(call.request, Ping):
                self._watchers.release()


def _demand_file(call: Call, file: int | None) -> None:
    if file is None and call.request.takes_file:
        raise UsageError(f"{call.request.method} comes with one file descriptor, and has none")
    if file is not None and not call.request.takes_file:
        raise UsageError(f"{call.request.method} takes no file descriptor")


def _hand(caller: Caller, call: Call, handed: Handed) -> None:
    try:
        if call.wants_reply:
            caller.send(result_line(call.id, handed.reply), handed.file)
    finally:
        os.close(handed.file)


def _discard(_data: bytes) -> None:
    """A JSON-RPC notification gets no reply."""
