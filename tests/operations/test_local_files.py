"""`local`, the copy file by file: a data directory of our own, and a session that is played."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from barmand.model.backup import Backup, Damage, Tablespace
from barmand.model.errors import Failure, PostgresFailed, Stopped, StorageFailed
from barmand.model.order import Order, Reuse
from barmand.model.progress import Phase
from barmand.operations.by_files import ByFiles
from barmand.operations.local_files import LocalFiles
from barmand.operations.ports import CopyJob
from barmand.operations.ports import Stop as PortStop
from barmand.outside.held_backup import Ended
from barmand.service.stopping import StopFlag
from barmand.storage.manifest import read_checksums
from fakes import MB, NOON, SYSTEM, Bench, Stop, Told, control_file
from support.starving import Starved

LABEL = (
    "START WAL LOCATION: 0/300028 (file 000000010000000000000003)\n"
    "CHECKPOINT LOCATION: 0/300060\n"
)  # fmt: skip


@dataclass
class PlayedSession:
    start_lsn: int = 3 * MB + 0x28
    lost: threading.Event = field(default_factory=threading.Event)
    promoted: threading.Event = field(default_factory=threading.Event)
    has_ended: bool = False
    tablespace_map: str = ""
    refusal: Failure | None = None

    def end(self) -> Ended:
        if self.refusal is not None:
            raise self.refusal
        self.has_ended = True
        return Ended(3 * MB + 0x128, LABEL, self.tablespace_map)


@dataclass
class PlayedBackup:
    """Backup mode that is held as long as its `with` block lasts."""

    session: PlayedSession = field(default_factory=PlayedSession)
    asked: list[tuple[str, bool, int]] = field(default_factory=list)
    is_held: bool = False

    @contextmanager
    def begun(
        self, label: str, *, is_fast: bool, keepalive_seconds: int, stop: PortStop
    ) -> Iterator[PlayedSession]:
        del stop
        self.asked.append((label, is_fast, keepalive_seconds))
        self.is_held = True
        try:
            yield self.session
        finally:
            self.is_held = False


@dataclass
class Stage:
    bench: Bench
    pgdata: Path
    held: PlayedBackup

    @property
    def method(self) -> ByFiles:
        clock = self.bench.clock
        return ByFiles(
            layout=self.bench.layout,
            backups=self.bench.catalog.backups,
            held=self.held,
            copier=LocalFiles(),
            now=clock,
            monotonic=clock.seconds,
        )

    def take(
        self, order: Order | None = None, *, stop: PortStop | None = None, told: Told | None = None
    ) -> Backup:
        take = replace(self.bench.take, method=self.method)
        backup = self.bench.catalog.backups.queue(
            "main", method="local", name=None, requester="tester", now=self.bench.clock()
        )
        return take.run(backup, order or Order(), stop=stop or Stop(), report=told or Told())

    def data(self, backup: Backup) -> Path:
        return self.bench.layout.data(backup.id)


@pytest.fixture
def stage(bench: Bench, tmp_path: Path) -> Stage:
    pgdata = tmp_path / "pgdata"
    for name in ("global", "base/5", "pg_wal", "pg_tblspc"):
        (pgdata / name).mkdir(parents=True)
    (pgdata / "PG_VERSION").write_text("15\n")
    (pgdata / "base/5/1259").write_bytes(b"relation")
    (pgdata / "global/pg_control").write_bytes(control_file(SYSTEM))
    (pgdata / "postgresql.conf").write_text("port = 1\n")
    bench.postgres.pgdata = str(pgdata)
    bench.postgres.config_file = str(pgdata / "postgresql.conf")
    return Stage(bench, pgdata, PlayedBackup())


def test_a_copy_holds_the_session_and_lays_its_words_beside(stage: Stage) -> None:
    told = Told()
    backup = stage.take(Order(keepalive_seconds=7, immediate_checkpoint=True), told=told)
    assert stage.held.asked == [(f"barmand backup main {backup.id}", True, 7)]
    assert (stage.held.session.has_ended, stage.held.is_held) == (True, False)
    data = stage.data(backup)
    assert (data / "backup_label").read_text() == LABEL
    assert not (data / "tablespace_map").exists()
    assert (data / "global/pg_control").read_bytes() == control_file(SYSTEM)
    assert told.phases == [
        *(Phase.CHECKING, Phase.CHECKPOINT, Phase.COPYING, Phase.CLOSING, Phase.SYNCING),
        Phase.CLOSING,
    ]
    assert backup.copied is not None
    assert (backup.copied.begin_lsn, backup.copied.end_lsn) == (3 * MB + 0x28, 3 * MB + 0x128)


def test_a_manifest_names_every_file(stage: Stage) -> None:
    place = stage.pgdata.parent / "fast"
    (place / "PG_15_202209061").mkdir(parents=True)
    stage.bench.postgres.tablespaces = (Tablespace("fast", 77, str(place)),)
    stage.held.session.tablespace_map = f"77 {place}\n"
    backup = stage.take(Order(makes_manifest=True, jobs=3))
    data = stage.data(backup)
    on_disk = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    assert set(dict(read_checksums(data))) == on_disk - {"backup_manifest"}
    assert (data / "tablespace_map").read_text() == f"77 {place}\n"
    assert backup.copied is not None
    assert backup.copied.workers == 3


def test_a_tablespace_made_while_the_backup_began_fails_it(stage: Stage) -> None:
    stage.held.session.tablespace_map = "77 /somewhere\n"
    with pytest.raises(PostgresFailed, match=r"main got a new tablespace \(oid 77\)"):
        stage.take()


def test_a_session_that_breaks_fails_the_copy_with_that_reason(stage: Stage) -> None:
    stage.held.session.lost.set()
    with pytest.raises(PostgresFailed, match="main ended the backup: its session broke off"):
        stage.take()
    assert not stage.held.is_held


def test_a_promotion_fails_the_copy_and_is_no_lost_session_to_try_again(stage: Stage) -> None:
    stage.held.session.promoted.set()
    stage.held.session.lost.set()
    with pytest.raises(PostgresFailed, match="main was promoted in mid-copy"):
        stage.take(Order(retry_times=3))
    assert len(stage.held.asked) == 1


def test_a_stop_counts_more_than_a_session_that_breaks_by_it(stage: Stage) -> None:
    stage.held.session.lost.set()
    stop = Stop(after=1)
    with pytest.raises(Stopped):
        stage.take(stop=stop)


def test_what_postgresql_says_at_the_end_fails_the_backup(stage: Stage) -> None:
    words = "backup of main: the standby was promoted during online backup"
    stage.held.session.refusal = PostgresFailed(words)
    with pytest.raises(PostgresFailed, match="promoted during online backup"):
        stage.take(Order(makes_manifest=True))
    (failed,) = stage.bench.catalog.backups.of_server("main")
    assert failed.reason is not None
    assert failed.reason.message == words
    assert not (stage.data(failed) / "backup_manifest").exists()


def test_the_data_of_another_cluster_at_the_same_path_are_never_copied(stage: Stage) -> None:
    """The server runs on another machine, and here is another one at that path."""
    (stage.pgdata / "global/pg_control").write_bytes((666).to_bytes(8, "little"))
    with pytest.raises(StorageFailed, match=r"is not main's data directory: .* is 666, not 73"):
        stage.take()


def test_a_data_directory_that_is_not_here_is_a_finding(stage: Stage) -> None:
    (fine,) = LocalFiles().findings(str(stage.pgdata), Stop())
    (amiss,) = LocalFiles().findings(str(stage.pgdata / "gone"), Stop())
    assert (fine.is_ok, fine.hint) == (True, str(stage.pgdata))
    assert (amiss.is_ok, "gone/PG_VERSION: No such file" in amiss.hint) == (False, True)
    assert list(LocalFiles().findings(None, Stop())) == []
    assert not stage.method.needs_replication


# ------------------------------------------------------------------- what lies outside, and links


def test_configuration_outside_takes_the_place_of_what_lies_inside(
    stage: Stage, tmp_path: Path
) -> None:
    outside = tmp_path / "etc" / "postgresql.conf"
    outside.parent.mkdir()
    outside.write_text("port = 2\n")
    stage.bench.postgres.config_file = str(outside)
    data = stage.data(stage.take(Order(makes_manifest=True)))
    assert (data / "postgresql.conf").read_text() == "port = 2\n"
    assert (data / "backup_manifest").read_text().count("postgresql.conf") == 1


def test_configuration_outside_that_is_gone_is_named(stage: Stage, tmp_path: Path) -> None:
    stage.bench.postgres.config_file = str(tmp_path / "gone.conf")
    with pytest.raises(StorageFailed, match=r"cannot read .*gone\.conf"):
        stage.take()


@pytest.mark.parametrize("way", ["real", "linked"])
def test_a_tablespace_inside_is_left_out_of_the_data_directory(
    stage: Stage, tmp_path: Path, way: str
) -> None:
    """However the data directory is called: by its own name, or by a link to it."""
    place = stage.pgdata / "spaces/one"
    (place / "PG_15_202209061/5").mkdir(parents=True)
    (place / "PG_15_202209061/5/16400").write_bytes(b"far")
    (tmp_path / "link").symlink_to(stage.pgdata)
    if way == "linked":
        stage.bench.postgres.pgdata = str(tmp_path / "link")
        stage.bench.postgres.config_file = None
    stage.bench.postgres.tablespaces = (Tablespace("one", 77, str(place)),)
    backup = stage.take(Order(makes_manifest=True))
    copy = stage.bench.layout.tablespace(backup.id, 77)
    assert (copy / "PG_15_202209061/5/16400").read_bytes() == b"far"
    data = stage.data(backup)
    assert (data / "pg_tblspc/77").readlink() == copy
    assert not (data / "spaces/one").exists()
    assert "pg_tblspc/77/PG_15_202209061/5/16400" in dict(read_checksums(data))


# ------------------------------------------------------------------------------------ reference


def linked(stage: Stage, backup: Backup) -> bool:
    return (stage.data(backup) / "base/5/1259").stat().st_nlink > 1


LINK = Order(reuse=Reuse.LINK, makes_manifest=True)


def test_the_newest_backup_of_the_same_cluster_is_the_reference(stage: Stage) -> None:
    first, second = stage.take(LINK), stage.take(LINK)
    assert linked(stage, first)
    assert (stage.data(first) / "base/5/1259").samefile(stage.data(second) / "base/5/1259")
    assert second.copied is not None
    assert second.copied.deduplicated_size < second.copied.size


def test_nothing_is_linked_where_it_is_not_asked_for(stage: Stage) -> None:
    stage.take(LINK)
    assert not linked(stage, stage.take(Order(makes_manifest=True)))
    assert not linked(stage, stage.take(replace(LINK, reuse=Reuse.COPY)))


@pytest.mark.parametrize("why", ["method", "system", "damage", "failed"])
def test_a_backup_that_cannot_be_relied_on_is_no_reference(stage: Stage, why: str) -> None:
    first = stage.take(LINK)
    assert first.copied is not None
    assert first.cluster is not None
    damaged = replace(first.copied, damages=(Damage("base/5/1259", (0,)),))
    other = {
        "method": replace(first, method="postgres"),
        "system": replace(first, cluster=replace(first.cluster, system_id="666")),
        "damage": replace(first, copied=damaged),
        "failed": first,
    }[why]

    @dataclass
    class Known:
        def of_server(self, server: str) -> list[Backup]:
            assert server == "main"
            return [] if why == "failed" else [other]

    method = replace(stage.method, backups=Known())  # type: ignore[arg-type] # all it is asked for
    assert method._reference(first, first.cluster) is None


def test_a_clock_that_was_wrong_does_not_link_what_is_younger(stage: Stage) -> None:
    """The files are younger than the reference's beginning: they are compared."""
    assert NOON.year < 2026
    first = stage.take(LINK)
    path = stage.pgdata / "base/5/1259"
    facts = path.stat()
    path.write_bytes(b"RELATION")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    second = stage.take(LINK)
    assert (stage.data(second) / "base/5/1259").read_bytes() == b"RELATION"
    assert (stage.data(first) / "base/5/1259").read_bytes() == b"relation"


