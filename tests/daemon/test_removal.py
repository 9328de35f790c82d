"""WAL that no backup needs goes by itself, on a real cluster; what is left still restores."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import PUSHED, Json, ask, becomes, done, restored, server_status, streaming
from support.daemon import Daemon
from support.postgres import Cluster, Clusters
from support.waiting import eventually

MANY = 300
"""More 1 MB segments than 16 MB segments fit under one name of a directory."""


def archived(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "wals").rglob("*") if len(path.name) == 24)


def positions(home: Path) -> set[str]:
    """Without their timelines."""
    return {name[8:] for name in archived(home)}


def wait_for_archived(daemon: Daemon, segment: str) -> None:
    eventually(lambda: (server_status(daemon)["last_archived_wal"] or "") >= segment, 120)


def close_segments(cluster: Cluster, count: int) -> str:
    """So many segments more; the last of them."""
    cluster.psql(
        "SELECT count(pg_create_restore_point('here')), count(pg_switch_wal())"  # noqa: S608 - a number of ours
        f" FROM generate_series(1, {count - 1})"
    )
    return cluster.switch_wal()


def files(daemon: Daemon, backup: Json, target: str) -> list[str]:
    """By barmanctl itself."""
    words = ("list-files", "--target", target, "main", backup["backup_id"])
    return daemon.ctl(*words).stdout.splitlines()


@pytest.fixture
def small(make_cluster: Callable[..., Cluster]) -> Cluster:
    return make_cluster(wal_segsize=1, max_wal_size="64MB", min_wal_size="8MB")


def test_of_many_small_segments_only_what_no_backup_needs_goes(
    small: Cluster,
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    home: Path,
) -> None:
    daemon = streaming(daemon_for(small))
    wait_for_archived(daemon, close_segments(small, 5))
    before = archived(home)
    assert len(before) >= 5
    first = done(daemon)
    # The backup that became DONE made what lies before it superfluous; nobody deleted anything.
    eventually(lambda: not set(before) & set(archived(home)) - {first["begin_wal"]})
    eventually(lambda: daemon.log_records("WAL removed"))  # told once all of it went
    (told, *_) = daemon.log_records("WAL removed")
    assert (told["segments"] >= 5, told["first"]) == (True, before[0])
    close_segments(small, MANY)
    small.psql("CREATE TABLE told AS SELECT generate_series(1, 1000) AS number")
    second = done(daemon)
    small.psql("INSERT INTO told VALUES (1000000)")
    third = done(daemon)
    small.psql("INSERT INTO told VALUES (2000000)")
    wait_for_archived(daemon, small.switch_wal())
    assert first["begin_wal"] in archived(home)
    assert len([name for name in archived(home) if name < second["begin_wal"]]) > 256

    deleted = ask(daemon, "delete", server="main", backup=first["backup_id"])
    assert deleted["removed_wals"] > MANY
    left = archived(home)
    assert left[0] == second["begin_wal"]
    assert {second["end_wal"], third["begin_wal"], third["end_wal"]} <= set(left)
    assert server_status(daemon)["archived_wals"] == len(left)
    listed = files(daemon, second, "full")
    assert {path for path in listed if "/wals/" in path} >= {
        str(home / "wals" / name[:16] / name) for name in (second["begin_wal"], third["end_wal"])
    }
    assert all(Path(path).exists() for path in listed)
    copy = restored(daemon, clusters, folder / "copy", second["backup_id"])
    assert copy.psql("SELECT sum(number) FROM told") == str(500500 + 3000000)


def to_next_timeline(cluster: Cluster) -> None:
    """Stopped, started as a standby of nobody, and promoted."""
    cluster.stop()
    (cluster.data / "standby.signal").touch()
    cluster.start()
    cluster.promote()
    eventually(lambda: cluster.psql("SELECT NOT pg_is_in_recovery()") == "t")


def test_over_two_promotions_the_oldest_backup_left_recovers_to_the_last_timeline(
    make_cluster: Callable[..., Cluster],
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    home: Path,
) -> None:
    incoming = home / "incoming"
    cluster = make_cluster(
        wal_segsize=1,
        max_wal_size="64MB",
        min_wal_size="8MB",
        archive_mode="on",
        archive_command=f'cp "%p" "{incoming}/.%f" && mv "{incoming}/.%f" "{incoming}/%f"',
    )
    daemon = daemon_for(cluster, **PUSHED)
    taken: list[Json] = []
    cluster.psql("CREATE TABLE told (number int)")
    for timeline in (1, 2, 3):
        if timeline > 1:
            to_next_timeline(cluster)
        view = done(daemon)
        assert view["timeline"] == timeline
        taken.append(view)
        cluster.psql(f"INSERT INTO told VALUES ({timeline})")  # noqa: S608 - a number of ours
        wait_for_archived(daemon, close_segments(cluster, 3))
    first, second, third = taken
    histories = {"00000002.history", "00000003.history"}
    eventually(lambda: histories <= {path.name for path in (home / "wals").iterdir()})
    assert first["begin_wal"] in archived(home)

    ask(daemon, "delete", server="main", backup=first["backup_id"])
    assert min(positions(home)) == second["begin_wal"][8:]
    assert {second["begin_wal"], second["end_wal"], third["begin_wal"]} <= set(archived(home))
    assert histories <= {path.name for path in (home / "wals").iterdir()}
    copy = restored(daemon, clusters, folder / "copy", second["backup_id"])
    assert copy.psql("SELECT string_agg(number::text, ' ' ORDER BY number) FROM told") == "1 2 3"
    assert int(copy.psql("SELECT timeline_id FROM pg_control_checkpoint()")) >= 3


def test_the_last_backup_deleted_leaves_what_lies_behind_it(
    small: Cluster, daemon_for: Callable[..., Daemon], home: Path
) -> None:
    daemon = streaming(daemon_for(small))
    only = done(daemon)
    last = close_segments(small, 3)
    wait_for_archived(daemon, last)
    behind = [name for name in archived(home) if name > only["end_wal"]]
    ask(daemon, "delete", server="main", backup=only["backup_id"])
    assert archived(home) == behind
    again = done(daemon)
    assert becomes(daemon, "DONE", again["backup_id"])
    eventually(lambda: archived(home)[0] == again["begin_wal"])


def test_with_worm_mode_wal_waits_for_the_mode_to_be_switched_off(
    small: Cluster, daemon_for: Callable[..., Daemon], home: Path
) -> None:
    daemon = streaming(daemon_for(small, worm_mode="on"))
    wait_for_archived(daemon, close_segments(small, 5))
    view = done(daemon)
    before = [name for name in archived(home) if name < view["begin_wal"]]
    assert len(before) >= 5
    second = done(daemon)
    assert set(before) <= set(archived(home))
    daemon.config.write_text(daemon.config.read_text().replace("worm_mode = on", ""))
    daemon.hup()
    eventually(lambda: archived(home)[0] == view["begin_wal"])
    assert second["begin_wal"] in archived(home)
