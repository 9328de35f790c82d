"""The server that WAL is streamed from: what it writes, what it still has, who else receives it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from barmand.model.errors import PostgresFailed
from barmand.model.wal import parse_lsn
from barmand.outside.postgres import Identity, Postgres, Slot

_WRITING = """
SELECT (SELECT system_identifier FROM pg_control_system())::text,
       current_setting('server_version_num')::int,
       pg_size_bytes(current_setting('wal_segment_size')),
       current_setting('synchronous_standby_names'),
       has_function_privilege('pg_ls_waldir()', 'EXECUTE')
"""
_STREAMS = """
SELECT pid, application_name, usename::text, host(client_addr), state, sync_state, backend_start,
       sent_lsn::text, write_lsn::text, flush_lsn::text, replay_lsn::text,
       pg_wal_lsn_diff(here.lsn, sent_lsn)::bigint, pg_wal_lsn_diff(here.lsn, write_lsn)::bigint,
       pg_wal_lsn_diff(here.lsn, flush_lsn)::bigint, pg_wal_lsn_diff(here.lsn, replay_lsn)::bigint,
       write_lag, flush_lag, replay_lag, slot.slot_name::text, here.lsn::text
  FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                    ELSE pg_current_wal_lsn() END AS lsn) AS here
  LEFT JOIN pg_stat_replication AS stream ON true
  LEFT JOIN pg_replication_slots AS slot ON slot.active_pid = stream.pid
 ORDER BY sync_state DESC, sync_priority, pid
"""
_HERE = """
SELECT pg_is_in_recovery(), pg_size_bytes(current_setting('wal_segment_size'))
"""
_SWITCH = """
SELECT closed.lsn::text, pg_walfile_name(closed.lsn) FROM pg_switch_wal() AS closed(lsn)
"""


@dataclass(frozen=True, slots=True)
class Writing:
    """What a server tells of itself before WAL is streamed from it."""

    system_id: str
    version: int
    segment_size: int
    synchronous_standby_names: str
    lists_wal: bool
    """May we see which segments it still has?"""


@dataclass(frozen=True, slots=True)
class Replica:
    """One that the server streams WAL to. `behind`: bytes it has not yet sent, written, ..."""

    pid: int
    application_name: str
    user: str | None
    address: str | None
    state: str | None
    sync_state: str | None
    since: datetime | None
    sent_lsn: str | None
    write_lsn: str | None
    flush_lsn: str | None
    replay_lsn: str | None
    sent_behind: int | None
    write_behind: int | None
    flush_behind: int | None
    replay_behind: int | None
    write_lag: timedelta | None
    flush_lag: timedelta | None
    replay_lag: timedelta | None
    slot_name: str | None

    @property
    def is_standby(self) -> bool:
        """A standby replays; a receiver of WAL, like ours, tells no such position."""
        return self.replay_lsn is not None


@dataclass(frozen=True, slots=True)
class Switched:
    """The last closed segment; `is_closed` if this switch closed it."""

    timeline: int
    segment_size: int
    number: int
    is_closed: bool


@dataclass(frozen=True, slots=True)
class WalSource:
    postgres: Postgres

    def within(self, seconds: int) -> "WalSource":
        return replace(self, postgres=self.postgres.within(seconds))

    def writing(self) -> Writing:
        return Writing(*self.postgres.rows(_WRITING)[0])

    def identify(self) -> Identity:
        return self.postgres.identify()

    def history(self, timeline: int) -> bytes:
        return self.postgres.history(timeline)

    def segment_names(self) -> list[str]:
        """The files in its pg_wal; needs the rights of pg_monitor."""
        return [str(name) for (name,) in self.postgres.rows("SELECT name FROM pg_ls_waldir()")]

    def slot(self, name: str) -> Slot | None:
        return self.postgres.slot(name)

    def create_slot(self, name: str) -> None:
        self.postgres.create_slot(name)

    def drop_slot(self, name: str) -> None:
        self.postgres.drop_slot(name)

    def streams(self) -> tuple[str, list[Replica]]:
        """Where the server stands, and whom it streams WAL to."""
        rows = self.postgres.rows(_STREAMS)
        return rows[0][-1], [Replica(*row[:-1]) for row in rows if row[0] is not None]

    def _checkpoint(self) -> None:
        try:
            self.postgres.rows("CHECKPOINT")
        except PostgresFailed as failure:
            if "pg_checkpoint" not in failure.message and "superuser" not in failure.message:
                raise
            hint = "GRANT pg_checkpoint to the role; before PostgreSQL 15 a superuser must do it."
            raise PostgresFailed(failure.message, hint=hint) from failure

    def switch_wal(self, *, is_forced: bool) -> Switched | None:
        """Close the segment being written; `is_forced`: after a checkpoint, so that there is
        something in it. None for a standby, which writes no WAL.
        """
        is_standby, size = self.postgres.rows(_HERE)[0]
        if is_standby:
            return None
        if is_forced:
            self._checkpoint()
        end, name = self.postgres.rows(_SWITCH)[0]
        lsn, timeline = parse_lsn(end), int(name[:8], 16)
        # Where there was nothing to close, it is the start of the segment that stays open.
        return Switched(timeline, size, max(0, lsn - 1) // size, is_closed=lsn % size != 0)
