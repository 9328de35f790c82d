"""The door of one server's archive: what is expected there, and what a file on disk is."""

from dataclasses import dataclass
from pathlib import Path

from barmand.catalog.backups import Backups
from barmand.catalog.servers import Servers
from barmand.catalog.wal_runs import WalRuns
from barmand.model.door import Expected, Misfit, Verdict, judge, judge_history, judge_label
from barmand.model.wal import WalKind, kind_of
from barmand.storage.wals import look_into, read_text


@dataclass(frozen=True, slots=True)
class Door:
    server: str
    servers: Servers
    backups: Backups
    wal_runs: WalRuns

    def expected(self) -> Expected:
        """As the catalogue knows the cluster now. The size of its segments is what its newest
        backup found, for pg_resetwal can change it; before the first, what is archived.
        """
        known = self.servers.identity(self.server)
        size = self.backups.segment_size(self.server) or self.wal_runs.segment_size(self.server)
        return Expected(known.system_id, size, known.version)

    def look(self, path: Path, expected: Expected | None = None) -> Verdict:
        """Judge a file under its own name. StorageFailed when it cannot be read."""
        wanted = expected or self.expected()
        match kind_of(path.name):
            case WalKind.SEGMENT | WalKind.PARTIAL:
                return judge(path.name, *look_into(path), wanted)
            case WalKind.HISTORY:
                return judge_history(path.name, read_text(path))
            case WalKind.LABEL:
                return judge_label(path.name, read_text(path), wanted)
            case WalKind.UNKNOWN:
                return Misfit("unknown", "its name is no WAL file's")
