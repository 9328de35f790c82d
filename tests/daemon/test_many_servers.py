"""Many servers in one daemon: quick, and none of them in another's way."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.asking import (
    SLOWEST,
    Json,
    ask,
    backups,
    becomes,
    done,
    follow,
    held_copy,
    programs_of,
    refusal,
    server_status,
    streaming,
)
from support.daemon import Daemon, Options, ini, server_options
from support.postgres import Cluster
from support.processes import descendants
from support.waiting import eventually

Make = Callable[[str], Daemon]


def quiet(cluster: Cluster, **options: object | None) -> Options:
    """A server that nobody streams from: 200 of them cost PostgreSQL nothing."""
    return server_options(
        cluster, streaming_archiver=None, slot_name=None, create_slot=None, archiver="on", **options
    )


# ----------------------------------------------------------------------------------------- hundreds


@pytest.mark.parametrize("many", [50, pytest.param(200, marks=pytest.mark.soak)])
def test_hundreds_of_servers_start_queue_cancel_reload_and_stop(
    make_cluster: Callable[..., Cluster], make_daemon: Make, folder: Path, many: int
) -> None:
    cluster = make_cluster(archive_mode="on", archive_command="test -s %p")
    servers = {f"s{number:03}": quiet(cluster) for number in range(many)}
    daemon = make_daemon(ini(folder, servers, max_parallel_backups=2)).start()
    with follow(daemon, "all", bwlimit=SLOWEST, follow="copied"):
        eventually(lambda: queued_of(daemon) == many - 2, within=60)
        places = [view["progress"]["queued"] for view in backups(daemon) if is_queued(view)]
        assert sorted(place["position"] for place in places) == list(range(1, many - 1))
        assert {place["count"] for place in places} == {many - 2}
        changed = servers | {"s001": quiet(cluster, description="changed")}
        daemon.config.write_text(ini(folder, changed, max_parallel_backups=2))
        told = ask(daemon, "reload")
        assert told["unchanged"] == many - 1
        assert [each["server"] for each in told["changes"]] == ["s001"]
        assert queued_of(daemon) == many - 2
        daemon.expects("backup failed")
        left = many * 3 // 4
        for server in list(servers)[left:]:
            view = ask(daemon, "cancel", server=server)["backup"]
            assert (view["status"], view["started_at"]) == ("FAILED", None)
        assert queued_of(daemon) == left - 2
        threads = len(list(Path(f"/proc/{daemon.pid}/task").iterdir()))
        assert threads < 80
    assert daemon.stop() == 0
    daemon.start()
    ended = backups(daemon)
    assert {view["status"] for view in ended} == {"FAILED"}
    assert {view["error"]["code"] for view in ended} == {"Stopped"}


def is_queued(view: Json) -> bool:
    return bool(view["status"] == "QUEUED" and view["progress"])


def queued_of(daemon: Daemon) -> int:
    return sum(map(is_queued, backups(daemon)))


# -------------------------------------------------------------------------------------------- hangs


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """PostgreSQL that answers nobody: each of its processes is stopped."""
    assert cluster.process is not None
    postmaster = cluster.process.pid
    os.kill(postmaster, signal.SIGSTOP)  # first, so that no more of them come
    found = [postmaster, *(each.pid for each in descendants(postmaster))]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(found):
            os.kill(pid, signal.SIGCONT)


def test_a_frozen_server_delays_no_other_and_its_backup_can_be_cancelled(
    make_cluster: Callable[..., Cluster], make_daemon: Make, folder: Path
) -> None:
    alive, ill = make_cluster(), make_cluster()
    servers = {"main": server_options(alive)}
    servers |= {f"ill{number}": quiet(ill) for number in range(3)}
    daemon = streaming(make_daemon(ini(folder, servers)).start())
    daemon.expects("backup failed")
    with frozen(ill), follow(daemon, "ill0", "ill1", "ill2", "main", follow="done") as followed:
        followed.until_status("DONE", "main")
        tasks = {each["task"]: each for each in processes(daemon, "ill0")}
        assert tasks["backup"]["phase"] == "checking the server"
        alive.switch_wal()
        eventually(lambda: ask(daemon, "switch-wal", server="main", archive=True)["archived"])
    assert daemon.stop(60) == 0


def test_servers_whose_disk_hangs_delay_neither_start_nor_others(
    cluster: Cluster, make_daemon: Make, folder: Path
) -> None:
    dead = [f"dead{number}" for number in range(8)]
    for name in dead:
        home = folder / "home" / name
        (home / "incoming").mkdir(parents=True)
        os.mkfifo(home / "identity.json")  # who opens it waits for ever
    servers = {"main": server_options(cluster)} | {name: quiet(cluster) for name in dead}
    daemon = make_daemon(ini(folder, servers, wal_poll_interval=1))
    daemon.expects("disk does not answer")
    daemon.expects("chore failed")  # their other directories are not there
    streaming(daemon.start())
    hung = [process["task"] for process in processes(daemon, "dead0")]
    assert "ground" in hung
    done(daemon)
    daemon.kill9()  # a stop would wait for them, as long as it waits for anything


def processes(daemon: Daemon, server: str) -> list[Json]:
    return list(ask(daemon, "list-processes", server=server)["processes"])


# --------------------------------------------------------------------------------- reload meanwhile


def test_a_server_removed_while_its_backup_runs_finishes_it_and_leaves(
    daemon_for: Callable[..., Daemon], cluster: Cluster, folder: Path
) -> None:
    daemon = streaming(daemon_for(cluster))
    (receiver,) = programs_of(folder)
    with follow(daemon, bwlimit=8000) as followed:
        identifier = followed.until_phase("copying")["backup_id"]
        daemon.config.write_text(ini(folder, {}))
        (change,) = ask(daemon, "reload")["changes"]
        assert (change["became"], change["unfinished_backups"]) == ("removed", [identifier])
        assert change["backups_left"] == 1
        assert server_status(daemon)["state"] == "leaving"
        assert server_status(daemon)["active_backup"]["backup_id"] == identifier
        assert {each["task"] for each in processes(daemon, "main")} >= {"backup", "receive-wal"}
        assert ask(daemon, "backup", servers=["main"])["exit_code"] == 4
        assert receiver.is_alive
        assert followed.result()["backups"][0]["status"] == "DONE"
    daemon.hup()
    eventually(lambda: not receiver.is_alive)
    assert server_status(daemon)["state"] == "unconfigured"
    error = refusal(daemon, "delete", server="main", backup=identifier)
    assert error["message"].endswith("is configured; 1 backup stays on disk, in its folder")
    assert "Put a section [main] back (active = false is enough)" in error["hint"]
    assert [view["status"] for view in backups(daemon)] == ["DONE"]


def test_a_server_removed_and_added_again_goes_on_with_its_backup(
    daemon: Daemon, folder: Path
) -> None:
    text = daemon.config.read_text()
    (receiver,) = programs_of(folder)
    with held_copy(daemon) as (followed, identifier):
        for _ in range(3):
            daemon.config.write_text(ini(folder, {}))
            ask(daemon, "reload")
            daemon.config.write_text(text)
            (change,) = ask(daemon, "reload")["changes"]
            assert change["became"] == "added"
        assert server_status(daemon)["state"] == "active"
        assert receiver.is_alive
        assert ask(daemon, "backup", servers=["main"])["exit_code"] == 4
        daemon.expects("backup failed")
        ended = ask(daemon, "terminate-process", server="main", task="backup")
        assert (ended["process"]["backup_id"], ended["ended"]) == (identifier, True)
        assert "terminated by" in followed.result()["backups"][0]["error"]["message"]
    done(daemon)


def test_a_storm_of_signals_during_a_backup_changes_nothing(daemon: Daemon, folder: Path) -> None:
    (receiver,) = programs_of(folder)
    with follow(daemon, bwlimit=8000) as followed:
        identifier = followed.until_phase("copying")["backup_id"]
        for _ in range(50):
            os.kill(daemon.pid, signal.SIGHUP)
        daemon.hup()
        assert followed.result()["backups"][0]["status"] == "DONE"
    becomes(daemon, "DONE", identifier)
    assert receiver.is_alive
    assert all(r["unchanged"] == 1 for r in daemon.log_records("settings read again"))


def test_a_reload_tells_options_without_secrets_and_a_fault_of_grammar_changes_nothing(
    cluster: Cluster, make_daemon: Make, folder: Path
) -> None:
    words = f"{cluster.conninfo} password="
    hook = {"pre_backup_script": "PGPASSWORD=first-one echo first-one"}
    first = {"main": quiet(cluster, conninfo=f"{words}hush", compression="gzip", **hook)}
    (folder / "more").mkdir()
    more = {"configuration_files_directory": folder / "more"}
    daemon = make_daemon(ini(folder, first, **more)).start()
    hook = {"pre_backup_script": "PGPASSWORD=other-one echo other-one"}
    second = {"main": quiet(cluster, conninfo=f"{words}secret", compression="lz4", **hook)}
    daemon.config.write_text(ini(folder, second, **more, max_parallel_backups=9))
    told = daemon.ctl("reload").stdout
    assert "barmand: max_parallel_backups: 4 -> 9\n" in told
    assert "main: compression: gzip -> lz4\n" in told
    assert "password=*** -> the same with another secret\n" in told
    assert "streaming_conninfo" not in told
    assert "pre_backup_script: PGPASSWORD=*** echo" in told
    tested = daemon.ctl("hook", "test", "main", "pre_backup").stdout
    tested += daemon.ctl("hook", "runs", "main", "-f", "json").stdout
    assert "PGPASSWORD=***" in tested
    for secret in ("hush", "other-one", "first-one"):
        assert secret not in told + tested + daemon.log
    assert "secret" not in daemon.log.replace("another secret", "")
    (folder / "more" / "other.conf").write_text("# mine\n[other\n")
    refused = daemon.ctl("reload", check=False)
    assert refused.returncode == 9
    assert f"{folder}/more/other.conf: " in refused.stderr
    assert "line 2" in refused.stderr
    assert server_status(daemon)["state"] == "active"
    daemon.expects("settings not changed")
    daemon.hup()
    eventually(lambda: "line 2" in str(daemon.log_records("settings not changed")))


def test_a_receiver_that_is_terminated_begins_again(daemon: Daemon, folder: Path) -> None:
    (receiver,) = programs_of(folder)
    told = daemon.ctl("terminate-process", "main", "receive-wal").stdout
    assert "receive-wal has ended" in told
    assert "It begins again" in told
    eventually(lambda: not receiver.is_alive)
    streaming(daemon)
    refused = daemon.ctl("terminate-process", "main", "nothing", check=False)
    assert (refused.returncode, "no process 'nothing'" in refused.stderr) == (3, True)
