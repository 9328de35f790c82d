"""PostgreSQL's backup mode, held open on one session while files are copied.

Source: PostgreSQL documentation, "Making a Base Backup Using the Low Level API". The session is the
backup: when it ends, however it ends, PostgreSQL's backup mode is over.
"""

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from barmand.model.errors import PostgresFailed, Stopped
from barmand.model.wal import parse_lsn
from barmand.outside.line import cut, cut_after
from barmand.outside.postgres import Postgres, words_of
from barmand.outside.process import Stop

PATROL_SECONDS = 0.5
CANCEL_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""The time that an idle session has to say that it is there."""
END_SECONDS = 300.0
NEW_NAMES_SINCE = 150_000
IDLE_TIMEOUT_SINCE = 140_000
_HUNG_UP = select.POLLRDHUP | select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class Ended:
    """What PostgreSQL gives back: where the backup ends, and two files to put beside the data."""

    lsn: int
    backup_label: str
    tablespace_map: str
    timeline: int | None = None
    """Of a standby: the one in which `lsn` is. A primary stays on that of the label."""


@dataclass(slots=True)
class Session:
    """A backup under way in PostgreSQL. `lost` is set when its connection breaks, `promoted` with
    it when the connection is fine, but the standby is none any more.
    """

    start_lsn: int
    connection: psycopg.Connection[TupleRow]
    version: int
    server: str
    stop: Stop
    lost: threading.Event
    promoted: threading.Event

    def end(self) -> Ended:
        """End it without waiting for the archive: which WAL is needed we know ourselves.

        Raises PostgresFailed, also when a standby was promoted meanwhile.
        """
        name = "pg_backup_stop(false)" if _is_new(self.version) else "pg_stop_backup(false, false)"
        with _translated(self.server, self.stop), cut_after(END_SECONDS, self.connection):
            row = self.connection.execute(
                "SELECT lsn::text, labelfile, spcmapfile,"  # noqa: S608 - one of two names
                " (SELECT nullif(min_recovery_end_timeline, 0) FROM pg_control_recovery())"
                f" FROM {name}"
            ).fetchone()
        if row is None:
            raise PostgresFailed(f"{self.server} did not tell where the backup ends")
        return Ended(parse_lsn(row[0]), row[1], row[2], row[3])


@dataclass(frozen=True, slots=True)
class HeldBackup:
    """Takes a server into backup mode, with the session that holds it."""

    postgres: Postgres

    @contextmanager
    def begun(
        self, label: str, *, is_fast: bool, keepalive_seconds: int, stop: Stop
    ) -> Iterator[Session]:
        """Start a backup and hold it. Raises PostgresFailed, Stopped.

        `keepalive_seconds`: how often the idle session is spoken to, and a standby asked whether
        it still is one; 0 is never.
        """
        server = self.postgres.server
        with self.postgres.session() as connection, _translated(server, stop):
            version = connection.info.server_version
            connection.execute("SET statement_timeout = 0")
            if version >= IDLE_TIMEOUT_SINCE:
                connection.execute("SET idle_session_timeout = 0")
            patrol = _Patrol(connection, stop, keepalive_seconds)
            with patrol.going():
                start, patrol.on_standby = _start(connection, version, label, is_fast)
                yield Session(
                    start, connection, version, server, stop, patrol.lost, patrol.promoted
                )


class _Patrol:
    """A thread beside the session: cancels at a stop, notices that the server went away, or that
    a standby was promoted.
    """

    def __init__(
        self, connection: psycopg.Connection[TupleRow], stop: Stop, keepalive_seconds: int
    ) -> None:
        self.lost = threading.Event()
        self.promoted = threading.Event()
        self.on_standby = False
        self._connection = connection
        self._stop = stop
        self._keepalive = keepalive_seconds
        self._patience = CANCEL_SECONDS
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._walk, name="backup session")

    @contextmanager
    def going(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _walk(self) -> None:
        poll = select.poll()
        poll.register(self._connection.fileno(), _HUNG_UP)
        silent = 0.0
        while not self._over.wait(PATROL_SECONDS):
            silent += PATROL_SECONDS
            if self._stop.is_set() and not self._is_cancelled():
                return
            if poll.poll(0) or (self._keepalive and silent >= self._keepalive and self._is_dead()):
                self.lost.set()
                return
            if self._keepalive and silent >= self._keepalive:
                silent = 0.0

    def _is_cancelled(self) -> bool:
        """Cancel what the session is busy with; False once a frozen server was given up."""
        self._patience -= PATROL_SECONDS
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=CANCEL_SECONDS)
            if self._patience > 0:
                return True
        with suppress(psycopg.Error):
            cut(self._connection)
        return False

    def _is_dead(self) -> bool:
        """Speak to an idle session, so that no router forgets it."""
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return False
        try:
            with cut_after(ANSWER_SECONDS, self._connection):
                if not _is_standby(self._connection) and self.on_standby:
                    self.promoted.set()
        except psycopg.Error:
            return True
        return self.promoted.is_set()


def _start(
    connection: psycopg.Connection[TupleRow], version: int, label: str, is_fast: bool
) -> tuple[int, bool]:
    """Where it starts, and whether on a standby."""
    call = "pg_backup_start(%s, %s)" if _is_new(version) else "pg_start_backup(%s, %s, false)"
    question = f"SELECT {call}::text, pg_is_in_recovery()"
    lsn, is_standby = connection.execute(question, (label, is_fast)).fetchone() or ("", False)
    return parse_lsn(lsn), is_standby


def _is_standby(connection: psycopg.Connection[TupleRow]) -> bool:
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def _is_new(version: int) -> bool:
    return version >= NEW_NAMES_SINCE


@contextmanager
def _translated(server: str, stop: Stop) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if stop.is_set():
            raise Stopped("stopped while PostgreSQL was asked") from error
        words, hint = words_of(error)
        raise PostgresFailed(f"backup of {server}: {words}", hint=hint) from error
