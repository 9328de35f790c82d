"""Each method that copies file by file, in the whole daemon: its options, and how it ends early."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import (
    FILE_METHODS,
    ask,
    becomes,
    done,
    file_copiers,
    follow,
    held_copy,
    show,
    streaming,
)
from support.daemon import Daemon
from support.postgres import Cluster, run
from support.waiting import eventually

SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'barmand'"
    " AND query ~ 'backup_start|SELECT 1'"
)
NO_MODE = (
    "SELECT pg_backup_start('another', true) IS NOT NULL, (pg_backup_stop(false)).lsn IS NOT NULL"
)

pytestmark = pytest.mark.parametrize("method", FILE_METHODS)


@pytest.fixture
def copying(
    cluster: Cluster,
    daemon_for: Callable[..., Daemon],
    by_method: Callable[[str], dict[str, object]],
    method: str,
) -> Daemon:
    """A daemon that copies `cluster` by this method."""
    return streaming(daemon_for(cluster, **by_method(method)))


@pytest.fixture
def assert_nothing_is_left(
    request: pytest.FixtureRequest, cluster: Cluster, folder: Path, method: str
) -> Callable[[], None]:
    """Neither of the copy's processes, on either end, nor of PostgreSQL's backup mode."""

    def look() -> None:
        eventually(lambda: not file_copiers(folder / "home"))
        if method == "rsync":
            eventually(lambda: not request.getfixturevalue("sshd").children)
        eventually(lambda: cluster.psql(SESSIONS) == "")
        assert cluster.psql(NO_MODE) == "t|t"

    return look


# ------------------------------------------------------------------------------ ended from our side


def test_a_cancel_ends_it_soon_and_leaves_nothing(
    copying: Daemon, assert_nothing_is_left: Callable[[], None]
) -> None:
    copying.expects("backup failed")
    with held_copy(copying) as (followed, _):
        begun = time.monotonic()
        view = ask(copying, "cancel", server="main")["backup"]
        assert time.monotonic() - begun < 10
        assert followed.exit_code() == 11
    assert (view["status"], view["error"]["code"]) == ("FAILED", "Stopped")
    assert_nothing_is_left()
    done(copying)


def test_a_shutdown_ends_it_soon_and_leaves_nothing(
    copying: Daemon, assert_nothing_is_left: Callable[[], None]
) -> None:
    copying.expects("backup failed")
    with held_copy(copying) as (_, identifier):
        begun = time.monotonic()
        assert copying.stop() == 0
        assert time.monotonic() - begun < 10
    copying.assert_nothing_lives()
    assert_nothing_is_left()
    copying.start()
    view = show(copying, identifier)
    assert (view["status"], view["error"]["code"]) == ("FAILED", "Stopped")
    done(streaming(copying))


def test_a_killed_daemon_leaves_nothing_and_tells_it_at_the_next_start(
    copying: Daemon, assert_nothing_is_left: Callable[[], None]
) -> None:
    with held_copy(copying) as (_, identifier):
        copying.kill9()
    copying.assert_nothing_lives()
    assert_nothing_is_left()
    copying.start()
    view = show(copying, identifier)
    assert view["status"] == "FAILED"
    assert "interrupted" in view["error"]["message"]
    done(streaming(copying))
    ask(copying, "delete", server="main", backup=identifier)


# -------------------------------------------------------------------------- ended from PostgreSQL's


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_restart_of_postgresql_is_noticed_soon(
    copying: Daemon, cluster: Cluster, assert_nothing_is_left: Callable[[], None], mode: str
) -> None:
    copying.expects("backup failed")
    with held_copy(copying) as (_, identifier):
        begun = time.monotonic()
        cluster.restart(mode)
        view = becomes(copying, "FAILED", identifier)
        assert time.monotonic() - begun < 10
    assert view["error"]["code"] == "PostgresFailed"
    assert "its session broke off" in view["error"]["message"]
    assert_nothing_is_left()
    done(streaming(copying))


def test_a_session_that_somebody_ends_is_noticed_soon(
    copying: Daemon, cluster: Cluster, assert_nothing_is_left: Callable[[], None]
) -> None:
    copying.expects("backup failed")
    with held_copy(copying) as (_, identifier):
        session = eventually(lambda: cluster.psql(SESSIONS))
        begun = time.monotonic()
        assert cluster.psql(f"SELECT pg_terminate_backend({session})") == "t"
        view = becomes(copying, "FAILED", identifier)
        assert time.monotonic() - begun < 10
    assert "its session broke off" in view["error"]["message"]
    assert_nothing_is_left()
    done(copying)


def test_a_smart_shutdown_waits_for_the_copy_and_no_longer(
    copying: Daemon, cluster: Cluster, home: Path
) -> None:
    """Nobody can connect any more, to switch WAL for one: the whole copy is kept all the same."""
    size = int(cluster.psql("SELECT sum(pg_database_size(oid)) FROM pg_database"))
    with held_copy(copying, follow="copied", bwlimit=size // 1024 // 6) as (followed, identifier):
        stopping = threading.Thread(target=cluster.stop, args=["smart"])
        stopping.start()
        (view,) = followed.result()["backups"]
        stopping.join(20)
        assert not stopping.is_alive()
    assert not cluster.is_running
    assert view["status"] in {"WAITING_FOR_WALS", "DONE"}
    (warning,) = followed.warnings
    assert "was not closed on main" in warning
    assert "connection to main: " in warning
    assert "pg_switch_wal()" in warning
    assert len(copying.log_records("last segment not closed")) == 1
    cluster.start()
    cluster.switch_wal()
    becomes(copying, "DONE", identifier)
    data = home / "base" / identifier / "data"
    run(cluster.bindir / "pg_verifybackup", "--no-parse-wal", data)


# -------------------------------------------------------------------------------------- its options


def test_it_waits_detaches_and_has_a_name(copying: Daemon, method: str) -> None:
    copying.ctl("backup", "main", "--wait", "--name", "the first")
    first = show(copying, "the first")
    assert (first["status"], first["method"]) == ("DONE", method)
    refused = copying.ctl("backup", "main", "--name", "the first", check=False)
    assert refused.returncode == 4
    copying.ctl("backup", "main", "--detach", "--name", "apart", "--bwlimit", "8000")
    assert show(copying, "apart")["status"] in {"QUEUED", "STARTED"}
    eventually(lambda: show(copying, "apart")["status"] == "DONE", 30)


def test_a_bounded_wait_ends_and_the_backup_goes_on(copying: Daemon, cluster: Cluster) -> None:
    (receiver,) = cluster.psql("SELECT pid FROM pg_stat_replication").splitlines()
    frozen = int(receiver)

    os.kill(frozen, signal.SIGSTOP)
    try:
        said = copying.ctl("backup", "main", "--wait", "--wait-timeout", "1", check=False)
        assert said.returncode == 12
        assert "still waits for WAL" in said.stdout + said.stderr
    finally:
        os.kill(frozen, signal.SIGCONT)
    becomes(copying, "DONE", show(copying)["backup_id"])


def test_reuse_alone_means_link(copying: Daemon, cluster: Cluster) -> None:
    cluster.psql("CHECKPOINT")
    first = done(copying)
    assert first["deduplicated_size_bytes"] == first["size_bytes"]
    copying.ctl("backup", "main", "--wait", "--reuse-backup")
    second = show(copying)
    assert second["deduplicated_size_bytes"] < second["size_bytes"] / 2


def test_the_manifest_is_summed_as_asked(copying: Daemon, cluster: Cluster, home: Path) -> None:
    copying.ctl("backup", "main", "--wait", "--no-manifest")
    data = home / "base" / show(copying)["backup_id"] / "data"
    assert not (data / "backup_manifest").exists()
    for option, name in (("crc32c", "CRC32C"), ("sha256", "SHA256"), ("sha256", "SHA256")):
        copying.ctl(*("backup", "main", "--wait", "--reuse-backup", "--manifest-checksums", option))
        data = home / "base" / show(copying)["backup_id"] / "data"
        assert f'"Checksum-Algorithm": "{name}"' in (data / "backup_manifest").read_text()
        run(cluster.bindir / "pg_verifybackup", "--no-parse-wal", data)


def test_a_spread_checkpoint_is_shown_as_a_phase(copying: Daemon, cluster: Cluster) -> None:
    cluster.configure(checkpoint_timeout="30s", checkpoint_completion_target="0.1")
    cluster.reload()
    cluster.pgbench_init()
    with follow(copying, immediate_checkpoint=False, follow="copied") as followed:
        assert followed.exit_code() == 0
    # The copy itself may be over before its phase is looked at.
    waited = followed.phases.index("waiting for checkpoint")
    assert "copying" not in followed.phases[:waited]
