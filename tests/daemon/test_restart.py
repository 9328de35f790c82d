"""Whatever ends the daemon, the next life begins with an honest catalogue and no leftovers."""

import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from daemon.asking import (
    PUSHED,
    Dam,
    Json,
    ask,
    backups,
    becomes,
    copiers,
    done,
    follow,
    held_copy,
    judged,
    programs_of,
    restored,
    server_status,
    show,
    streaming,
    walsenders,
)
from support.daemon import Daemon, ini, server_options
from support.postgres import Cluster, Clusters
from support.waiting import eventually

BOUND_SECONDS = 15.0


@pytest.fixture
def prove(daemon: Daemon, cluster: Cluster, clusters: Clusters, folder: Path) -> Callable[[], None]:
    """After a restart: nothing of the old life works on, and all that counts works."""

    def prove() -> None:
        streaming(daemon)
        cluster.psql("CREATE TABLE after_it ()")
        view = done(daemon)
        assert show(daemon, "last") == view
        copy = restored(daemon, clusters, folder / "copy")
        assert copy.psql("SELECT to_regclass('after_it')") == "after_it"

    return prove


def assert_interrupted(view: Json) -> None:
    assert view["status"] == "FAILED"
    assert view["error"]["code"] == "Stopped"
    assert view["error"]["message"].startswith("interrupted")


def assert_nothing_works_on(folder: Path, cluster: Cluster) -> None:
    """The kernel ends the programs with the daemon; PostgreSQL notices that they are gone."""
    eventually(lambda: not programs_of(folder))
    eventually(lambda: not walsenders(cluster))
    assert cluster.psql("SELECT count(*) FROM pg_stat_progress_basebackup") == "0"


# ----------------------------------------------------------------------------------------- kill -9


def test_killed_while_it_waits_for_a_checkpoint(
    daemon: Daemon, cluster: Cluster, folder: Path, prove: Callable[[], None]
) -> None:
    cluster.pgbench_init()  # its dirty pages are what a spread checkpoint takes its time for
    with follow(daemon, immediate_checkpoint=False) as followed:
        told = followed.until_phase("waiting for checkpoint")
        eventually(lambda: walsenders(cluster))
        assert show(daemon, told["backup_id"])["status"] == "STARTED"
        daemon.kill9()
    eventually(lambda: not programs_of(folder))
    daemon.start()
    assert_interrupted(show(daemon, told["backup_id"]))
    cluster.psql("CHECKPOINT")  # until then PostgreSQL waits, and does not look at its client
    assert_nothing_works_on_but_the_receiver(folder, cluster)
    prove()


def assert_nothing_works_on_but_the_receiver(folder: Path, cluster: Cluster) -> None:
    assert not copiers(folder)
    eventually(lambda: not walsenders(cluster))


def test_killed_in_mid_copy(
    daemon: Daemon, cluster: Cluster, folder: Path, home: Path, prove: Callable[[], None]
) -> None:
    with held_copy(daemon) as (_, identifier):
        assert copiers(folder)
        daemon.kill9()
    assert_nothing_works_on(folder, cluster)
    daemon.start()
    assert_interrupted(show(daemon, identifier))
    assert "status=FAILED" in (home / "meta" / f"{identifier}-backup.info").read_text()
    prove()
    ask(daemon, "delete", server="main", backup=identifier)
    assert not (home / "base" / identifier).exists()


def test_killed_at_many_moments(
    daemon: Daemon, folder: Path, cluster: Cluster, prove: Callable[[], None]
) -> None:
    """Each time a little later: from the queueing, through the copy, to behind the last rename."""
    for count in range(1, 7):
        with follow(daemon, bwlimit=60_000) as followed:
            followed.hear(count)
            daemon.kill9()
        assert_nothing_works_on(folder, cluster)
        streaming(daemon.start())
        view = backups(daemon)[0]
        if view["status"] == "FAILED":
            assert_interrupted(view)
        else:
            becomes(daemon, "DONE", view["backup_id"])
    prove()


