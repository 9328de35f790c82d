"""Close the last segment of a backup, so that the backup of an idle server ends too.

Barman #244, #717.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from barmand.catalog.events import Events
from barmand.model.backup import Backup
from barmand.model.errors import PostgresFailed
from barmand.model.event import Event
from barmand.model.progress import Phase
from barmand.operations.ports import Clock, PostgresServer, Report

log = structlog.get_logger()

NOT_CLOSED = "last segment not closed"
_UNKNOWN_PRIMARY = (
    "Set primary_conninfo: then barmand asks the primary for it, however idle that is."
)
_BEHIND_ALL = 2**64 - 1
"""The LSN behind whatever PostgreSQL has written."""


@dataclass(frozen=True, slots=True)
class Closing:
    """`primary` closes the segments of a standby; without one they wait for its own time."""

    events: Events
    postgres: PostgresServer
    primary: PostgresServer | None
    now: Clock

    def close(self, backup: Backup, end_lsn: int, report: Report) -> None:
        """The segment in which a whole copy ends."""
        cluster, server = backup.cluster, self._server(backup)
        if cluster is None or server is None:
            return
        report(Phase.CLOSING, None, None)
        end = -(-end_lsn // cluster.segment_size) * cluster.segment_size
        facts = self._close(server, backup, end)
        if facts is not None:
            self.events.add(
                Event(
                    at=self.now(),
                    kind=NOT_CLOSED,
                    server=backup.server,
                    backup_id=backup.id,
                    facts=facts,
                )
            )

    def heeding(self, backup: Backup, report: Report) -> Report:
        """`report`, which hears that the copy of a standby waits for its archive.

        With archive_mode = always it waits for a segment that only the primary can close.
        """
        if backup.cluster is None or not backup.cluster.is_standby:
            return report

        def tell(phase: Phase, done: int | None, total: int | None) -> None:
            report(phase, done, total)
            if phase is not Phase.WAITING_FOR_WAL:
                return
            if self.primary is None:
                log.warning("standby waits for its primary to switch WAL", hint=_UNKNOWN_PRIMARY)
            else:
                self._close(self.primary, backup, _BEHIND_ALL)

        return tell

    def _server(self, backup: Backup) -> PostgresServer | None:
        is_standby = backup.cluster is not None and backup.cluster.is_standby
        return self.primary if is_standby else self.postgres

    def _close(
        self, server: PostgresServer, backup: Backup, lsn: int
    ) -> Mapping[str, object] | None:
        """Why not, where it cannot be done. A whole copy is not thrown away for it."""
        try:
            server.close_segment(lsn)
        except PostgresFailed as error:
            where = backup.server if server is self.postgres else f"the primary of {backup.server}"
            facts = {
                "error": f"the last WAL segment that backup {backup.id} needs was not closed on "
                f"{where}: {error.message}",
                "hint": "The copy is whole. The backup becomes DONE when PostgreSQL closes that "
                "segment: by more writes, by archive_timeout, or by `SELECT pg_switch_wal()` on "
                f"{where}.",
            }
            log.warning(NOT_CLOSED, **facts)
            return facts
        return None