# --------------------------------------------------------------------- attempts, and pg_control


def test_a_copy_that_fails_and_heals_is_told_as_such(stage: Stage) -> None:
    stop = Starved()
    has_starved = []

    def starve(phase: Phase) -> None:
        if phase is Phase.COPYING and not has_starved:
            has_starved.append(phase)
            stop.starve()

    told = Told(also=starve)
    try:
        with capture_logs() as logs:
            backup = stage.take(Order(retry_times=1, retry_sleep=0.5), stop=stop, told=told)
    finally:
        stop.heal()
    assert has_starved
    assert told.phases[1:6] == [
        *(Phase.CHECKPOINT, Phase.COPYING, Phase.RETRYING, Phase.COPYING, Phase.CLOSING)
    ]
    assert "copy failed, another attempt follows" in [line["event"] for line in logs]
    assert (stage.data(backup) / "base/5/1259").read_bytes() == b"relation"


def test_without_retries_the_same_failure_fails_the_backup(stage: Stage) -> None:
    stop = Starved()
    told = Told(also=lambda phase: stop.starve() if phase is Phase.COPYING else None)
    try:
        with pytest.raises(StorageFailed, match="Too many open files"):
            LocalFiles().copy(job_of(stage), stop=stop, report=told)
    finally:
        stop.heal()
    assert stop.pauses == []


