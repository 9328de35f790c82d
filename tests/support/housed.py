"""One server's operations as the wiring builds them from an INI file, over a real cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.backup import Backup, Status
from barmand.model.recovery import Target
from barmand.operations.restore import Restored
from barmand.outside.clock import local_now
from barmand.service.house import Kit
from barmand.service.receivers import Receivers
from barmand.service.stopping import StopFlag
from barmand.settings import ini
from barmand.settings.ini import Settings
from barmand.storage.layout import Layout
from barmand.wiring import Builder
from barmand.works import Bells
from support.daemon import ini as ini_text
from support.daemon import server_options
from support.postgres import Cluster, Clusters
from support.waiting import eventually

SERVER = "main"


def _nobody(_server: str) -> None:
    """Nobody hears a ring here."""


def quiet_bells() -> Bells:
    return Bells(
        ring_archive=_nobody,
        ring_retention=_nobody,
        find_kit=lambda _server: None,
        delete_alone=lambda _backup, delete: delete(StopFlag()),
        works_on_deletion=lambda _backup: False,
        receivers=Receivers(lambda: None),
    )


@dataclass(slots=True)
class Told:
    """What was reported of a work: bytes done and expected."""

    bytes: list[tuple[int, int | None]] = field(default_factory=list)

    def __call__(self, _phase: object, done: int | None, total: int | None) -> None:
        if done is not None:
            self.bytes.append((done, total))


@dataclass(slots=True)
class Housed:
    cluster: Cluster
    folder: Path
    catalog: Catalog
    settings: Settings

    @property
    def kit(self) -> Kit:
        house = Builder(self.catalog, quiet_bells()).house(self.settings)
        return house.kit(SERVER)

    @property
    def layout(self) -> Layout:
        return self.kit.layout

    def data(self, backup: Backup) -> Path:
        return self.layout.data(backup.id)

    def take(self) -> Backup:
        """A backup that is DONE, or what it raised."""
        kit, backups = self.kit, self.catalog.backups
        kit.layout.prepare()
        queued = backups.queue(SERVER, method=kit.method, name=None, requester="", now=local_now())
        taken = kit.take.run(queued, kit.order, stop=StopFlag(), report=Told())

        def is_done() -> bool:
            kit.archive.run(lambda: False)
            return backups.get(SERVER, taken.id).status is Status.DONE

        eventually(is_done)
        return backups.get(SERVER, taken.id)

    def restore(
        self, backup: Backup, place: Path, *, told: Told | None = None, **moved: Path
    ) -> Restored:
        places = {name: str(folder) for name, folder in moved.items()}
        plan = self.kit.restore.plan(backup, place, Target.IMMEDIATE, places)
        return self.kit.restore.run(plan, stop=StopFlag(), report=told or Told())


@contextmanager
def housed(cluster: Cluster, folder: Path, **options: object | None) -> Iterator[Housed]:
    """The server's section has these `options`; the cluster archives into its incoming folder."""
    config = folder / "barmand.conf"
    server = server_options(
        cluster, archiver="on", streaming_archiver=None, slot_name=None, **options
    )
    config.write_text(ini_text(folder, {SERVER: server}))
    incoming = folder / "home" / SERVER / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    cluster.configure(
        archive_command=f'cp "%p" "{incoming}/.%f" && mv "{incoming}/.%f" "{incoming}/%f"'
    )
    cluster.reload()
    catalog = open_catalog(folder / "barmand.db")
    try:
        yield Housed(cluster, folder, catalog, ini.read(config))
    finally:
        catalog.close()


def started(clusters: Clusters, place: Path) -> Cluster:
    """PostgreSQL on a restored cluster, recovered and open for writing."""
    cluster = clusters.adopt(place)
    eventually(lambda: cluster.psql("SELECT pg_is_in_recovery()") == "f")
    return cluster
