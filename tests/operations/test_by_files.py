"""A real cluster, copied file by file: by the kernel, by rsync, by rsync over a real ssh."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.backup import Backup, Damage
from barmand.model.errors import Failure, PostgresFailed, Stopped
from barmand.model.order import Checksums, Reuse
from barmand.model.progress import Phase
from barmand.operations.local_files import LocalFiles
from barmand.operations.ports import FileCopier
from barmand.outside.rsync_files import RsyncFiles
from barmand.service.stopping import StopFlag
from support.postgres import Cluster, Clusters
from support.processes import all_processes
from support.sshd import Sshd
from support.taking import Background, Taking, Told, hashes

MIB = 1024 * 1024
EARLY = (Phase.CHECKPOINT, Phase.COPYING)


@pytest.fixture
def sshd(folder: Path) -> Iterator[Sshd]:
    made = Sshd(folder / "sshd").start()
    yield made
    made.stop()


@pytest.fixture
def catalog(folder: Path) -> Iterator[Catalog]:
    made = open_catalog(folder / "barmand.db")
    yield made
    made.close()


@pytest.fixture
def busy(clusters: Clusters) -> Cluster:
    """A cluster whose WAL stays."""
    return clusters.make(wal_keep_size="4GB")


@pytest.fixture
def taking(busy: Cluster, catalog: Catalog, folder: Path) -> Taking:
    return Taking(busy, catalog, folder / "home")


@pytest.fixture(params=["local", "local-rsync", "rsync"])
def copier(request: pytest.FixtureRequest) -> FileCopier:
    match request.param:
        case "local":
            return LocalFiles()
        case "local-rsync":
            return RsyncFiles()
        case _:
            return RsyncFiles(ssh=request.getfixturevalue("sshd").words)


def test_a_full_backup_restores_and_verifies(
    taking: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    taking.cluster.pgbench_init(scale=2)
    told = Told()
    backup = taking.take(copier, told=told, jobs=2, makes_manifest=True)
    assert taking.verify(backup)
    done, total = told.bytes[-1]
    assert 0 < done <= total
    restored = taking.restore(backup, clusters, folder / "restored")
    assert restored.psql("SELECT count(*) FROM pgbench_accounts") == "200000"


def test_a_check_tells_whether_the_files_can_be_reached(taking: Taking, copier: FileCopier) -> None:
    pgdata = str(taking.cluster.data)
    assert [finding.is_ok for finding in copier.findings(pgdata)] == [True]
    (away,) = copier.findings(pgdata + "/away")
    assert not away.is_ok
    assert "away" in away.hint


def test_balances_agree_after_a_backup_under_load(
    taking: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    cluster = taking.cluster
    cluster.pgbench_init(scale=2)
    with cluster.pgbench(seconds=60):
        first = taking.take(copier, jobs=2, makes_manifest=True)
        second = taking.take(copier, jobs=2, makes_manifest=True, reuse=Reuse.LINK)
    for backup in (first, second):
        assert backup.copied is not None
        assert backup.copied.damages == ()
        assert taking.verify(backup)
    restored = taking.restore(second, clusters, folder / "restored")
    sums = "SELECT sum(abalance) FROM pgbench_accounts", "SELECT sum(delta) FROM pgbench_history"
    assert restored.psql(sums[0]) == restored.psql(sums[1])
    restored.psql("CREATE EXTENSION amcheck")
    assert (
        restored.psql(
            "SELECT count(bt_index_check(oid, true)) FROM pg_class"
            " WHERE relkind = 'i' AND relname LIKE 'pgbench%'"
        )
        == "3"
    )


def test_tablespaces_come_once_wherever_they_are(
    taking: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    cluster = taking.cluster
    places = {
        'it\'s "odd" = %n': folder / 'sp ace [1]* "of" $(x)',
        "inside": cluster.data / "inner",
    }
    for name, place in places.items():
        place.mkdir()
        (place / "PG_9.6_1").mkdir()
        (place / "PG_9.6_1/of another server").write_text("x")
        quoted, path = name.replace('"', '""'), str(place).replace("'", "''")
        cluster.psql(f"CREATE TABLESPACE \"{quoted}\" LOCATION '{path}'")
        table = "t_" + name[:2].replace("'", "")
        cluster.psql(
            f'CREATE TABLE {table} TABLESPACE "{quoted}" AS SELECT generate_series(1, 10000) AS n'
        )
    backup = taking.take(copier, jobs=2, makes_manifest=True)
    assert taking.verify(backup)
    oids = cluster.psql("SELECT oid FROM pg_tablespace WHERE oid > 16383").split()
    for oid in oids:
        assert (taking.folder(backup) / oid).is_dir()
        assert [path.name[:5] for path in (taking.folder(backup) / oid).iterdir()] == ["PG_15"]
    assert not (taking.data(backup) / "inner").exists()
    restored = taking.restore(backup, clusters, folder / "restored")
    cluster.stop()
    assert restored.psql("SELECT count(*) FROM t_it") == "10000"
    assert restored.psql("SELECT count(*) FROM t_in") == "10000"


def test_relations_that_come_and_go_do_no_harm(
    taking: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    cluster = taking.cluster
    cluster.psql(
        "DO $$ BEGIN FOR i IN 1..2000 LOOP"
        " EXECUTE format('CREATE TABLE many_%s (n int)', i); COMMIT; END LOOP; END $$"
    )
    cluster.psql("CREATE TABLE full_up AS SELECT generate_series(1, 300000) AS n")
    over = threading.Event()

    def stir() -> int:
        turns = 0
        while not over.is_set():
            turns += 1
            cluster.psql(f"DROP TABLE many_{turns}")
            cluster.psql(f"CREATE TABLE new_{turns} AS SELECT generate_series(1, 5000)")
            cluster.psql("TRUNCATE new_1")
            cluster.psql("VACUUM FULL full_up" if turns % 9 == 0 else "CHECKPOINT")
        return turns

    stirring = Background(stir)
    try:
        backups = [taking.take(copier, jobs=2, makes_manifest=True) for _ in range(3)]
    finally:
        over.set()
    turns = int(str(stirring.wait()))
    assert turns > 3
    for backup in backups:
        assert backup.copied is not None
        assert backup.copied.damages == ()
        assert taking.verify(backup)
    restored = taking.restore(backups[-1], clusters, folder / "restored")
    assert restored.psql("SELECT count(*) FROM full_up") == "300000"
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'new_%'"
    assert restored.psql(tables) == str(turns)


def test_an_unreadable_file_fails_the_backup_and_is_named(
    taking: Taking, copier: FileCopier
) -> None:
    cluster = taking.cluster
    cluster.psql("CREATE TABLE secret AS SELECT 1 AS n")
    path = cluster.data / cluster.psql("SELECT pg_relation_filepath('secret')")
    cluster.psql("CHECKPOINT")
    path.chmod(0)
    try:
        with pytest.raises(Failure) as failed:
            taking.take(copier, retry_times=3)
    finally:
        path.chmod(0o600)
    assert str(path) in failed.value.message
    assert "Permission denied" in failed.value.message


def test_nothing_of_the_running_server_is_copied(taking: Taking, copier: FileCopier) -> None:
    cluster = taking.cluster
    (cluster.data / "base/pgsql_tmp").mkdir(exist_ok=True)
    (cluster.data / "base/pgsql_tmp/pgsql_tmp1.0").write_text("sorting")
    (cluster.data / "base/5/t3_16999").write_text("temporary table")
    (cluster.data / "an odd \n name \udcff ").write_text("of the administrator")
    copy = taking.data(taking.take(copier))
    names = {str(path.relative_to(copy)) for path in copy.rglob("*")}
    assert "an odd \n name \udcff " in names
    assert names.isdisjoint({"postmaster.pid", "postmaster.opts", "base/5/t3_16999"})
    assert not any(name.startswith(("pg_wal/", "base/pgsql_tmp")) for name in names)
    assert (copy / "pg_wal").is_dir()
    assert (copy / "global/pg_control").stat().st_size == 8192
    for name in ("PG_VERSION", "base/5/PG_VERSION", "postgresql.conf"):
        here, there = (copy / name).stat(), (cluster.data / name).stat()
        assert (here.st_mtime_ns, here.st_mode) == (there.st_mtime_ns, there.st_mode)


def test_a_directory_that_is_a_link_is_followed(
    taking: Taking, copier: FileCopier, folder: Path
) -> None:
    cluster = taking.cluster
    cluster.stop()
    for name in ("pg_wal", "pg_xact"):
        (cluster.data / name).rename(folder / f"moved {name}")
        (cluster.data / name).symlink_to(folder / f"moved {name}")
    cluster.start()
    backup = taking.take(copier, makes_manifest=True)
    for name in ("pg_wal", "pg_xact"):
        assert (taking.data(backup) / name).is_dir()
        assert not (taking.data(backup) / name).is_symlink()
    assert (taking.data(backup) / "pg_xact/0000").is_file()
    assert taking.verify(backup)


def test_configuration_outside_the_data_directory_comes_into_it(
    taking: Taking, copier: FileCopier, folder: Path
) -> None:
    cluster = taking.cluster
    cluster.stop()
    outside = folder / "etc"
    outside.mkdir()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (cluster.data / name).rename(outside / name)
    with (outside / "postgresql.conf").open("a") as conf:
        conf.write(f"hba_file = '{outside}/pg_hba.conf'\nident_file = '{outside}/pg_ident.conf'\n")
        conf.write(f"data_directory = '{cluster.data}'\n")
    (cluster.data / "postgresql.conf").symlink_to(outside / "postgresql.conf")
    cluster.start()
    cluster.psql("ALTER SYSTEM SET event_source = 'x'")
    (outside / "pg_ident.conf").unlink()
    backup = taking.take(copier, makes_manifest=True)
    for name in ("postgresql.conf", "pg_hba.conf"):
        assert (taking.data(backup) / name).read_bytes() == (outside / name).read_bytes()
        assert not (taking.data(backup) / name).is_symlink()
    assert taking.verify(backup)


def test_what_did_not_change_is_linked(taking: Taking, copier: FileCopier) -> None:
    cluster = taking.cluster
    cluster.pgbench_init(scale=2)
    first = taking.take(copier, makes_manifest=True)
    before = hashes(taking.folder(first))
    with cluster.pgbench(seconds=3) as load:
        load.wait()
    time.sleep(2.5)
    second = taking.take(copier, makes_manifest=True, reuse=Reuse.LINK, jobs=2)
    third = taking.take(copier, makes_manifest=True, reuse=Reuse.LINK, jobs=2)
    assert hashes(taking.folder(first)) == before
    for backup in (first, second, third):
        assert taking.verify(backup)
    assert second.copied is not None
    assert third.copied is not None
    assert second.copied.deduplicated_size < second.copied.size
    assert third.copied.deduplicated_size < second.copied.deduplicated_size
    relation = cluster.psql("SELECT pg_relation_filepath('pgbench_accounts')")
    inodes = {(taking.data(backup) / relation).stat().st_ino for backup in (first, second, third)}
    assert len(inodes) == 2
    assert (taking.data(third) / "global/pg_control").stat().st_nlink == 1


def test_a_file_with_old_time_and_size_but_new_content_is_not_taken_for_old(
    taking: Taking, copier: FileCopier
) -> None:
    """It changed within the slack before the reference began, or after: it is compared."""
    extra = taking.cluster.data / "extra"
    extra.write_text("one")
    facts = extra.stat()
    first = taking.take(copier, makes_manifest=True)
    extra.write_text("two")
    os.utime(extra, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    for reuse in (Reuse.LINK, Reuse.COPY):
        backup = taking.take(copier, makes_manifest=True, reuse=reuse)
        assert (taking.data(backup) / "extra").read_text() == "two"
        assert taking.verify(backup)
    assert (taking.data(first) / "extra").read_text() == "one"


def test_a_manifest_by_another_algorithm_lends_no_checksums(
    taking: Taking, copier: FileCopier, folder: Path
) -> None:
    place = folder / "space"
    place.mkdir()
    taking.cluster.psql(f"CREATE TABLESPACE apart LOCATION '{place}'")
    taking.cluster.psql("CREATE TABLE t TABLESPACE apart AS SELECT generate_series(1, 9999)")
    taking.cluster.psql("CHECKPOINT")
    time.sleep(2.5)  # so that its files are safely older than the backups
    for sums in (Checksums.CRC32C, Checksums.SHA256, Checksums.SHA256, Checksums.CRC32C):
        backup = taking.take(
            copier, makes_manifest=True, manifest_checksums=sums, reuse=Reuse.LINK, jobs=2
        )
        assert taking.verify(backup)
        files = json.loads((taking.data(backup) / "backup_manifest").read_text())["Files"]
        assert {each["Checksum-Algorithm"] for each in files} == {sums.name}
        assert any(each["Path"].startswith("pg_tblspc/") for each in files)


@pytest.mark.parametrize("break_off", ["kill", "freeze"])
def test_older_backups_are_untouched_by_a_broken_and_retried_linked_one(
    taking: Taking, sshd: Sshd, break_off: str
) -> None:
    cluster = taking.cluster
    cluster.pgbench_init(scale=4)
    copier = RsyncFiles(ssh=sshd.words, silence_seconds=3)
    taking.take(copier, makes_manifest=True)
    time.sleep(2.5)
    with cluster.pgbench(seconds=2) as load:
        load.wait()
    cluster.psql("CHECKPOINT")
    first = taking.take(copier, makes_manifest=True, reuse=Reuse.LINK)
    before = hashes(taking.layout.base)
    (cluster.data / "new").write_bytes(os.urandom(40 * MIB))
    told = Told()
    work = Background(
        lambda: taking.take(
            copier,
            told=told,
            jobs=2,
            makes_manifest=True,
            reuse=Reuse.LINK,
            retry_times=5,
            retry_sleep=0.5,
            bandwidth_limit=10_000,
        )
    )
    with cluster.pgbench(seconds=20):
        assert told.copying.wait(30)
        for _ in range(2):
            time.sleep(1.0)
            for child in sshd.children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL if break_off == "kill" else signal.SIGSTOP)
            time.sleep(1.0)
        second = work.wait(90)
    assert isinstance(second, Backup)
    after = hashes(taking.layout.base)
    assert {name: after.get(name) for name in before} == before
    assert Phase.RETRYING in told.phases
    for backup in (first, second):
        assert taking.verify(backup)


def test_a_restart_of_the_cluster_in_mid_copy_is_noticed(
    taking: Taking, copier: FileCopier
) -> None:
    cluster = taking.cluster
    cluster.pgbench_init(scale=4)
    told = Told()
    work = Background(lambda: taking.take(copier, told=told, jobs=2, bandwidth_limit=2000))
    assert told.copying.wait(30)
    cluster.restart("immediate")
    begun = time.monotonic()
    with pytest.raises(PostgresFailed, match="ended the backup"):
        work.wait(30)
    assert time.monotonic() - begun < 10


def test_a_stop_ends_it_and_leaves_no_process(taking: Taking, copier: FileCopier) -> None:
    cluster = taking.cluster
    cluster.pgbench_init(scale=4)
    told, stop = Told(), StopFlag()
    work = Background(
        lambda: taking.take(copier, told=told, stop=stop, jobs=2, bandwidth_limit=2000)
    )
    assert told.copying.wait(30)
    stop.stop("cancelled by alice")
    begun = time.monotonic()
    with pytest.raises(Stopped):
        work.wait(30)
    assert time.monotonic() - begun < 5
    assert (
        cluster.psql("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'backup_start'") in "01"
    )
    mark = os.fsencode(taking.layout.base)
    assert not [process for process in all_processes() if mark in os.fsencode(process.command)]


def test_a_bad_page_is_told_with_file_and_block(taking: Taking, copier: FileCopier) -> None:
    cluster = taking.cluster
    cluster.pgbench_init(scale=2)
    path = cluster.psql("SELECT pg_relation_filepath('pgbench_accounts')")
    cluster.stop()
    with (cluster.data / path).open("r+b") as file:
        file.seek(17 * 8192 + 4000)
        byte = file.read(1)
        file.seek(17 * 8192 + 4000)
        file.write(bytes([byte[0] ^ 1]))
    cluster.start()
    with cluster.pgbench(seconds=30):
        cluster.psql("SELECT 1")
        backup = taking.take(copier, jobs=2, makes_manifest=True)
    assert backup.copied is not None
    assert backup.copied.damages == (Damage(path, (17,)),)
    assert taking.verify(backup)


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_bandwidth_is_that_of_the_whole_backup(
    taking: Taking, copier: FileCopier, jobs: int
) -> None:
    for number in range(12):
        (taking.cluster.data / f"large_{number}").write_bytes(os.urandom((number + 1) * MIB))
    assert rate(taking, copier, jobs, limit=18 * 1024) == pytest.approx(18 * MIB, rel=0.1)


@pytest.mark.soak
@pytest.mark.parametrize("jobs", [1, 4])
def test_the_bandwidth_holds_for_half_a_minute(
    taking: Taking, copier: FileCopier, jobs: int
) -> None:
    for number in range(40):
        (taking.cluster.data / f"large_{number}").write_bytes(os.urandom((number + 1) * MIB // 3))
    assert rate(taking, copier, jobs, limit=9 * 1024) == pytest.approx(9 * MIB, rel=0.1)


def rate(taking: Taking, copier: FileCopier, jobs: int, limit: int) -> float:
    """Bytes a second, from when there were none to the last report of them."""
    told = Told()
    taking.take(copier, jobs=jobs, bandwidth_limit=limit, told=told)
    begin = max(at for at, phase, done in told.moments if not done and phase in EARLY)
    end, total = max((at, done) for at, _, done in told.moments if done)
    return total / (end - begin)