def job_of(stage: Stage, order: Order | None = None) -> CopyJob:
    home = stage.pgdata.parent / "copy"
    home.mkdir()
    return CopyJob(
        backup=stage.bench.queue(),
        cluster=stage.bench.postgres.facts(),
        order=order or Order(),
        home=home,
        verify_before=None,
        reference=None,
        reference_home=None,
        manifest=None,
    )


def test_a_torn_control_file_is_read_again(stage: Stage) -> None:
    """Whoever writes it goes on during the pause."""
    path = stage.pgdata / "global/pg_control"
    path.write_bytes(control_file(SYSTEM)[:200] + bytes(7992))

    class Writer(Stop):
        def wait(self, timeout: float | None = None) -> bool:
            path.write_bytes(control_file(SYSTEM))
            return super().wait(timeout)

    stop = Writer()
    backup = stage.take(Order(makes_manifest=True), stop=stop)
    data = stage.data(backup)
    assert (data / "global/pg_control").read_bytes() == control_file(SYSTEM)
    assert stop.pauses
    assert (data / "backup_manifest").read_text().count("pg_control") == 1


def test_a_control_file_that_stays_torn_fails_the_backup(stage: Stage) -> None:
    path = stage.pgdata / "global/pg_control"
    path.write_bytes(control_file(SYSTEM)[:200] + bytes(7992))
    with pytest.raises(StorageFailed, match="pg_control does not have its own checksum"):
        stage.take()


def test_a_tablespaces_own_limit_holds_within_that_of_the_backup(
    stage: Stage, tmp_path: Path
) -> None:
    place = tmp_path / "space"
    (place / "PG_15_202209061/5").mkdir(parents=True)
    for number in range(8):
        (place / f"PG_15_202209061/5/{16400 + number}").write_bytes(os.urandom(MB))
        (stage.pgdata / f"base/5/{16500 + number}").write_bytes(os.urandom(MB))
    stage.bench.postgres.tablespaces = (Tablespace("slow", 77, str(place)),)
    copier = LocalFiles(tablespace_limits={"slow": 4096})
    begun = time.monotonic()
    copier.copy(job_of(stage, Order(jobs=2)), stop=StopFlag(), report=Told())
    assert 1.6 < time.monotonic() - begun < 2.6
