"""Backups of a standby, on real streaming replication."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.asking import (
    METHODS,
    TWO_METHODS,
    Json,
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
from support.waiting import eventually

Options = Callable[[str], dict[str, object]]


@dataclass(frozen=True)
class Pair:
    primary: Cluster
    standby: Cluster

    def catch_up(self) -> None:
        now = self.primary.psql("SELECT pg_current_wal_lsn()")
        eventually(lambda: self.standby.psql(f"SELECT pg_last_wal_replay_lsn() >= '{now}'") == "t")

    def write(self) -> None:
        """A checkpoint in the midst of a segment, on both."""
        self.primary.psql("CREATE TABLE IF NOT EXISTS written (); CHECKPOINT")
        self.primary.psql("DROP TABLE written")
        self.catch_up()
        self.standby.psql("CHECKPOINT")

    def from_primary(self) -> dict[str, object]:
        """The options that let WAL come from the primary."""
        return {
            "wal_conninfo": self.primary.conninfo,
            "wal_streaming_conninfo": self.primary.conninfo,
        }


def standby_of(primary: Cluster, clusters: Clusters, data: Path, **settings: object) -> Cluster:
    run(
        *(primary.bindir / "pg_basebackup", "--pgdata", data, "--write-recovery-conf"),
        *("--checkpoint=fast", "--dbname", primary.conninfo),
    )
    return clusters.adopt(data, **settings)


@pytest.fixture
def pair(clusters: Clusters, folder: Path) -> Pair:
    primary = clusters.make()
    pair = Pair(primary, standby_of(primary, clusters, folder / "standby"))
    pair.catch_up()
    pair.write()
    return pair


def slowly(cluster: Cluster, seconds: int) -> int:
    """The bandwidth limit with which its copy takes about so long."""
    size = int(cluster.psql("SELECT sum(pg_database_size(oid)) FROM pg_database"))
    return max(32, size // 1024 // seconds)


def wait_for_archived(daemon: Daemon, segment: str) -> None:
    eventually(lambda: (server_status(daemon)["last_archived_wal"] or "") >= segment)


@pytest.mark.parametrize("method", TWO_METHODS)
@pytest.mark.parametrize("source", ["standby", "primary"])
def test_with_primary_conninfo_the_backup_of_an_idle_standby_ends(
    pair: Pair,
    daemon_for: Callable[..., Daemon],
    by_method: Options,
    *,
    method: str,
    source: str,
) -> None:
    wal = pair.from_primary() if source == "primary" else {}
    primary = pair.primary.conninfo
    daemon = streaming(
        daemon_for(pair.standby, primary_conninfo=primary, **by_method(method), **wal)
    )
    begun = time.monotonic()
    view = done(daemon)
    assert time.monotonic() - begun < 20
    assert (view["status"], view["missing_wals"]) == ("DONE", [])
    assert done(daemon)["backup_id"] > view["backup_id"]


@pytest.mark.parametrize("method", TWO_METHODS)
def test_without_it_the_backup_waits_until_the_primary_switches(
    pair: Pair, daemon_for: Callable[..., Daemon], by_method: Options, method: str
) -> None:
    daemon = streaming(daemon_for(pair.standby, **by_method(method)))
    pair.write()
    with follow(daemon, follow="copied") as followed:
        view: Json = followed.result()["backups"][0]
    assert view["status"] == "WAITING_FOR_WALS"
    assert view["missing_wals"]
    pair.primary.switch_wal()
    becomes(daemon, "DONE", view["backup_id"])


@pytest.mark.parametrize("method", TWO_METHODS)
def test_a_standby_promoted_in_mid_copy_fails_the_backup_with_that_reason(
    pair: Pair, daemon_for: Callable[..., Daemon], by_method: Options, method: str
) -> None:
    pair.primary.psql(
        "CREATE TABLE filling AS SELECT repeat('x', 900) FROM generate_series(1, 9999)"
    )
    pair.catch_up()
    daemon = streaming(daemon_for(pair.standby, **by_method(method)))
    daemon.expects("backup failed")
    daemon.expects("receiver")
    with held_copy(daemon, bwlimit=slowly(pair.standby, 6)) as (followed, identifier):
        pair.standby.promote()
        assert followed.exit_code() != 0
    view = show(daemon, identifier)
    assert view["status"] == "FAILED"
    error = view["error"]
    assert "promoted" in f"{error['message']} {error['hint']}"
    assert "HINT" not in error["message"]


@pytest.mark.parametrize("method", ["rsync", "local"])
def test_the_promotion_is_noticed_while_there_is_still_much_to_copy(
    pair: Pair, daemon_for: Callable[..., Daemon], by_method: Options, method: str
) -> None:
    daemon = streaming(daemon_for(pair.standby, **by_method(method), basebackup_retry_times=2))
    daemon.expects("backup failed")
    daemon.expects("receiver")
    with held_copy(daemon, keepalive_interval=1) as (_, identifier):
        pair.standby.promote()
        begun = time.monotonic()
        view = becomes(daemon, "FAILED", identifier, within=10)
    assert time.monotonic() - begun < 6
    assert "main was promoted in mid-copy" in view["error"]["message"]


def assert_positions(primary: Cluster, data: Path, view: Json) -> None:
    """Of a standby's backup, as its label and the primary name them."""
    label = (data / "backup_label").read_text()
    assert "BACKUP FROM: standby\n" in label
    assert f"START WAL LOCATION: {view['begin_lsn']} (file {view['begin_wal']})" in label
    assert f"START TIMELINE: {view['timeline']}\n" in label
    names = (f"pg_walfile_name('{view[lsn]}')" for lsn in ("begin_lsn", "end_lsn"))
    assert primary.psql(f"SELECT {', '.join(names)}") == f"{view['begin_wal']}|{view['end_wal']}"