def test_killed_while_a_backup_waits_for_wal(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam, clusters: Clusters, folder: Path
) -> None:
    with follow(dammed_daemon) as followed:
        view = followed.until_status("WAITING_FOR_WALS")
        dammed_daemon.kill9()
    dammed_daemon.start()
    after = show(dammed_daemon, view["backup_id"])
    assert after | {"progress": None} == judged(dammed_daemon, view) | {"progress": None}
    dam.let_go(*view["missing_wals"])
    becomes(dammed_daemon, "DONE", view["backup_id"])
    restored(dammed_daemon, clusters, folder / "copy")
    assert dammed.is_running


def test_killed_in_a_deletion_goes_on_with_it(
    daemon: Daemon, home: Path, prove: Callable[[], None]
) -> None:
    identifier = done(daemon)["backup_id"]
    mark = home / "meta" / f"{identifier}-delete_this"
    with daemon.rpc() as rpc:
        rpc.request("delete", server="main", backup=identifier)
        deadline = monotonic() + 10
        while not mark.exists():  # no pause: what follows is over in some hundredths of a second
            assert monotonic() < deadline
        os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    assert (home / "base" / identifier).exists() or mark.exists()
    daemon.start()
    eventually(lambda: backups(daemon) == [])
    assert not (home / "base" / identifier).exists()
    assert list((home / "meta").iterdir()) == []
    assert daemon.log_records("backup deleted")
    prove()


# -------------------------------------------------------------------------------------------- TERM


@pytest.mark.parametrize("times", [1, 2])
def test_a_stop_in_mid_copy_is_bounded_and_told(
    daemon: Daemon, cluster: Cluster, folder: Path, prove: Callable[[], None], *, times: int
) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (followed, identifier):
        begun = monotonic()
        for _ in range(times):
            os.kill(daemon.pid, signal.SIGTERM)
        assert followed.exit_code() == 11
        assert daemon.wait() == 0
        assert monotonic() - begun < BOUND_SECONDS
    assert_nothing_works_on(folder, cluster)
    daemon.start()
    view = show(daemon, identifier)
    error = view["error"]
    assert view["status"] == "FAILED"
    assert (error["code"], "shut down" in error["message"]) == ("Stopped", True)
    prove()


def test_a_stop_in_a_restore_is_bounded_and_leaves_no_trace(
    daemon: Daemon, clusters: Clusters, folder: Path, home: Path
) -> None:
    identifier = done(daemon)["backup_id"]
    many = home / "base" / identifier / "data" / "many"
    many.mkdir()
    for number in range(12_000):
        (many / str(number)).write_bytes(b"x")
    destination = folder / "copy"
    daemon.expects("restore failed")
    with daemon.rpc() as rpc:
        rpc.request("restore", server="main", backup="last", destination=str(destination))
        while "copying" not in str(rpc.read()):
            pass
        begun = monotonic()
        assert daemon.stop() == 0
        assert monotonic() - begun < BOUND_SECONDS
        while "error" not in (answer := rpc.read()):
            pass
        assert answer["error"]["data"]["exit_code"] == 11
    assert list(destination.iterdir()) == []
    daemon.start()
    restored(daemon, clusters, destination)


def test_a_client_that_waits_for_wal_hears_of_the_stop(dammed_daemon: Daemon) -> None:
    with follow(dammed_daemon) as followed:
        followed.until_status("WAITING_FOR_WALS")
        assert dammed_daemon.stop() == 0
        assert followed.failure()["exit_code"] == 11


