"""A real cluster, copied file by file: by the kernel, by rsync, by rsync over a real ssh."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from barmand.model.backup import Backup
from barmand.model.order import Checksums, Reuse
from barmand.model.progress import Phase
from barmand.operations.ports import FileCopier
from barmand.outside.rsync_files import RsyncFiles
from barmand.service.stopping import StopFlag
from support.postgres import Clusters
from support.sshd import Sshd
from support.taking import Background, Taking, Told, hashes

ANY = pytest.mark.parametrize("copier", ["local", "local-rsync", "rsync"], indirect=True)
HERE = pytest.mark.parametrize("copier", ["local", "local-rsync"], indirect=True)
"""ssh makes no difference."""


@ANY
def test_a_full_backup_restores_and_verifies(
    taking: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    told = Told()
    backup = taking.take(copier, told=told, jobs=2, makes_manifest=True)
    assert taking.verify(backup)
    done, total = told.bytes[-1]
    assert 0 < done <= total
    restored = taking.restore(backup, clusters, folder / "restored")
    assert restored.psql("SELECT count(*) FROM pgbench_accounts") == "200000"


@ANY
def test_a_check_tells_whether_the_files_can_be_reached(taking: Taking, copier: FileCopier) -> None:
    pgdata = str(taking.cluster.data)
    assert all(finding.is_ok for finding in copier.findings(pgdata, StopFlag()))
    *_, away = copier.findings(pgdata + "/away", StopFlag())
    assert away.keeps_from_backup
    assert "away" in away.hint


def test_a_check_tells_how_a_host_becomes_known(taking: Taking, sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    ssh, unknown = RsyncFiles(ssh=sshd.words).findings(str(taking.cluster.data), StopFlag())
    assert ssh.keeps_from_backup
    assert unknown.keeps_from_backup
    assert "Host key verification failed. Add the host's key to" in unknown.hint


def test_before_a_backup_ssh_itself_is_asked_only_where_rsync_does_not_get_through(
    taking: Taking, sshd: Sshd
) -> None:
    """Each question is a connection, and no answer could keep this backup from being taken."""
    copier, pgdata = RsyncFiles(ssh=sshd.words), str(taking.cluster.data)

    def names(pgdata: str, *, is_full: bool) -> list[str]:
        return [each.name for each in copier.findings(pgdata, StopFlag(), is_full=is_full)]

    full = ["ssh", "ssh output clean", "data directory"]
    assert names(pgdata, is_full=True) == full
    assert names(pgdata, is_full=False) == ["data directory"]
    assert names(pgdata + "/away", is_full=False) == full


@pytest.mark.skipif(
    "aes" not in Path("/proc/cpuinfo").read_text().split(), reason="this processor has no AES"
)
@pytest.mark.parametrize(
    ("options", "cipher"),
    [((), "aes128-gcm@openssh.com"), (("-c", "aes256-ctr"), "aes256-ctr")],
)
def test_files_travel_by_the_quickest_cipher_unless_one_was_chosen(
    taking: Taking, sshd: Sshd, folder: Path, options: tuple[str, ...], cipher: str
) -> None:
    ssh, *words = sshd.words
    log = folder / "ssh.log"
    taking.take(RsyncFiles(ssh=(ssh, "-v", "-E", str(log), *options, *words)), jobs=2)
    agreed = [
        line.split("cipher: ")[1].split()[0]
        for line in log.read_text().splitlines()
        if "kex: server->client cipher: " in line
    ]
    assert agreed == [cipher, cipher]


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_job_has_one_connection(
    taking: Taking, sshd: Sshd, clusters: Clusters, folder: Path, jobs: int
) -> None:
    """The list of files and pg_control go over one that is there, as do further files."""
    before = sshd.log.count("Accepted publickey")
    backup = taking.take(RsyncFiles(ssh=sshd.words), jobs=jobs, bandwidth_limit=100_000)
    assert sshd.log.count("Accepted publickey") - before == jobs
    taking.restore(backup, clusters, folder / "restored")


def test_balances_agree_after_a_backup_under_load(
    taking: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    with taking.cluster.pgbench(seconds=60):
        first = taking.take(copier, jobs=2, makes_manifest=True)
        second = taking.take(copier, jobs=2, makes_manifest=True, reuse=Reuse.LINK)
    for backup in (first, second):
        assert backup.copied is not None
        assert backup.copied.damages == ()
        assert taking.verify(backup)
    restored = taking.restore(second, clusters, folder / "restored")
    sums = "SELECT sum(abalance) FROM pgbench_accounts", "SELECT sum(delta) FROM pgbench_history"
    assert restored.psql(sums[0]) == restored.psql(sums[1])
    assert (
        restored.psql(
            "SELECT count(bt_index_check(oid, true)) FROM pg_class"
            " WHERE relkind = 'i' AND relname LIKE 'pgbench%'"
        )
        == "3"
    )


def test_tablespaces_come_once_wherever_they_are(
    apart: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    cluster = apart.cluster
    places = {
        'it\'s "odd" = %n': folder / 'sp ace [1]* "of" $(x)',
        "inside": cluster.data / "inner",
        "-Ün ☃": folder / "-rf ünï ☃ \\ #",
    }
    for number, (name, place) in enumerate(places.items()):
        place.mkdir()
        (place / "PG_9.6_1").mkdir()
        (place / "PG_9.6_1/of another server").write_text("x")
        quoted, path = name.replace('"', '""'), str(place).replace("'", "''")
        cluster.psql(f"CREATE TABLESPACE \"{quoted}\" LOCATION '{path}'")
        cluster.psql(
            f'CREATE TABLE t_{number} (n int) TABLESPACE "{quoted}";'
            f"INSERT INTO t_{number} SELECT generate_series(1, 10000)"
        )
    backup = apart.take(copier, jobs=2, makes_manifest=True)
    assert apart.verify(backup)
    oids = cluster.psql("SELECT oid FROM pg_tablespace WHERE oid > 16383").split()
    for oid in oids:
        assert (apart.folder(backup) / oid).is_dir()
        assert [path.name[:5] for path in (apart.folder(backup) / oid).iterdir()] == ["PG_15"]
    assert not (apart.data(backup) / "inner").exists()
    restored = apart.restore(backup, clusters, folder / "restored")
    cluster.stop()
    counts = (
        "SELECT (SELECT count(*) FROM t_0), (SELECT count(*) FROM t_1), (SELECT max(n) FROM t_2)"
    )
    assert restored.psql(counts) == "10000|10000|10000"


def test_a_file_that_grows_or_shrinks_does_no_harm(
    apart: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    cluster = apart.cluster
    cluster.psql("CREATE TABLE shrinks AS SELECT generate_series(1, 300000) AS n")
    cluster.psql("CREATE TABLE grows AS SELECT generate_series(1, 10000) AS n")
    told = Told()
    work = Background(
        lambda: apart.take(copier, told=told, jobs=2, makes_manifest=True, bandwidth_limit=10_000)
    )
    assert told.copying.wait(30)
    cluster.psql("DELETE FROM shrinks WHERE n > 10")
    cluster.psql("VACUUM shrinks")
    cluster.psql("INSERT INTO grows SELECT generate_series(1, 290000)")
    cluster.psql("CHECKPOINT")
    assert Phase.CLOSING not in told.phases
    backup = work.wait()
    assert isinstance(backup, Backup)
    assert backup.copied is not None
    assert backup.copied.damages == ()
    assert apart.verify(backup)
    restored = apart.restore(backup, clusters, folder / "restored")
    assert restored.psql("SELECT count(*) FROM shrinks") == "10"
    assert restored.psql("SELECT count(*) FROM grows") == "300000"


@pytest.mark.parametrize(
    "copier", ["local", pytest.param("rsync", marks=pytest.mark.soak)], indirect=True
)
def test_relations_that_come_and_go_among_five_thousand_do_no_harm(
    apart: Taking, copier: FileCopier, clusters: Clusters, folder: Path
) -> None:
    cluster = apart.cluster
    cluster.psql(
        "DO $$ BEGIN FOR i IN 1..5000 LOOP EXECUTE format('CREATE TABLE many_%s (n int)', i);"
        " IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$"
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
            cluster.psql("VACUUM FULL full_up" if turns % 3 == 0 else "CHECKPOINT")
        return turns

    stirring = Background(stir)
    try:
        backup = apart.take(copier, jobs=2, makes_manifest=True)
    finally:
        over.set()
    turns = int(str(stirring.wait()))
    assert turns > 3
    assert backup.copied is not None
    assert backup.copied.damages == ()
    assert apart.verify(backup)
    restored = apart.restore(backup, clusters, folder / "restored")
    assert restored.psql("SELECT count(*) FROM full_up") == "300000"
    tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'new_%'"
    assert restored.psql(tables) == str(turns)


def test_nothing_of_the_running_server_is_copied(apart: Taking, copier: FileCopier) -> None:
    cluster = apart.cluster
    (cluster.data / "base/pgsql_tmp").mkdir(exist_ok=True)
    (cluster.data / "base/pgsql_tmp/pgsql_tmp1.0").write_text("sorting")
    (cluster.data / "base/5/t3_16999").write_text("temporary table")
    (cluster.data / "an odd \n name \udcff ").write_text("of the administrator")
    copy = apart.data(apart.take(copier))
    names = {str(path.relative_to(copy)) for path in copy.rglob("*")}
    assert "an odd \n name \udcff " in names
    assert names.isdisjoint({"postmaster.pid", "postmaster.opts", "base/5/t3_16999"})
    assert not any(name.startswith(("pg_wal/", "base/pgsql_tmp")) for name in names)
    assert (copy / "pg_wal").is_dir()
    assert (copy / "global/pg_control").stat().st_size == 8192
    for name in ("PG_VERSION", "base/5/PG_VERSION", "postgresql.conf"):
        here, there = (copy / name).stat(), (cluster.data / name).stat()
        assert (here.st_mtime_ns, here.st_mode) == (there.st_mtime_ns, there.st_mode)


@HERE
def test_a_directory_that_is_a_link_is_followed(
    apart: Taking, copier: FileCopier, folder: Path
) -> None:
    cluster = apart.cluster
    cluster.stop()
    for name in ("pg_wal", "pg_xact"):
        (cluster.data / name).rename(folder / f"moved {name}")
        (cluster.data / name).symlink_to(folder / f"moved {name}")
    cluster.start()
    backup = apart.take(copier, makes_manifest=True)
    for name in ("pg_wal", "pg_xact"):
        assert (apart.data(backup) / name).is_dir()
        assert not (apart.data(backup) / name).is_symlink()
    assert (apart.data(backup) / "pg_xact/0000").is_file()
    assert apart.verify(backup)


@HERE
def test_configuration_outside_the_data_directory_comes_into_it(
    apart: Taking, copier: FileCopier, folder: Path
) -> None:
    cluster = apart.cluster
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
    backup = apart.take(copier, makes_manifest=True)
    for name in ("postgresql.conf", "pg_hba.conf"):
        assert (apart.data(backup) / name).read_bytes() == (outside / name).read_bytes()
        assert not (apart.data(backup) / name).is_symlink()
    assert apart.verify(backup)


def test_what_did_not_change_is_linked(taking: Taking, copier: FileCopier) -> None:
    cluster = taking.cluster
    first = taking.take(copier, makes_manifest=True)
    before = hashes(taking.folder(first))
    with cluster.pgbench(seconds=1) as load:
        load.wait()
    time.sleep(2.1)  # what is younger than two seconds is compared, not linked
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


@HERE
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
    extra.unlink()
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
    taking.cluster.psql("DROP TABLE t")
    taking.cluster.psql("DROP TABLESPACE apart")
