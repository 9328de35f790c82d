"""The WAL stream follows its server: restarts, promotions, recovery to an earlier point."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import done, everything_in, refusal, server_status, streaming
from support.daemon import Daemon
from support.postgres import Cluster, Clusters, run
from support.waiting import eventually


def standby_of(primary: Cluster, clusters: Clusters, data: Path, **settings: object) -> Cluster:
    run(
        *(primary.bindir / "pg_basebackup", "--pgdata", data, "--write-recovery-conf"),
        *("--checkpoint=fast", "--dbname", primary.conninfo),
    )
    standby = clusters.adopt(data, **settings)
    catch_up(primary, standby)
    return standby


def catch_up(primary: Cluster, standby: Cluster) -> None:
    now = primary.psql(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
        " ELSE pg_current_wal_lsn() END"
    )
    eventually(lambda: standby.psql(f"SELECT pg_last_wal_replay_lsn() >= '{now}'") == "t")


def archived(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "wals").rglob("*") if path.is_file())


def comes(home: Path, name: str, within: float = 20) -> None:
    eventually(lambda: name in archived(home), within)


def points_to(daemon: Daemon, old: Cluster, new: Cluster) -> None:
    """The server's address leads to another one from now on."""
    daemon.config.write_text(daemon.config.read_text().replace(old.conninfo, new.conninfo))
    daemon.hup()


def lost(daemon: Daemon) -> list[dict[str, object]]:
    return daemon.log_records("WAL lost")


def test_a_restarted_server_is_streamed_on_without_a_gap(
    cluster: Cluster, daemon: Daemon, home: Path
) -> None:
    first = cluster.switch_wal()
    comes(home, first)
    cluster.restart()
    second = cluster.switch_wal()
    comes(home, second)
    assert int(second, 16) - int(first, 16) <= 2
    assert set(names_between(first, second)) <= set(archived(home))
    assert lost(daemon) == []


def names_between(first: str, last: str) -> list[str]:
    """Within one timeline, and the first 4 GiB."""
    return [f"{number:024X}" for number in range(int(first, 16), int(last, 16) + 1)]


def test_after_a_failover_the_new_primary_is_streamed_on(
    cluster: Cluster, daemon: Daemon, clusters: Clusters, home: Path, folder: Path
) -> None:
    standby = standby_of(cluster, clusters, folder / "standby")
    comes(home, cluster.switch_wal())
    catch_up(cluster, standby)
    cluster.stop()
    standby.promote()
    daemon.expects("WAL streaming")
    points_to(daemon, cluster, standby)
    streaming(daemon)
    switched = standby.switch_wal()
    assert switched.startswith("00000002")
    comes(home, switched)
    assert "00000002.history" in archived(home)
    assert lost(daemon) == []
    assert standby.psql("SELECT slot_name FROM pg_replication_slots") == "barmand"
    view = done(daemon)
    assert view["timeline"] == 2
    assert_no_gap(home)


def assert_no_gap(home: Path) -> None:
    """The numbers of all segments, whatever their timeline, are unbroken."""
    numbers = sorted({int(name[8:], 16) for name in archived(home) if len(name) == 24})
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_a_standby_that_is_promoted_while_it_is_streamed_from_needs_no_restart(
    cluster: Cluster,
    clusters: Clusters,
    daemon_for: Callable[..., Daemon],
    folder: Path,
    home: Path,
) -> None:
    standby = standby_of(cluster, clusters, folder / "standby")
    daemon = streaming(daemon_for(standby))
    before = cluster.switch_wal()
    comes(home, before)
    standby.promote()
    after = standby.switch_wal()
    assert after.startswith("00000002")
    comes(home, after)
    assert server_status(daemon)["receiver"]["restarts"] == 0
    comes(home, "00000002.history")
    assert_no_gap(home)


def test_two_promotions_behind_its_back_leave_both_histories_and_no_gap(
    cluster: Cluster, daemon: Daemon, clusters: Clusters, home: Path, folder: Path
) -> None:
    second = standby_of(cluster, clusters, folder / "second", wal_keep_size="256MB")
    third = standby_of(second, clusters, folder / "third", wal_keep_size="256MB")
    comes(home, cluster.switch_wal())
    catch_up(cluster, second)
    cluster.stop()
    daemon.ctl("receive-wal", "main", "--stop")
    second.promote()
    second.switch_wal()
    catch_up(second, third)
    second.stop()
    third.promote()
    points_to(daemon, cluster, third)
    daemon.ctl("receive-wal", "main", "--start")
    switched = third.switch_wal()
    assert switched.startswith("00000003")
    comes(home, switched)
    assert {"00000002.history", "00000003.history"} <= set(archived(home))
    assert lost(daemon) == []
    assert_no_gap(home)
    assert [name for name in archived(home) if name.startswith("00000002") and len(name) == 24]


