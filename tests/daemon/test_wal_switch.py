"""switch-wal, check-wal-archive and replication-status on real clusters."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import PUSHED, Dam, Json, ask, refusal, streaming
from support.daemon import Daemon
from support.postgres import Cluster, Clusters, run
from support.waiting import eventually

MANY = 60


def switch(daemon: Daemon, **more: object) -> Json:
    return ask(daemon, "switch-wal", server="main", **more)


def test_a_switch_closes_the_segment_and_waits_until_it_is_archived(
    cluster: Cluster, daemon: Daemon, home: Path
) -> None:
    cluster.psql("CREATE TABLE written ()")
    told = switch(daemon, archive=True, archive_timeout=MANY)
    assert (told["closed"], told["archived"]) == (True, True)
    assert (home / "wals" / told["segment"][:16] / told["segment"]).is_file()


def test_a_switch_of_an_idle_server_closes_nothing_unless_it_is_forced(
    cluster: Cluster, daemon: Daemon
) -> None:
    cluster.psql("CHECKPOINT")
    first = switch(daemon, archive=True, archive_timeout=MANY)
    again = switch(daemon, archive=True, archive_timeout=MANY)
    assert (again["closed"], again["segment"]) == (False, first["segment"])
    forced = switch(daemon, force=True, archive=True, archive_timeout=MANY)
    assert forced["closed"]
    assert int(forced["segment"], 16) == int(first["segment"], 16) + 1


def test_a_closed_segment_that_does_not_come_in_time_is_a_failure(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam
) -> None:
    dammed.psql("CREATE TABLE written ()")
    error = refusal(dammed_daemon, "switch-wal", server="main", archive=True, archive_timeout=0.3)
    assert (error["code"], error["exit_code"]) == ("WaitTimeout", 12)
    assert "was closed, but not archived within 0.3 seconds" in error["message"]
    assert dam.folder.is_dir()


@pytest.fixture
def standby(cluster: Cluster, clusters: Clusters, folder: Path) -> Cluster:
    data = folder / "standby"
    run(
        *(cluster.bindir / "pg_basebackup", "--pgdata", data, "--write-recovery-conf"),
        *("--checkpoint=fast", "--dbname", cluster.conninfo),
    )
    return clusters.adopt(data)


def test_a_standby_is_switched_at_its_primary_or_not_at_all(
    cluster: Cluster, standby: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    daemon = daemon_for(standby, **PUSHED)
    error = refusal(daemon, "switch-wal", server="main")
    assert (error["code"], "primary_conninfo" in error["hint"]) == ("Refused", True)
    text = daemon.config.read_text()
    daemon.config.write_text(f"{text.rstrip()}\nprimary_conninfo = {cluster.conninfo}\n")
    daemon.hup()
    cluster.psql("CREATE TABLE written ()")
    assert switch(daemon)["closed"]


def test_replicas_are_told_by_kind_with_what_they_lack(
    cluster: Cluster, standby: Cluster, daemon: Daemon
) -> None:
    streaming(daemon)

    def replicas(target: str = "all") -> list[Json]:
        found: list[Json] = ask(daemon, "replication-status", server="main", target=target)[
            "replicas"
        ]
        return found

    eventually(lambda: [each["state"] for each in replicas()] == ["streaming"] * 2)
    eventually(lambda: [each["kind"] for each in replicas("hot-standby")] == ["hot-standby"])
    (ours,) = replicas("wal-streamer")
    assert (ours["application_name"], ours["slot_name"]) == ("barman_receive_wal", "barmand")
    assert ours["sent_behind"] == 0
    standby.stop()
    assert [each["kind"] for each in replicas()] == ["wal-streamer"]
    told = daemon.ctl("replication-status", "main", "--minimal", "--source", "wal-host").stdout
    assert "barman_receive_wal" in told
    assert cluster.is_running


def test_an_archive_is_free_until_it_holds_wal_of_that_timeline(
    cluster: Cluster, daemon: Daemon
) -> None:
    def check(**more: object) -> Json:
        return ask(daemon, "check-wal-archive", server="main", **more)

    assert (check()["ok"], check()["exit_code"]) == (True, 0)
    cluster.psql("CREATE TABLE written ()")
    switch(daemon, archive=True, archive_timeout=MANY)
    told = check()
    assert (told["ok"], told["exit_code"], told["segments"]) == (False, 5, 1)
    assert not check(timeline=1)["ok"]
    assert check(timeline=2)["ok"]
    assert daemon.ctl("check-wal-archive", "main", check=False).returncode == 5
