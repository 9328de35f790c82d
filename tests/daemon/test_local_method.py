"""`backup_method = local`: the whole daemon copies a real cluster that is written to."""

import os
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.asking import (
    Json,
    ask,
    backups,
    becomes,
    done,
    follow,
    held_copy,
    pgbench_sums,
    restored,
    server_status,
    show,
    streaming,
)
from support.daemon import Daemon
from support.postgres import Cluster, Clusters, run
from support.processes import find_process
from support.waiting import eventually

LOCAL: dict[str, object] = {
    "backup_method": "local",
    "parallel_jobs": 2,
    "autogenerate_manifest": "on",
    "reuse_backup": "link",
}
SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'barmand'"
    " AND backend_start < now() - interval '0.3 s'"
)
NAME, QUOTED = """odd "näme"; 'x' = y:z, w""", '''"odd ""näme""; 'x' = y:z, w"'''
MODE_IS_OVER = (
    "SELECT pg_backup_start('another', true) IS NOT NULL, (pg_backup_stop(false)).lsn IS NOT NULL"
)


@pytest.fixture
def local(cluster: Cluster, daemon_for: Callable[..., Daemon]) -> Daemon:
    """A daemon that copies `cluster`, its server `main`, itself."""
    return streaming(daemon_for(cluster, **LOCAL))


