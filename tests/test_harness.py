"""The harness itself: real clusters come up, are used, and leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import daemon as support_daemon
from support.daemon import Daemon, ini, server_options
from support.postgres import Cluster, Clusters, server_version
from support.processes import descendants, find_process, marked
from support.waiting import eventually


def test_a_cluster_answers(cluster: Cluster) -> None:
    assert cluster.is_running
    assert cluster.psql("SELECT 1 + 1, 'x'") == "2|x"
    assert cluster.psql("SHOW data_checksums") == "on"
    version = cluster.psql("SELECT current_setting('server_version_num')::int / 10000")
    assert version == str(server_version(cluster.bindir))


def test_an_error_of_psql_tells_what_postgresql_said(cluster: Cluster) -> None:
    with pytest.raises(RuntimeError, match='relation "nothing" does not exist'):
        cluster.psql("SELECT * FROM nothing")


def test_two_clusters_are_two(make_cluster: Callable[..., Cluster]) -> None:
    one, two = make_cluster(), make_cluster(wal_segsize=1, work_mem="5MB")
    one.psql("CREATE TABLE only_here ()")
    assert two.psql("SELECT to_regclass('only_here') IS NULL") == "t"
    assert (one.psql("SHOW wal_segment_size"), two.psql("SHOW wal_segment_size")) == (
        "16MB",
        "1MB",
    )
    assert two.psql("SHOW work_mem") == "5MB"


def test_pgbench_writes_in_the_background(cluster: Cluster) -> None:
    cluster.pgbench_init(1)
    with cluster.pgbench(seconds=60) as load:
        eventually(lambda: int(cluster.psql("SELECT count(*) FROM pgbench_history")) > 0)
        assert load.is_running
    assert not load.is_running


def test_pgbench_reports_when_its_time_is_over(cluster: Cluster) -> None:
    cluster.pgbench_init(1)
    with cluster.pgbench(seconds=1, clients=1) as load:
        assert "number of transactions actually processed" in load.wait()


def test_a_switch_names_the_segment_it_closed(cluster: Cluster) -> None:
    first, second = cluster.switch_wal(), cluster.switch_wal()
    assert int(second, 16) == int(first, 16) + 1


def test_a_cluster_stops_and_starts(cluster: Cluster) -> None:
    cluster.psql("CREATE TABLE kept AS SELECT 7 AS value")
    cluster.restart()
    assert cluster.psql("SELECT value FROM kept") == "7"
    cluster.stop()
    assert not cluster.is_running


def test_a_killed_cluster_recovers(cluster: Cluster) -> None:
    cluster.psql("CREATE TABLE kept AS SELECT 7 AS value")
    cluster.kill9()
    assert not cluster.is_running
    cluster.start()
    assert cluster.psql("SELECT value FROM kept") == "7"


@pytest.mark.parametrize("crashed", [False, True])
def test_nothing_of_a_cluster_is_left_behind(clusters: Clusters, *, crashed: bool) -> None:
    cluster = clusters.make()
    postmaster = cluster.process
    assert postmaster is not None
    family = [postmaster, *descendants(postmaster.pid)]
    assert len(family) > 1
    if crashed:
        os.kill(postmaster.pid, signal.SIGKILL)
    clusters.discard()
    eventually(lambda: not any(process.is_alive for process in family))


def test_a_cluster_that_cannot_start_says_why(clusters: Clusters) -> None:
    with pytest.raises(RuntimeError) as caught:
        clusters.make(shared_buffers="nonsense")
    assert "nonsense" in "".join(caught.value.__notes__)


def test_a_copy_of_a_cluster_is_adopted(clusters: Clusters, folder: Path) -> None:
    original = clusters.make()
    original.psql("CREATE TABLE kept AS SELECT 7 AS value")
    copy = folder / "copy"
    subprocess.run(
        [
            original.bindir / "pg_basebackup",
            f"--dbname={original.conninfo}",
            f"--pgdata={copy}",
            "--checkpoint=fast",
        ],
        check=True,
    )
    assert clusters.adopt(copy).psql("SELECT value FROM kept") == "7"
    assert original.is_running


@pytest.mark.root
def test_root_runs_its_clusters_as_another_user(cluster: Cluster) -> None:
    assert os.geteuid() == 0
    assert cluster.process is not None
    status = (Path("/proc") / str(cluster.process.pid)).stat()
    assert status.st_uid != 0
    cluster.pgbench_init(1)


# ------------------------------------------------------------ the daemon, played by a few lines

STAND_IN = """\
import json, os, signal, socket, subprocess, sys

