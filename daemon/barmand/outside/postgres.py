"""One PostgreSQL server, spoken to: psycopg's only door."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg import conninfo, pq, sql
from psycopg.rows import TupleRow, dict_row

from barmand.model.backup import Cluster, Tablespace
from barmand.model.errors import ConfigInvalid, PostgresFailed
from barmand.model.masking import without_secrets
from barmand.model.secret import Conninfo
from barmand.model.wal import parse_lsn
from barmand.outside.line import cut_after
from barmand.outside.readiness import READINESS, Readiness

APPLICATION = "barmand"
CONNECT_SECONDS = 10
_UNKNOWN_KEYWORD = re.compile(
    r'(?:invalid connection option|invalid URI query parameter:) "([A-Za-z_]{1,40})"'
)
_NO_REPLICATION = re.compile("replication role|REPLICATION attribute|WAL sender")
"""What PostgreSQL says to a role that may not replicate; the words changed in version 16."""
LEAST_CONNECT_SECONDS = 2
"""libpq takes less for as much."""
_CUT_AFTER_SECONDS = 1
_CONNECTION_DEFAULTS: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_FACTS = """
SELECT current_setting('server_version_num')::int AS version,
       (SELECT system_identifier FROM pg_control_system())::text AS system_id,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_size,
       current_setting('data_directory') AS pgdata,
       current_setting('config_file', true) AS config_file,
       current_setting('hba_file', true) AS hba_file,
       current_setting('ident_file', true) AS ident_file,
       current_setting('data_checksums', true) AS data_checksums,
       current_setting('summarize_wal', true) AS summarize_wal,
       pg_is_in_recovery() AS is_standby,
       ARRAY(SELECT DISTINCT sourcefile FROM pg_settings
              WHERE sourcefile IS NOT NULL ORDER BY sourcefile) AS included_files,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE')
            THEN (SELECT sum(pg_tablespace_size(oid)) FROM pg_tablespace)::bigint
        END AS size
"""
_TABLESPACES = """
SELECT spcname, oid::int8, pg_tablespace_location(oid)
  FROM pg_tablespace
 WHERE pg_tablespace_location(oid) <> ''
 ORDER BY oid
"""
_SLOT = """
SELECT active, restart_lsn IS NOT NULL, coalesce(wal_status, 'lost'), restart_lsn::text,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                            ELSE pg_current_wal_lsn() END, restart_lsn)::bigint,
       safe_wal_size
  FROM pg_replication_slots
 WHERE slot_name = %s
