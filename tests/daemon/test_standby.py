"""Backups of a standby, on real streaming replication."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.asking import (
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

METHODS = ("postgres", "local")


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


@pytest.fixture
def pair(clusters: Clusters, folder: Path) -> Pair:
    primary = clusters.make()
    data = folder / "standby"
    run(
        *(primary.bindir / "pg_basebackup", "--pgdata", data, "--write-recovery-conf"),
        *("--checkpoint=fast", "--dbname", primary.conninfo),
    )
    pair = Pair(primary, clusters.adopt(data))
    pair.catch_up()
    pair.write()
    return pair


def options(method: str) -> dict[str, object]:
    more = {} if method == "postgres" else {"parallel_jobs": 2, "autogenerate_manifest": "on"}
    return {"backup_method": method, **more}


def wait_for_archived(daemon: Daemon, segment: str) -> None:
    eventually(lambda: (server_status(daemon)["last_archived_wal"] or "") >= segment)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", ["standby", "primary"])
def test_with_primary_conninfo_the_backup_of_an_idle_standby_ends(
    pair: Pair, daemon_for: Callable[..., Daemon], method: str, source: str
) -> None:
    wal = pair.from_primary() if source == "primary" else {}
    primary = pair.primary.conninfo
    daemon = streaming(daemon_for(pair.standby, primary_conninfo=primary, **options(method), **wal))
    begun = time.monotonic()
    view = done(daemon)
    assert time.monotonic() - begun < 20
    assert (view["status"], view["missing_wals"]) == ("DONE", [])
    assert done(daemon)["backup_id"] > view["backup_id"]


@pytest.mark.parametrize("method", METHODS)
def test_without_it_the_backup_waits_until_the_primary_switches(
    pair: Pair, daemon_for: Callable[..., Daemon], method: str
) -> None:
    daemon = streaming(daemon_for(pair.standby, **options(method)))
    pair.write()
    with follow(daemon, follow="copied") as followed:
        view: Json = followed.result()["backups"][0]
    assert view["status"] == "WAITING_FOR_WALS"
    assert view["missing_wals"]
    pair.primary.switch_wal()
    becomes(daemon, "DONE", view["backup_id"])


@pytest.mark.parametrize("method", METHODS)
def test_a_standby_promoted_in_mid_copy_fails_the_backup_with_that_reason(
    pair: Pair, daemon_for: Callable[..., Daemon], method: str
) -> None:
    pair.primary.psql(
        "CREATE TABLE filling AS SELECT repeat('x', 900) FROM generate_series(1, 9999)"
    )
    pair.catch_up()
    daemon = streaming(daemon_for(pair.standby, **options(method)))
    daemon.expects("backup failed")
    daemon.expects("receiver")
    size = int(pair.standby.psql("SELECT sum(pg_database_size(oid)) FROM pg_database"))
    with held_copy(daemon, bwlimit=max(32, size // 1024 // 6)) as (followed, identifier):
        pair.standby.promote()
        assert followed.exit_code() != 0
    view = show(daemon, identifier)
    assert view["status"] == "FAILED"
    error = view["error"]
    assert "promoted" in f"{error['message']} {error['hint']}"


@pytest.mark.parametrize("method", METHODS)
def test_the_restored_backup_of_a_standby_is_a_primary(
    pair: Pair,
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    home: Path,
    *,
    method: str,
) -> None:
    primary = pair.primary.conninfo
    pair.primary.pgbench_init()
    daemon = streaming(
        daemon_for(pair.standby, primary_conninfo=primary, **options(method), **pair.from_primary())
    )
    with pair.primary.pgbench(seconds=60):
        view = done(daemon)
        pair.primary.psql("CREATE TABLE marker AS SELECT 42 AS answer")
    sums = pgbench_sums(pair.primary)
    wait_for_archived(daemon, pair.primary.switch_wal())
    data = home / "base" / view["backup_id"] / "data"
    run(pair.primary.bindir / "pg_verifybackup", "--no-parse-wal", data)
    assert view["damages"] == []
    copy = restored(daemon, clusters, clusters.folder / "copy")
    assert copy.psql("SELECT answer FROM marker") == "42"
    assert pgbench_sums(copy) == sums
    assert not (copy.data / "standby.signal").exists()
    copy.psql("INSERT INTO marker VALUES (43)")