def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])

def log(level, event):
    print(json.dumps({"level": level, "event": event}), file=sys.stderr, flush=True)

def reload(*_):
    tell("RELOADING=1")
    tell("READY=1")

def stop(*_):
    raise SystemExit(0)

signal.signal(signal.SIGHUP, reload)
signal.signal(signal.SIGTERM, stop)
log("info", "started")
child = subprocess.Popen(["sleep", "60"]) if "child" in open(sys.argv[2]).read() else None
tell("STATUS=starting")
BEHAVIOUR
tell("READY=1\\nSTATUS=ready")
while True:
    signal.pause()
"""


@pytest.fixture
def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Daemon]:
    """A program in the place of barmand; these tests are about the harness."""

    def make(behaviour: str = "", note: str = "") -> Daemon:
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "barmand"
        text = STAND_IN.replace("BEHAVIOUR", behaviour)
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(0o755)
        monkeypatch.setattr(support_daemon, "PROGRAMS", programs)
        own = folder / "d"
        own.mkdir()
        return Daemon(own, ini(folder, {}, description=note))

    return make


def test_a_daemon_starts_reloads_and_stops(stand_in: Callable[..., Daemon]) -> None:
    daemon = stand_in().start()
    assert daemon.notices == ["STATUS=starting", "READY=1", "STATUS=ready"]
    daemon.hup()
    assert daemon.notices[-2:] == ["RELOADING=1", "READY=1"]
    assert daemon.stop() == 0
    assert [record["event"] for record in daemon.log_records()] == ["started"]
    daemon.finish()


def test_a_daemon_that_ends_before_it_is_ready_is_noticed_at_once(
    stand_in: Callable[..., Daemon],
) -> None:
    daemon = stand_in()
    program = support_daemon.PROGRAMS / "barmand"
    program.write_text("#!/bin/sh\necho 'no such luck' >&2; exit 9\n")
    with pytest.raises(AssertionError, match="and has ended\nno such luck"):
        daemon.start(timeout=60)
    assert daemon.wait() == 9
    daemon.expects("no such luck")
    daemon.finish()


def test_an_error_in_the_log_fails_the_test_unless_it_is_expected(
    stand_in: Callable[..., Daemon],
) -> None:
    daemon = stand_in('log("error", "something broke badly")').start()
    daemon.stop()
    with pytest.raises(AssertionError, match="did not expect"):
        daemon.assert_no_unexpected_errors()
    daemon.expects("broke")
    daemon.finish()


def test_an_orphan_of_the_daemon_fails_the_test_and_is_killed(
    stand_in: Callable[..., Daemon],
) -> None:
    daemon = stand_in(note="child").start()
    (orphan,) = (find_process(pid) for pid in daemon.children())
    assert orphan is not None
    daemon.kill9()
    with pytest.raises(AssertionError, match="left behind: \\['sleep 60"):
        daemon.finish()
    assert not orphan.is_alive


def test_a_process_is_found_by_its_environment() -> None:
    with subprocess.Popen(["sleep", "60"], env={"MARK": "here"}) as child:
        assert [process.pid for process in marked("MARK", "here")] == [child.pid]
        child.kill()


def test_the_settings_of_a_test_can_be_changed(folder: Path) -> None:
    here = Cluster.__new__(Cluster)
    here.bindir, here.socket_directory, here.port, here.user = folder, folder, 1, "me"
    server = server_options(here, slot_name=None, archiver="on")
    text = ini(folder, {"main": server}, log_level="DEBUG")
    assert "archiver = on" in text
    assert "slot_name" not in text
    assert "log_level = DEBUG" in text


def test_a_raw_connection_speaks_by_hand(stand_in: Callable[..., Daemon], folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(folder / "ctl"))
        server.listen()
        with stand_in().rpc() as client:
            number = client.request("ping")
            other, _ = server.accept()
            with other:
                assert b'"method": "ping"' in other.recv(1000)
                other.sendall(b'{"method": "note"}\n{"id": %d, "result": 1}\n' % number)
            assert client.read() == {"method": "note"}
            assert client.read()["result"] == 1
            assert client.read_line() == b""