def test_a_backup_directory_in_the_cluster_takes_no_backup_of_itself(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    home = cluster.data / "backups"
    daemon = streaming(daemon_for(cluster, **LOCAL, backup_directory=home))
    daemon.expects("backup failed")
    refused = daemon.ctl("backup", "main", check=False)
    assert refused.returncode == 5
    assert f"backup_directory {home} lies in the data directory, {cluster.data}" in refused.stderr
    assert list((home / "base").iterdir()) == []
    checked = daemon.ctl("check", "main", check=False)
    assert (checked.returncode, "directories outside PGDATA" in checked.stdout) == (5, True)


def wait_for_archived(daemon: Daemon, segment: str) -> None:
    eventually(lambda: (server_status(daemon)["last_archived_wal"] or "") >= segment)


def assert_whole(cluster: Cluster, home: Path, view: Json) -> None:
    """In the eyes of PostgreSQL."""
    data = home / "base" / view["backup_id"] / "data"
    run(cluster.bindir / "pg_verifybackup", "--no-parse-wal", data)


def assert_backup_mode_is_over(cluster: Cluster) -> None:
    assert cluster.psql(SESSIONS) == ""
    assert cluster.psql(MODE_IS_OVER) == "t|t"


def hashes(home: Path, view: Json) -> dict[str, str]:
    folder = home / "base" / view["backup_id"]
    return {
        str(path): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def phase_now(daemon: Daemon) -> str | None:
    views = backups(daemon, "main")
    progress = views[0]["progress"] if views else None
    return progress["phase"] if progress else None


@contextmanager
def churn(cluster: Cluster) -> Iterator[None]:
    """Relations and databases come and go, and are rewritten."""
    over = threading.Event()
    failures: list[Exception] = []

    def turn() -> None:
        try:
            while not over.is_set():
                cluster.psql("CREATE TABLE passing AS SELECT generate_series(1, 20000) AS n")
                cluster.psql("CREATE INDEX ON passing (n); CREATE TEMP TABLE t AS TABLE passing")
                cluster.psql("VACUUM FULL pgbench_branches")
                cluster.psql("VACUUM FULL pg_database")
                cluster.psql("CREATE DATABASE passing")
                cluster.psql("TRUNCATE passing")
                cluster.psql("DROP TABLE passing")
                cluster.psql("CHECKPOINT")
                cluster.psql("DROP DATABASE passing")
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []


# ------------------------------------------------------------------------------------- main job


def test_a_cluster_under_load_is_copied_linked_and_restored(
    local: Daemon, cluster: Cluster, clusters: Clusters, folder: Path, home: Path
) -> None:
    live, moved = folder / 'a "live" space', folder / "moved"
    live.mkdir(mode=0o700)
    cluster.psql(f"CREATE TABLESPACE {QUOTED} LOCATION '{live}'")
    cluster.psql(f"CREATE TABLE kept TABLESPACE {QUOTED} AS SELECT generate_series(1, 1000) AS n")
    cluster.psql(
        "DO $$ BEGIN FOR n IN 1..2000 LOOP EXECUTE 'CREATE TABLE many_' || n || ' ()';"
        " END LOOP; END $$"
    )
    cluster.pgbench_init(2)
    with cluster.pgbench(seconds=120), churn(cluster):
        first = done(local)
        untouched = hashes(home, first)
        second = done(local)
        cluster.psql("CREATE TABLE marker AS SELECT 42 AS answer")
    sums = pgbench_sums(cluster)
    wait_for_archived(local, cluster.switch_wal())
    for view in (first, second):
        assert_whole(cluster, home, view)
        assert (view["damages"], view["method"], view["status"]) == ([], "local", "DONE")
    assert hashes(home, first) == untouched
    assert second["deduplicated_size_bytes"] < second["size_bytes"]
    ask(local, "delete", server="main", backup=first["backup_id"])
    asked = ("restore", "main", "last", str(folder / "by hand"))
    hint = local.ctl(*asked, check=False).stderr.partition("old place: ")[2]
    assert shlex.split(hint) == ["--tablespace", f"{NAME}:{live}"]
    local.ctl(*asked, "--tablespace", f"{NAME}:{folder / 'told'}")
    assert any((folder / "told").iterdir())
    copy = restored(local, clusters, folder / "copy", tablespaces={NAME: str(moved)})
    assert copy.psql("SELECT answer FROM marker") == "42"
    assert copy.psql("SELECT sum(n) FROM kept") == "500500"
    assert copy.psql("SELECT count(*) FROM pg_class WHERE relname LIKE 'many_%'") == "2000"
    assert pgbench_sums(copy) == sums
    assert len(sums) == 1


def test_no_false_alarm_under_load(local: Daemon, cluster: Cluster) -> None:
    cluster.pgbench_init(3)
    cluster.psql("CREATE TABLE odd AS SELECT n, 0 AS m FROM generate_series(1, 200000) AS n")
    with cluster.pgbench(seconds=120):
        views = []
        for _ in range(5):
            cluster.psql("UPDATE odd SET m = m + 1 WHERE n % 10 = 0")
            views.append(done(local, reuse_backup="off"))
    assert [view["damages"] for view in views] == [[]] * 5


def test_a_tablespace_inside_the_data_directory_is_stored_once(
    local: Daemon, cluster: Cluster, clusters: Clusters, folder: Path, home: Path
) -> None:
    inside = cluster.data / "spaces" / "one"
    inside.mkdir(parents=True)
    cluster.psql(f"CREATE TABLESPACE inner_one LOCATION '{inside}'")
    cluster.psql("CREATE TABLE kept TABLESPACE inner_one AS SELECT 7 AS n")
    view = done(local)
    assert_whole(cluster, home, view)
    (space,) = view["tablespaces"]
    backup = home / "base" / view["backup_id"]
    assert list((backup / str(space["oid"])).glob("PG_*/*/*"))
    assert not (backup / "data" / "spaces" / "one").exists()
    moved = str(folder / "moved")
    copy = restored(local, clusters, folder / "copy", tablespaces={"inner_one": moved})
    assert copy.psql("SELECT n FROM kept") == "7"


def test_configuration_outside_the_data_directory_comes_too(
    make_cluster: Callable[..., Cluster],
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    home: Path,
) -> None:
    etc = folder / "etc"
    etc.mkdir()
    cluster = make_cluster(start=False)
    for name in ("pg_hba.conf", "pg_ident.conf"):
        shutil.copy(cluster.data / name, etc / name)
    (etc / "pg_hba.conf").write_text("# ours\nlocal all all trust\nlocal replication all trust\n")
    (etc / "tls.key").write_text("not a key")
    (cluster.data / "server.key").symlink_to(etc / "tls.key")
    cluster.configure(hba_file=etc / "pg_hba.conf", ident_file=etc / "pg_ident.conf")
    cluster.start()
    daemon = streaming(daemon_for(cluster, **LOCAL))
    view = done(daemon)
    assert_whole(cluster, home, view)
    data = home / "base" / view["backup_id"] / "data"
    assert (data / "pg_hba.conf").read_text().startswith("# ours")
    assert not (data / "server.key").is_symlink()
    assert (data / "server.key").read_text() == "not a key"
    copy = restored(daemon, clusters, folder / "copy")
    assert copy.psql("SELECT 1") == "1"


# -------------------------------------------------------------------------- stopped in the middle


def test_a_cancelled_copy_ends_backup_mode(local: Daemon, cluster: Cluster) -> None:
    local.expects("backup failed")
    with held_copy(local) as (followed, identifier):
        eventually(lambda: cluster.psql(SESSIONS))
        begun = time.monotonic()
        view = ask(local, "cancel", server="main")["backup"]
        assert time.monotonic() - begun < 5
        assert followed.exit_code() == 11
    assert (view["status"], view["error"]["code"]) == ("FAILED", "Stopped")
    assert "cancelled by" in view["error"]["message"]
    assert_backup_mode_is_over(cluster)
    done(local)
    ask(local, "delete", server="main", backup=identifier)


def test_a_shutdown_in_mid_copy_ends_backup_mode(local: Daemon, cluster: Cluster) -> None:
    local.expects("backup failed")
    with held_copy(local) as (_, identifier):
        begun = time.monotonic()
        assert local.stop() == 0
        assert time.monotonic() - begun < 10
    assert_backup_mode_is_over(cluster)
    local.start()
    assert show(local, identifier)["status"] == "FAILED"
    done(streaming(local))


def test_a_restart_of_postgresql_fails_the_copy_at_once(local: Daemon, cluster: Cluster) -> None:
    local.expects("backup failed")
    with held_copy(local) as (_, identifier):
        begun = time.monotonic()
        cluster.restart("immediate")
        view = becomes(local, "FAILED", identifier)
        assert time.monotonic() - begun < 10
    assert "its session broke off, it was restarted perhaps" in view["error"]["message"]
    assert view["error"]["code"] == "PostgresFailed"
    done(streaming(local))


def test_a_spread_checkpoint_is_shown_and_cancelled(local: Daemon, cluster: Cluster) -> None:
    local.expects("backup failed")
    cluster.configure(checkpoint_timeout="1h", checkpoint_completion_target="0.99")
    cluster.reload()
    cluster.pgbench_init()
    cluster.psql("UPDATE pgbench_accounts SET abalance = 1")
    with follow(local, immediate_checkpoint=False) as followed:
        eventually(lambda: phase_now(local) == "waiting for checkpoint")
        eventually(lambda: cluster.psql(SESSIONS))
        ask(local, "cancel", server="main")
        assert followed.exit_code() == 11
        assert "waiting for checkpoint" in followed.phases
    assert cluster.psql(SESSIONS) == ""
    assert backups(local)[0]["error"]["code"] == "Stopped"


def test_a_frozen_session_is_given_up_at_a_cancel(local: Daemon, cluster: Cluster) -> None:
    """The server neither answers nor hears that it is not to."""
    local.expects("backup failed")
    cluster.configure(checkpoint_timeout="1h", checkpoint_completion_target="0.99")
    cluster.reload()
    cluster.pgbench_init()
    cluster.psql("UPDATE pgbench_accounts SET abalance = 1")
    with follow(local, immediate_checkpoint=False) as followed:
        eventually(lambda: phase_now(local) == "waiting for checkpoint")
        session = int(eventually(lambda: cluster.psql(SESSIONS)))
        os.kill(session, signal.SIGSTOP)
        begun = time.monotonic()
        ask(local, "cancel", server="main")
        assert followed.exit_code() == 11
        assert time.monotonic() - begun < 15
        os.kill(session, signal.SIGCONT)
    eventually(lambda: not find_process(session))


def test_a_frozen_session_is_noticed_by_the_keepalive(local: Daemon, cluster: Cluster) -> None:
    local.expects("backup failed")
    with held_copy(local, keepalive_interval=1) as (_, identifier):
        session = int(eventually(lambda: cluster.psql(SESSIONS)))
        os.kill(session, signal.SIGSTOP)
        try:
            view = becomes(local, "FAILED", identifier, within=30)
        finally:
            os.kill(session, signal.SIGCONT)
    assert "its session broke off" in view["error"]["message"]


def test_a_postmaster_that_is_frozen_has_the_time_of_the_check(
    local: Daemon, cluster: Cluster
) -> None:
    local.expects("backup failed")
    assert cluster.process is not None
    postmaster = cluster.process.pid
    os.kill(postmaster, signal.SIGSTOP)
    try:
        told = local.ctl("backup", "main", "--check-timeout", "2", check=False)
    finally:
        os.kill(postmaster, signal.SIGCONT)
    assert told.returncode == 5
    assert "PostgreSQL: timed out after 2 s" in told.stderr
    assert "PostgreSQL streaming: timed out after 2 s" in told.stderr


def test_a_broken_archive_command_does_not_hang_the_end(
    make_cluster: Callable[..., Cluster], daemon_for: Callable[..., Daemon]
) -> None:
    cluster = make_cluster(archive_mode="on", archive_command="false")
    daemon = streaming(daemon_for(cluster, **LOCAL))
    begun = time.monotonic()
    done(daemon)
    assert time.monotonic() - begun < 15


# ------------------------------------------------------------------------------------ bad pages


def test_a_bad_page_is_told_everywhere_and_the_backup_is_kept(
    local: Daemon, cluster: Cluster
) -> None:
    cluster.psql("CREATE TABLE odd AS SELECT repeat('x', 500) FROM generate_series(1, 2000)")
    path = cluster.psql("SELECT pg_relation_filepath('odd')")
    cluster.psql("CHECKPOINT")
    cluster.stop()
    with (cluster.data / path).open("r+b") as file:
        file.seek(7 * 8192 + 4000)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    cluster.start()
    streaming(local)
    local.expects("bad pages in the cluster")
    said = local.ctl("backup", "main", "--wait", check=False)
    assert said.returncode == 6
    assert path in said.stdout + said.stderr
    assert "block 7 " in said.stdout + said.stderr
    view = local.json("show-backup", "main", "last")
    assert view["status"] == "DONE"
    assert view["damages"] == [{"path": path, "blocks": [7]}]
    assert f"{path}: block 7" in local.ctl("show-backup", "main", "last").stdout
    assert "bad pages" in local.ctl("list-backups", "main").stdout
    assert local.ctl("check-backup", "main", "last", check=False).returncode == 6
    # It is no reference for the next one: what is bad would never be looked at again.
    assert local.ctl("backup", "main", "--wait", check=False).returncode == 6
    assert show(local)["deduplicated_size_bytes"] == show(local)["size_bytes"]


# -------------------------------------------------------------------------------------- options


def test_each_option_of_backup_does_what_it_says(
    local: Daemon, cluster: Cluster, home: Path
) -> None:
    def take(*options: str) -> Json:
        local.ctl("backup", "main", "--wait", *options)
        return show(local)

    def has_manifest(view: Json) -> bool:
        data = home / "base" / str(view["backup_id"]) / "data"
        return (data / "backup_manifest").exists()

    first = take("--name", "the first", "--jobs", "4", "--check-timeout", "10")
    assert (first["name"], has_manifest(first)) == ("the first", True)
    plain = take("--no-manifest", "--reuse-backup", "off")
    assert not has_manifest(plain)
    assert plain["deduplicated_size_bytes"] == plain["size_bytes"]
    again = take("--manifest", "--reuse-backup")  # the newest has no checksums to take over
    assert has_manifest(again)
    assert again["deduplicated_size_bytes"] == again["size_bytes"]
    linked = take("--reuse-backup", "link", "--immediate-checkpoint")
    assert linked["deduplicated_size_bytes"] < linked["size_bytes"] / 10
    assert_whole(cluster, home, linked)
    copied = local.ctl("backup", "main", "--reuse-backup", "copy")
    assert "changes nothing" in copied.stdout + copied.stderr
    local.ctl("backup", "main", "--detach", "--name", "apart")
    eventually(lambda: show(local, "apart")["status"] == "DONE")


def test_the_bandwidth_limit_is_that_of_the_whole_backup(local: Daemon) -> None:
    begun = time.monotonic()
    view = done(local, bwlimit=8000, jobs=2, reuse_backup="off")
    took, due = time.monotonic() - begun, view["size_bytes"] / (8000 * 1024)
    assert 0.8 * due < took < 1.5 * due + 2
    assert view["copy_seconds"] > 0.8 * due


def test_progress_grows_within_one_large_file(local: Daemon, cluster: Cluster) -> None:
    cluster.psql("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    with follow(local, bwlimit=20_000) as followed:
        assert followed.exit_code() == 0
    told = [note["params"]["progress"] for note in followed.notes if note["method"] == "progress"]
    counts = [each["bytes_done"] for each in told if each["phase"] == "copying"]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert followed.phases.count("copying") == 1


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_fails_the_backup_with_its_path(
    local: Daemon, cluster: Cluster
) -> None:
    local.expects("backup failed")
    shut = cluster.data / "base" / "1" / "1259"
    shut.chmod(0)
    said = local.ctl("backup", "main", check=False)
    shut.chmod(0o600)
    assert said.returncode == 8
    assert f"cannot read {shut}: Permission denied" in said.stderr
    assert_backup_mode_is_over(cluster)


def test_a_role_that_may_not_start_backups_is_told_the_grant(
    make_cluster: Callable[..., Cluster], daemon_for: Callable[..., Daemon]
) -> None:
    cluster = make_cluster()
    cluster.psql("CREATE ROLE looker LOGIN REPLICATION")
    looker = cluster.conninfo.replace("user=postgres", "user=looker")
    daemon = daemon_for(cluster, **LOCAL, conninfo=looker, streaming_conninfo=cluster.conninfo)
    said = daemon.ctl("check", "main", check=False)
    assert said.returncode == 5
    assert "GRANT EXECUTE ON FUNCTION pg_backup_start" in said.stdout


def test_a_tablespace_in_place_is_refused_before_backup_mode_begins(
    local: Daemon, cluster: Cluster
) -> None:
    if cluster.psql("SHOW server_version_num") < "150000":
        pytest.skip("such tablespaces came with PostgreSQL 15")
    cluster.configure(allow_in_place_tablespaces="on")
    cluster.reload()
    cluster.psql("CREATE TABLESPACE odd LOCATION ''")
    local.expects("backup failed")
    said = local.ctl("backup", "main", check=False)
    assert said.returncode == 4
    assert "tablespace 'odd' has no place of its own: it lies in pg_tblspc/" in said.stderr
    assert_backup_mode_is_over(cluster)
    cluster.psql("DROP TABLESPACE odd")
    done(local)


def test_a_tablespaces_own_limit_is_heeded_and_starts_are_logged(
    make_cluster: Callable[..., Cluster], daemon_for: Callable[..., Daemon], folder: Path
) -> None:
    cluster = make_cluster()
    (folder / "slow").mkdir(mode=0o700)
    cluster.psql(f"CREATE TABLESPACE slow LOCATION '{folder / 'slow'}'")
    cluster.psql(
        "CREATE TABLE large TABLESPACE slow AS"
        " SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n"
    )
    size = int(cluster.psql("SELECT pg_tablespace_size('slow')"))
    daemon = streaming(daemon_for(cluster, **LOCAL, tablespace_bandwidth_limit="slow:5000"))
    view = done(daemon, jobs=3, bwlimit=10_000, jobs_start_batch_size=1, jobs_start_batch_period=1)
    assert view["copy_seconds"] > 0.9 * size / (5000 * 1024)
    starts = daemon.log_records("copy worker starts")
    assert sorted(start["worker"] for start in starts) == [1, 2, 3]
    assert {start["backup_id"] for start in starts} == {view["backup_id"]}
