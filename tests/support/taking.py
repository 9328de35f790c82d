"""Backups of a real cluster, taken file by file, and the proof of a backup: a cluster that runs."""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Reason
from barmand.model.order import Order
from barmand.model.progress import Phase
from barmand.model.secret import Conninfo
from barmand.model.wal import Segment
from barmand.operations.by_files import ByFiles
from barmand.operations.ports import FileCopier
from barmand.outside.clock import local_now, monotonic
from barmand.outside.held_backup import HeldBackup
from barmand.outside.postgres import Postgres
from barmand.service.stopping import StopFlag
from barmand.storage.layout import Layout
from support.postgres import Cluster, Clusters, run

SERVER = "main"
FAST = {"immediate_checkpoint": True}


@dataclass(slots=True)
class Told:
    """What a backup reported."""

    phases: list[Phase] = field(default_factory=list)
    bytes: list[tuple[int, int]] = field(default_factory=list)
    moments: list[tuple[float, Phase, int]] = field(default_factory=list)
    copying: threading.Event = field(default_factory=threading.Event)

    def __call__(self, phase: Phase, done: int | None, total: int | None) -> None:
        self.phases.append(phase)
        self.moments.append((time.monotonic(), phase, done or 0))
        if done is not None and total is not None:
            self.bytes.append((done, total))
        if phase is Phase.COPYING:
            self.copying.set()


@dataclass(slots=True)
class Taking:
    """Takes backups of `cluster` with any copier into one folder."""

    cluster: Cluster
    catalog: Catalog
    home: Path

    @property
    def layout(self) -> Layout:
        home = self.home
        return Layout(SERVER, home, home / "base", *(home / name for name in "wise"))

    @property
    def postgres(self) -> Postgres:
        conninfo = Conninfo(self.cluster.conninfo)
        return Postgres(SERVER, conninfo, conninfo)

    def take(
        self,
        copier: FileCopier,
        *,
        stop: StopFlag | None = None,
        told: Told | None = None,
        **order: object,
    ) -> Backup:
        """A backup whose copy is whole, or what it raised; the catalogue knows either."""
        by_files = ByFiles(
            self.layout,
            self.catalog.backups,
            HeldBackup(self.postgres),
            copier,
            local_now,
            monotonic,
        )
        backups = self.catalog.backups
        queued = backups.queue(SERVER, method="rsync", name=None, requester="", now=local_now())
        begun = queued.begun(local_now(), self.postgres.facts())
        backups.move(queued, begun, now=local_now())
        try:
            copied = by_files.take(
                begun,
                Order(**{**FAST, **order}),  # type: ignore[arg-type] # options of a test
                stop=stop or StopFlag(),
                report=told or Told(),
            )
        except BaseException as error:
            backups.move(begun, begun.failed(local_now(), Reason.of(error)), now=local_now())
            raise
        done = begun.with_copy(local_now(), copied)
        backups.move(begun, done, now=local_now())
        return done

    def folder(self, backup: Backup) -> Path:
        return self.layout.backup(backup.id)

    def data(self, backup: Backup) -> Path:
        return self.layout.data(backup.id)

    def verify(self, backup: Backup) -> str:
        """pg_verifybackup's words; RuntimeError when it complains."""
        program = self.cluster.bindir / "pg_verifybackup"
        return run(program, "--no-parse-wal", self.data(backup), timeout=120)

    def restore(self, backup: Backup, clusters: Clusters, place: Path) -> Cluster:
        """PostgreSQL, started on a copy of the copy; WAL comes from the cluster itself."""
        self.cluster.switch_wal()
        place.mkdir()
        run("cp", "-a", "--reflink=auto", self.data(backup), place / "data")
        for link in (place / "data/pg_tblspc").iterdir():
            run("cp", "-a", "--reflink=auto", self.folder(backup) / link.name, place / link.name)
            link.unlink()
            link.symlink_to(place / link.name)
        (place / "data/tablespace_map").unlink(missing_ok=True)
        assert backup.copied is not None
        size = 16 * 1024 * 1024
        first = Segment(backup.copied.timeline, backup.copied.begin_lsn // size).name(size)
        for segment in (self.cluster.data / "pg_wal").glob("0*"):
            if segment.name >= first:
                shutil.copy2(segment, place / "data/pg_wal")
        return clusters.adopt(place / "data", archive_mode="off")


def hashes(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Of each file: the bytes, the mode and the time."""
    found: dict[str, tuple[str, int, int]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            facts = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[os.fspath(path.relative_to(folder))] = (digest, facts.st_mode, facts.st_mtime_ns)
    return found


class Background:
    """Work on a thread of its own; `wait` gives what it returned or raises what it raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._result: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self, timeout: float = 60) -> object:
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"still at work after {timeout} s"
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