def test_a_queued_backup_fails_when_the_daemon_stops(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    servers = {
        name: server_options(cluster, slot_name=f"barmand_{name}") for name in ("first", "second")
    }
    daemon = streaming(make_daemon(ini(folder, servers)).start(), *servers)
    daemon.expects("backup failed")
    with held_copy(daemon, "first", "second") as (followed, _):
        assert daemon.stop() == 0
        assert followed.exit_code() == 11
    daemon.start()
    assert {view["server"]: view["status"] for view in backups(daemon)} == {
        "first": "FAILED",
        "second": "FAILED",
    }


def test_queued_backups_of_silent_servers_do_not_delay_a_stop(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    """Whoever has not begun when the daemon stops does not ask its server any more."""
    silent = {"conninfo": f"host={folder} user=postgres", "backup_method": "postgres", **PUSHED}
    servers = {"a": server_options(cluster), "b": silent, "c": silent, "d": silent}
    daemon = streaming(make_daemon(ini(folder, servers, max_parallel_backups=1)).start(), "a")
    daemon.expects("backup failed")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / ".s.PGSQL.5432"))
        listener.listen()  # and never answers
        with held_copy(daemon, *servers):
            begun = monotonic()
            assert daemon.stop(timeout=120) == 0
            assert monotonic() - begun < BOUND_SECONDS


def test_a_storm_of_reloads_harms_no_backup(daemon: Daemon, prove: Callable[[], None]) -> None:
    with follow(daemon, bwlimit=10_000) as followed:
        followed.until_phase("copying")
        for _ in range(100):
            os.kill(daemon.pid, signal.SIGHUP)
        assert followed.result()["backups"][0]["status"] == "DONE"
    assert daemon.is_running
    prove()


# --------------------------------------------------------------------------------- lock and socket


def test_a_second_daemon_names_the_first_and_ends(
    make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    first = make_daemon(ini(folder, {})).start()
    second = make_daemon(ini(folder, {}, control_socket=folder / "other"))
    second.expects("another barmand")
    second.expects("hint")
    second.launch()
    assert second.wait() == 4
    assert f"pid {first.pid}" in second.log
    assert ask(first, "ping")["pid"] == first.pid


def test_a_second_daemon_lets_a_directory_alone_in_which_the_first_works(
    daemon: Daemon, cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    """It would take the backup for an interrupted one, and offer to delete it."""
    servers = {"main": server_options(cluster), "new": server_options(cluster, slot_name="new")}
    second = make_daemon(
        ini(folder, servers, state_directory=folder / "state2", control_socket=folder / "ctl2")
    )
    second.expects("server is put aside")
    daemon.expects("backup failed")
    with held_copy(daemon) as (_, taken):
        second.start()
        assert backups(second, "main") == []
        told = ask(second, "backup", servers=["main"])
        why = f"another barmand (pid {daemon.pid}) works in {folder}/home/main"
        assert why in told["problems"][0]["error"]["message"]
        assert server_status(second, "new")["state"] == "active"
        second.hup()
        assert server_status(second, "main")["state"] == "broken"
        assert show(daemon, taken)["status"] == "STARTED"
        ask(daemon, "cancel", server="main")
        becomes(daemon, "FAILED", taken)
    daemon.stop()
    second.hup()
    assert server_status(second, "main")["state"] == "active"
    assert "cancelled" in show(second, taken)["error"]["message"]


def test_the_lock_of_a_killed_daemon_is_free(
    make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {})).start()
    killed = daemon.pid
    daemon.kill9()
    assert daemon.socket.is_socket()  # stale: nobody answers behind it
    daemon.start()
    assert ask(daemon, "ping")["pid"] == daemon.pid != killed


def test_a_socket_that_somebody_answers_is_left_alone(
    make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {}))
    daemon.expects("somebody listens")
    daemon.expects("hint")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.socket))
        other.listen()
        daemon.launch()
        assert daemon.wait() == 4
        assert "somebody listens" in daemon.log
        assert daemon.socket.is_socket()


def test_a_file_in_the_place_of_the_socket_is_left_alone(
    make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {}))
    daemon.expects("is no socket")
    daemon.expects("hint")
    daemon.socket.write_text("mine")
    daemon.launch()
    assert daemon.wait() == 4
    assert "is no socket" in daemon.log
    assert daemon.socket.read_text() == "mine"


def test_the_socket_goes_with_the_daemon_and_only_its_users_may_open_it(
    make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {})).start()
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660
    daemon.stop()
    assert not daemon.socket.exists()