@pytest.mark.parametrize("method", METHODS)
def test_the_restored_backup_of_a_standby_is_a_primary(
    pair: Pair,
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    home: Path,
    by_method: Options,
    *,
    method: str,
) -> None:
    primary = pair.primary.conninfo
    pair.primary.pgbench_init()
    daemon = streaming(
        daemon_for(
            pair.standby, primary_conninfo=primary, **by_method(method), **pair.from_primary()
        )
    )
    with pair.primary.pgbench(seconds=60):
        view = done(daemon)
        pair.primary.psql("CREATE TABLE marker AS SELECT 42 AS answer")
    sums = pgbench_sums(pair.primary)
    wait_for_archived(daemon, pair.primary.switch_wal())
    data = home / "base" / view["backup_id"] / "data"
    run(pair.primary.bindir / "pg_verifybackup", "--no-parse-wal", data)
    assert view["damages"] == []
    assert_positions(pair.primary, data, view)
    copy = restored(daemon, clusters, clusters.folder / "copy")
    assert copy.psql("SELECT answer FROM marker") == "42"
    assert pgbench_sums(copy) == sums
    assert not (copy.data / "standby.signal").exists()
    copy.psql("INSERT INTO marker VALUES (43)")


@pytest.mark.parametrize("method", TWO_METHODS)
def test_a_standby_that_archives_for_itself_does_not_hang_on_an_idle_primary(
    pair: Pair, daemon_for: Callable[..., Daemon], by_method: Options, method: str
) -> None:
    """With archive_mode = always the end of a backup may wait for its own archive."""
    pair.standby.configure(archive_mode="always", archive_command="true")
    pair.standby.restart()
    pair.write()
    primary = pair.primary.conninfo
    daemon = streaming(daemon_for(pair.standby, primary_conninfo=primary, **by_method(method)))
    begun = time.monotonic()
    assert done(daemon)["status"] == "DONE"
    assert time.monotonic() - begun < 25


@pytest.mark.parametrize("method", ["postgres", "local"])
def test_a_primary_that_is_away_at_the_end_does_not_fail_a_whole_copy(
    pair: Pair, daemon_for: Callable[..., Daemon], by_method: Options, method: str
) -> None:
    primary = pair.primary.conninfo
    daemon = streaming(daemon_for(pair.standby, primary_conninfo=primary, **by_method(method)))
    limit = slowly(pair.standby, 5)
    with held_copy(daemon, follow="copied", bwlimit=limit) as (followed, identifier):
        pair.primary.stop("immediate")
        (view,) = followed.result()["backups"]
    assert view["status"] == "WAITING_FOR_WALS"
    (warning,) = followed.warnings
    assert "was not closed on the primary of main: connection to main: " in warning
    assert "The copy is whole" in warning
    told = daemon.ctl("backup", "main", "--name", "told", check=False)
    assert (told.returncode, "pg_switch_wal()" in told.stderr) == (0, True)
    pair.primary.start()
    pair.primary.switch_wal()
    becomes(daemon, "DONE", identifier, within=60)


@pytest.mark.parametrize("method", TWO_METHODS)
def test_a_standby_that_follows_a_promotion_in_mid_copy_fails_the_backup_with_that_reason(
    pair: Pair,
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    by_method: Options,
    *,
    method: str,
) -> None:
    """Its WAL would be of two timelines. The next backup is of the new one alone."""
    below = standby_of(pair.standby, clusters, folder / "below")
    daemon = streaming(
        daemon_for(below, **by_method(method), primary_conninfo=pair.standby.conninfo)
    )
    daemon.expects("backup failed")
    daemon.expects("receiver")
    with held_copy(daemon, bwlimit=slowly(below, 8)) as (followed, identifier):
        pair.standby.promote()
        pair.standby.psql("CREATE TABLE of_timeline_2 AS SELECT 2 AS n; CHECKPOINT")
        eventually(
            lambda: below.psql("SELECT count(*) FROM pg_class WHERE relname ~ '^of_t'") == "1"
        )
        below.psql("CHECKPOINT")
        assert followed.exit_code() != 0
    error = show(daemon, identifier)["error"]
    assert "timelines 1 and 2" in error["message"]
    view = done(streaming(daemon))
    assert (view["timeline"], view["begin_wal"][:8]) == (2, "00000002")
    copy = restored(daemon, clusters, folder / "copy")
    assert copy.psql("SELECT n FROM of_timeline_2") == "2"
