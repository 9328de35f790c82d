"""All that the catalogue remembers, behind one name."""

from dataclasses import dataclass
from pathlib import Path

from barmand.catalog.backups import Backups
from barmand.catalog.chore_runs import ChoreRuns
from barmand.catalog.clock_watches import ClockWatches
from barmand.catalog.database import Database, Doorbell, open_database
from barmand.catalog.events import Events
from barmand.catalog.holds import Holds
from barmand.catalog.hook_runs import HookRuns
from barmand.catalog.proofs import Proofs
from barmand.catalog.schedule_runs import ScheduleRuns
from barmand.catalog.servers import Servers
from barmand.catalog.wal_gaps import WalGaps
from barmand.catalog.wal_hours import WalHours
from barmand.catalog.wal_runs import WalRuns


@dataclass(frozen=True, slots=True)
class Catalog:
    database: Database
    backups: Backups
    clock_watches: ClockWatches
    chore_runs: ChoreRuns
    events: Events
    holds: Holds
    hook_runs: HookRuns
    proofs: Proofs
    schedule_runs: ScheduleRuns
    servers: Servers
    wal_gaps: WalGaps
    wal_hours: WalHours
    wal_runs: WalRuns

    @property
    def bell(self) -> Doorbell:
        return self.database.bell

    @property
    def directory(self) -> Path:
        """Where the state file lies, and nothing of PostgreSQL's or of backups may."""
        return self.database.path.parent

    @property
    def versions(self) -> dict[str, str]:
        """Of SQLite, and of the tables."""
        return self.database.versions()

    def close(self) -> None:
        self.database.close()


def open_catalog(path: Path) -> Catalog:
    """Open or make the state file, migrated. Raises StorageFailed."""
    database = open_database(path)
    return Catalog(
        database=database,
        backups=Backups(database),
        clock_watches=ClockWatches(database),
        chore_runs=ChoreRuns(database),
        events=Events(database),
        holds=Holds(database),
        hook_runs=HookRuns(database),
        proofs=Proofs(database),
        schedule_runs=ScheduleRuns(database),
        servers=Servers(database),
        wal_gaps=WalGaps(database),
        wal_hours=WalHours(database),
        wal_runs=WalRuns(database),
    )