"""
_CLOSE_SEGMENT = """
SELECT CASE WHEN pg_current_wal_insert_lsn() < %s::pg_lsn THEN pg_switch_wal() END
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What IDENTIFY_SYSTEM tells on a replication connection."""

    system_id: str
    timeline: int
    flushed_lsn: int


@dataclass(frozen=True, slots=True)
class Slot:
    """`wal_status` is PostgreSQL's: reserved, extended, unreserved or lost."""

    is_active: bool
    has_reserved_wal: bool
    wal_status: str = "reserved"
    restart_lsn: int | None = None
    held_bytes: int | None = None
    """What the server keeps for it alone and others."""
    safe_bytes: int | None = None
    """How much more may be written before it is lost; None without `max_slot_wal_keep_size`."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """Its regular and its replication connection, opened anew for each question."""

    server: str
    conninfo: Conninfo
    streaming_conninfo: Conninfo
    timeout_seconds: int = 30

    def within(self, seconds: int) -> "Postgres":
        """The same server, whose every answer may take so many seconds; 0 is without end.

        To connect is a part of it: one of several hosts that are tried may take all of them.
        """
        return replace(self, timeout_seconds=seconds)

    def facts(self) -> Cluster:
        """The cluster as it is now. Raises PostgresFailed."""
        with self._connected() as connection:
            with connection.cursor(row_factory=dict_row) as cursor:
                told = cursor.execute(_FACTS).fetchone() or {}
                own = (told.get("config_file"), f"{told.get('pgdata')}/postgresql.auto.conf")
                read = told.get("included_files", ())
                told["included_files"] = tuple(file for file in read if file not in own)
            return Cluster(**told, tablespaces=_tablespaces(connection))

    def known_tablespaces(self) -> tuple[Tablespace, ...]:
        """Those of `facts`, without the cluster's size, which takes long to sum."""
        with self._connected() as connection:
            return _tablespaces(connection)

    def readiness(self) -> Readiness:
        with (
            self._connected() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return Readiness(**(cursor.execute(READINESS, (APPLICATION,)).fetchone() or {}))

    def moment(self) -> datetime:
        """What its clock shows."""
        shown: datetime = self.rows("SELECT clock_timestamp()")[0][0]
        return shown

    def slot(self, name: str) -> Slot | None:
        rows = self.rows(_SLOT, name)
        if not rows:
            return None
        active, has_reserved, status, restart, held, safe = rows[0]
        lsn = None if restart is None else parse_lsn(restart)
        return Slot(active, has_reserved, status, lsn, held, safe)

    def rows(self, question: LiteralString, *parameters: object) -> list[TupleRow]:
        """What one statement gives on the regular connection."""
        with self._connected() as connection:
            cursor = connection.execute(question, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def close_segment(self, lsn: int) -> None:
        """Let the segment that holds `lsn` (a segment's first byte after it) be closed.

        Nothing happens where PostgreSQL already writes behind it, so an idle server does not make
        segment after segment.
        """
        with self._connected() as connection:
            connection.execute(_CLOSE_SEGMENT, (f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}",))

    def identify(self) -> Identity:
        """Raises PostgresFailed when the replication connection is refused."""
        try:
            system, timeline, lsn, *_ = self._replication_command(b"IDENTIFY_SYSTEM")
        except PostgresFailed as failure:
            if not _NO_REPLICATION.search(failure.message):
                raise
            hint = f"run: ALTER ROLE {_role_of(self.streaming_conninfo)} REPLICATION"
            raise PostgresFailed(failure.message, hint=hint) from failure
        return Identity(system.decode(), int(timeline), parse_lsn(lsn.decode()))

    def history(self, timeline: int) -> bytes:
        """The content of a timeline's history file. Raises PostgresFailed when it has none."""
        return self._replication_command(b"TIMELINE_HISTORY %d" % timeline)[1]

    def create_slot(self, name: str) -> None:
        """A physical slot that reserves WAL from now on."""
        command = sql.SQL("CREATE_REPLICATION_SLOT {} PHYSICAL RESERVE_WAL")
        self._replication_command(command.format(sql.Identifier(name)).as_bytes(None))

    def drop_slot(self, name: str) -> None:
        self.rows("SELECT pg_drop_replication_slot(%s)", name)

    def _replication_command(self, command: bytes) -> tuple[bytes, ...]:
        with self._translated("replication connection"):
            parameters = {
                "fallback_application_name": APPLICATION,
                **_parameters(self.streaming_conninfo),
                "replication": "true",
            }
            parameters.pop("dbname", None)
            with self._connect(parameters) as connection:
                result = connection.pgconn.exec_(command)
                if result.status != pq.ExecStatus.TUPLES_OK:
                    raise psycopg.OperationalError(result.error_message.decode(errors="replace"))
                values = (result.get_value(0, column) for column in range(result.nfields))
                return tuple(value or b"" for value in values)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[TupleRow]]:
        with self._translated("connection"):
            parameters = {
                **_parameters(self.conninfo),
                "fallback_application_name": APPLICATION,
            }
            with self._connect(parameters) as connection:
                milliseconds = self.timeout_seconds * 1000
                connection.execute(f"SET statement_timeout = {milliseconds:d}")
                yield connection

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[TupleRow]]:
        """A connection that lasts as long as its user wants."""
        with self._translated("connection"):
            parameters = {**_parameters(self.conninfo), "fallback_application_name": APPLICATION}
            with psycopg.connect(**parameters, autocommit=True) as connection:
                yield connection

    @contextmanager
    def _connect(self, parameters: Mapping[str, Any]) -> Iterator[psycopg.Connection[TupleRow]]:
        """A frozen server heeds no timeout of its own: a little after that, we cut the line."""
        seconds, begun = self.timeout_seconds, time.monotonic()
        if seconds:
            parameters = {**parameters, "connect_timeout": _soonest(parameters, seconds)}
        with psycopg.connect(**parameters, autocommit=True) as connection:
            left = max(0, seconds - (time.monotonic() - begun)) + _CUT_AFTER_SECONDS
            with cut_after(left if seconds else None, connection):
                yield connection

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            words, hint = words_of(error)
            words = without_secrets(words, self.conninfo.secrets | self.streaming_conninfo.secrets)
            raise PostgresFailed(f"{what} to {self.server}: {words}", hint=hint) from error


def words_of(error: psycopg.Error) -> tuple[str, str | None]:
    """What PostgreSQL says, and its hint. Of an error that is libpq's own there is no hint."""
    told = error.diag
    if told.message_primary is None:
        return " ".join(str(error).split()).removeprefix("connection is bad: "), None
    return ": ".join(filter(None, (told.message_primary, told.message_detail))), told.message_hint


def _tablespaces(connection: psycopg.Connection[TupleRow]) -> tuple[Tablespace, ...]:
    return tuple(Tablespace(*space) for space in connection.execute(_TABLESPACES).fetchall())


def _role_of(text: Conninfo) -> str:
    """Who connects so, quoted: libpq's own default where the connection string names nobody."""
    default = next(
        (each.val for each in pq.Conninfo.get_defaults() if each.keyword == b"user"), b""
    )
    name = parse_conninfo(text).get("user") or (default or b"").decode(errors="replace")
    return sql.Identifier(name).as_string(None)


def _soonest(parameters: Mapping[str, Any], seconds: int) -> int:
    """The connection string's `connect_timeout`, where 0 and less is none, or `seconds`."""
    try:
        own = int(parameters["connect_timeout"])
    except ValueError:
        return seconds  # psycopg complains of it by itself
    return max(LEAST_CONNECT_SECONDS, min(own, seconds) if own > 0 else seconds)


def _parameters(text: Conninfo) -> dict[str, Any]:
    return {**_CONNECTION_DEFAULTS, **parse_conninfo(text)}


def parse_conninfo(text: Conninfo) -> dict[str, Any]:
    """Raises ConfigInvalid without showing what may be a secret."""
    try:
        return dict(conninfo.conninfo_to_dict(text.reveal()))
    except psycopg.ProgrammingError as error:
        unknown = _UNKNOWN_KEYWORD.search(str(error))
        why = f": libpq knows no {unknown[1]!r}" if unknown else ""
        raise ConfigInvalid(f"not a connection string{why}: {text.masked}") from error


def without_password(text: Conninfo, **more: str) -> tuple[str, dict[str, str]]:
    """For a program's command line, which everybody on the machine can read: the connection
    string without its password, and the environment that carries the password instead.
    """
    parameters = {**_CONNECTION_DEFAULTS, **parse_conninfo(text), **more}
    password = parameters.pop("password", None)
    environment = {} if password is None else {"PGPASSWORD": str(password)}
    return conninfo.make_conninfo("", **parameters), environment