def test_wal_that_the_new_primary_never_got_belongs_to_the_old_timeline(
    cluster: Cluster, daemon: Daemon, clusters: Clusters, home: Path, folder: Path
) -> None:
    standby = standby_of(cluster, clusters, folder / "standby")
    standby.stop()
    ahead = [cluster.switch_wal() for _ in range(2)]
    comes(home, ahead[-1])
    cluster.psql("CREATE TABLE never_seen (); CHECKPOINT")
    eventually(
        lambda: any(half.name > ahead[-1] for half in (home / "streaming").glob("*.partial"))
    )
    cluster.stop("immediate")
    (standby.data / "postgresql.auto.conf").write_text("")
    standby.start()
    standby.promote()
    daemon.expects("WAL streaming")
    points_to(daemon, cluster, standby)
    streaming(daemon)
    switched = standby.switch_wal()
    comes(home, switched)
    names = archived(home)
    assert set(ahead) <= set(names)
    assert switched[8:] <= ahead[-1][8:]
    assert switched.startswith("00000002")
    assert lost(daemon) == []
    aside = [path.name for path in (home / "errors").iterdir()]
    assert [name.rpartition(".")[2] for name in aside] == ["forked"]
    assert done(daemon)["timeline"] == 2


def test_a_server_recovered_to_an_earlier_point_is_streamed_on(
    cluster: Cluster, daemon: Daemon, clusters: Clusters, home: Path, folder: Path
) -> None:
    done(daemon)
    point = cluster.psql("SELECT pg_current_wal_lsn()")
    later = [cluster.switch_wal() for _ in range(3)]
    comes(home, later[-1])
    cluster.stop()
    daemon.ctl("restore", "main", "last", folder / "earlier", "--target-immediate")
    earlier = clusters.adopt(folder / "earlier")
    eventually(lambda: earlier.psql("SELECT NOT pg_is_in_recovery()") == "t")
    assert earlier.psql(f"SELECT pg_current_wal_lsn() < '{point}'::pg_lsn + 33554432") == "t"
    daemon.expects("WAL streaming")
    points_to(daemon, cluster, earlier)
    streaming(daemon)
    switched = earlier.switch_wal()
    comes(home, switched)
    assert switched.startswith("00000002")
    assert set(later) <= set(archived(home))
    assert lost(daemon) == []
    assert done(daemon)["timeline"] == 2


def test_another_cluster_behind_the_same_address_is_refused_and_nothing_mixed(
    cluster: Cluster, daemon: Daemon, make_cluster: Callable[..., Cluster], home: Path
) -> None:
    comes(home, cluster.switch_wal())
    stranger = make_cluster(initdb=("--text-search-config=simple",))  # of another initdb
    daemon.expects("WAL streaming")
    cluster.stop()
    before = everything_in(home / "wals")
    points_to(daemon, cluster, stranger)

    def says() -> str:
        return str(server_status(daemon)["receiver"]["last_error"])

    eventually(lambda: "but main is" in says())
    stranger.switch_wal()
    assert stranger.psql("SELECT count(*) FROM pg_replication_slots") == "0"
    assert everything_in(home / "wals") == before
    error = refusal(daemon, "receive-wal", server="main", action="reset")
    assert (error["code"], error["exit_code"]) == ("Refused", 4)


@pytest.mark.parametrize("listed", ["", "FIRST 1 (other, barman_receive_wal)"])
def test_it_syncs_at_once_where_the_server_counts_on_it(
    cluster: Cluster, daemon_for: Callable[..., Daemon], listed: str
) -> None:
    cluster.configure(synchronous_standby_names=listed)
    cluster.reload()
    daemon = streaming(daemon_for(cluster))
    command = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in daemon.children()]
    receivers = [words for words in command if b"pg_receivewal" in words[0]]
    assert len(receivers) == 1
    assert (b"--synchronous" in receivers[0]) is bool(listed)
    cluster.psql("CREATE TABLE committed ()")
