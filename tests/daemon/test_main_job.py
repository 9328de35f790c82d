"""The main job: a base backup of a real server that is written to, safe, restored and asked."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from daemon.asking import (
    LIFE,
    PUSHED,
    Dam,
    Json,
    ask,
    backups,
    becomes,
    done,
    everything_in,
    follow,
    held_copy,
    judged,
    pgbench_sums,
    refusal,
    restored,
    server_status,
    show,
    streaming,
)
from support.daemon import Daemon
from support.postgres import Cluster, Clusters
from support.waiting import eventually

MEGABYTE = 1024 * 1024


def lsn(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def archived(home: Path) -> set[str]:
    return {path.name for path in (home / "wals").rglob("*") if len(path.name) == 24}


def wait_for_archived(daemon: Daemon, segment: str) -> None:
    """In the catalogue: the file is there a moment earlier, and a restore asks the catalogue."""
    eventually(lambda: (server_status(daemon)["last_archived_wal"] or "") >= segment)


# ----------------------------------------------------------------------------- a backup's journey


def test_a_backup_under_load_is_followed_to_its_end(
    daemon: Daemon, cluster: Cluster, home: Path
) -> None:
    cluster.pgbench_init()
    with cluster.pgbench(), follow(daemon, bwlimit=10_000) as followed:
        view = followed.result()["backups"][0]
    assert followed.statuses == LIFE
    assert followed.views("WAITING_FOR_WALS")[0]["progress"]["phase"] == "waiting for WAL"
    assert "copying" in followed.phases
    assert_progress_grows(followed.notes)
    assert_positions_are_true(view, home)
    assert view["missing_wals"] == []
    assert view["size_bytes"] > 20 * MEGABYTE
    assert view["error"] is None
    assert show(daemon) == judged(daemon, view)
    assert [r["backup_id"] for r in daemon.log_records("backup started")] == [view["backup_id"]]
    (record,) = daemon.log_records("backup done")
    assert (record["begin_lsn"], record["end_lsn"]) == (view["begin_lsn"], view["end_lsn"])
    assert record["bytes"] == view["size_bytes"]


def assert_progress_grows(notes: list[Json]) -> None:
    told = [note["params"]["progress"] for note in notes if note["method"] == "progress"]
    counts = [each["bytes_done"] for each in told if each["bytes_done"]]
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert all(each["bytes_done"] <= each["bytes_total"] for each in told if each["bytes_done"])
    assert any(each["bytes_per_second"] for each in told)


def assert_positions_are_true(view: Json, home: Path) -> None:
    data = home / "base" / view["backup_id"] / "data"
    label = (data / "backup_label").read_text()
    begun = re.search(r"START WAL LOCATION: (\S+) \(file (\w+)\)", label)
    assert begun is not None
    (covered,) = json.loads((data / "backup_manifest").read_text())["WAL-Ranges"]
    assert (view["begin_lsn"], view["begin_wal"]) == begun.groups()
    assert view["begin_lsn"] == covered["Start-LSN"]
    assert view["end_lsn"] == covered["End-LSN"]
    assert view["timeline"] == covered["Timeline"]
    assert view["begin_time"] < view["end_time"] <= view["copied_at"] <= view["ended_at"]


def test_a_backup_lies_on_disk_as_barman_lays_it(daemon: Daemon, home: Path) -> None:
    view = done(daemon, name="a name")
    identifier = view["backup_id"]
    assert {path.name for path in home.iterdir()} >= {
        *("base", "meta", "wals", "incoming", "streaming", "errors", "identity.json")
    }
    assert {path.name for path in (home / "base" / identifier).iterdir()} == {"data"}
    assert (home / "base" / identifier / "data" / "PG_VERSION").is_file()
    assert {path.name for path in (home / "meta").iterdir()} == {
        f"{identifier}-backup.info",
        f"{identifier}-barmand.json",
    }
    info = (home / "meta" / f"{identifier}-backup.info").read_text()
    for line in (
        "backup_name=a name",
        "status=DONE",
        f"begin_xlog={view['begin_lsn']}",
        f"end_xlog={view['end_lsn']}",
        f"begin_wal={view['begin_wal']}",
        f"end_wal={view['end_wal']}",
    ):
        assert line in info.splitlines()
    assert (home / "wals" / view["end_wal"][:16] / view["end_wal"]).is_file()
    identity = json.loads((home / "identity.json").read_text())
    assert identity["systemid"] == view["system_id"]


def test_the_backup_of_an_idle_server_ends_too(daemon: Daemon, cluster: Cluster) -> None:
    before = cluster.psql("SELECT pg_current_wal_lsn()")
    first, second = done(daemon), done(daemon)
    assert first["backup_id"] < second["backup_id"]
    written = lsn(cluster.psql("SELECT pg_current_wal_lsn()")) - lsn(before)
    assert written <= 5 * 16 * MEGABYTE  # no more segments were closed than the two of each


def test_pushed_wal_makes_a_backup_done(
    make_cluster: Callable[..., Cluster],
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    home: Path,
) -> None:
    command = f"cp %p {home}/incoming/%f"
    cluster = make_cluster(archive_mode="on", archive_command=command)
    daemon = daemon_for(cluster, **PUSHED)
    cluster.psql("CREATE TABLE marker AS SELECT 'here' AS word")
    view = done(daemon)
    wait_for_archived(daemon, view["end_wal"])
    assert not [name for name in (home / "incoming").iterdir() if len(name.name) == 24]
    copy = restored(daemon, clusters, folder / "copy")
    assert copy.psql("SELECT word FROM marker") == "here"


def test_small_segments_are_counted_right(
    make_cluster: Callable[..., Cluster],
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
) -> None:
    cluster = make_cluster(wal_segsize=1)
    daemon = streaming(daemon_for(cluster))
    cluster.pgbench_init()
    with cluster.pgbench(), follow(daemon, bwlimit=10_000) as followed:
        view = followed.result()["backups"][0]
    assert view["status"] == "DONE"
    assert view["wal_segment_size_bytes"] == MEGABYTE
    assert int(view["begin_wal"][16:], 16) == lsn(view["begin_lsn"]) // MEGABYTE
    assert int(view["end_wal"][16:], 16) == (lsn(view["end_lsn"]) - 1) // MEGABYTE
    assert view["begin_wal"] < view["end_wal"]
    copy = restored(daemon, clusters, folder / "copy", target_immediate=True)
    assert len(pgbench_sums(copy)) == 1
    cluster.psql("CREATE TABLE marker ()")
    wait_for_archived(daemon, cluster.switch_wal())
    later = restored(daemon, clusters, folder / "later")
    assert later.psql("SELECT to_regclass('marker')") == "marker"


# ---------------------------------------------------------------------------------------- restore


def test_a_restore_to_the_end_has_what_came_after_the_backup(
    daemon: Daemon, cluster: Cluster, clusters: Clusters, folder: Path
) -> None:
    cluster.pgbench_init()
    with cluster.pgbench():
        done(daemon)
        cluster.psql("CREATE TABLE marker AS SELECT 42 AS answer")
    sums = pgbench_sums(cluster)
    wait_for_archived(daemon, cluster.switch_wal())
    copy = restored(daemon, clusters, folder / "copy")
    assert copy.psql("SELECT answer FROM marker") == "42"
    assert pgbench_sums(copy) == sums
    assert copy.psql("SHOW archive_mode") == "off"
    assert [r["level"] for r in daemon.log_records("restore done")] == ["info"]


def test_a_restored_cluster_never_writes_into_the_archive(
    make_cluster: Callable[..., Cluster],
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    home: Path,
) -> None:
    """Its postgresql.conf came with the backup, archive_command and all."""
    command = f"cp %p {home}/incoming/%f"
    cluster = make_cluster(archive_mode="always", archive_command=command)
    daemon = daemon_for(cluster, **PUSHED)
    done(daemon)
    cluster.stop()
    daemon.stop()
    before = everything_in(home)
    daemon.start()
    copy = restored(daemon, clusters, folder / "copy", target_immediate=True)
    assert copy.psql(
        "SELECT name, setting FROM pg_settings WHERE name ~ '^archive_(mode|command)'"
    ) == ("archive_command|(disabled)\narchive_mode|off")
    assert copy.psql("SELECT timeline_id FROM pg_control_checkpoint()") == "2"
    copy.switch_wal()
    copy.psql("CHECKPOINT")
    copy.stop()
    daemon.stop()
    assert everything_in(home) == before


def test_an_immediate_target_stops_where_the_backup_ends(
    daemon: Daemon, cluster: Cluster, clusters: Clusters, folder: Path
) -> None:
    cluster.pgbench_init()
    cluster.psql("CREATE TABLE before_it ()")
    with cluster.pgbench():
        done(daemon)
    cluster.psql("CREATE TABLE behind_it ()")
    wait_for_archived(daemon, cluster.switch_wal())
    copy = restored(daemon, clusters, folder / "copy", target_immediate=True)
    assert copy.psql("SELECT to_regclass('before_it'), to_regclass('behind_it')") == "before_it|"
    assert len(pgbench_sums(copy)) == 1
    copy.psql("CREATE TABLE it_takes_writes ()")


def test_a_restore_that_cannot_succeed_writes_nothing(
    daemon: Daemon, folder: Path, home: Path
) -> None:
    first = done(daemon)
    full, empty = folder / "full", folder / "empty"
    full.mkdir()
    (full / "mine").write_text("precious")

    def why_not(backup: str, destination: Path, **params: object) -> str:
        error = refusal(
            daemon,
            "restore",
            **{"server": "main", "backup": backup, "destination": str(destination)} | params,
        )
        assert error["exit_code"] in (3, 4), error
        message: str = error["message"]
        return message

    assert "is not empty" in why_not("last", full)
    assert "no tablespace 'odd'" in why_not("last", empty, tablespaces={"odd": str(folder)})
    assert "barmand's own ground" in why_not("last", home / "here")
    daemon.expects("backup failed")
    with held_copy(daemon) as (_, failed):
        ask(daemon, "cancel", server="main")
    assert "is FAILED: not restorable" in why_not(failed, empty)
    gone = home / "wals" / first["begin_wal"][:16] / first["begin_wal"]
    gone.rename(folder / gone.name)
    daemon.expects("archived WAL lost or damaged")
    assert first["begin_wal"] in why_not(first["backup_id"], empty, target_immediate=True)
    assert everything_in(full) == {"mine": b"precious"}
    assert not empty.exists()


def test_a_segment_missing_behind_the_backup_refuses_the_end_but_not_the_backup(
    dammed_daemon: Daemon, dammed: Cluster, dam: Dam, clusters: Clusters, folder: Path
) -> None:
    with follow(dammed_daemon) as followed:
        followed.until_status("WAITING_FOR_WALS")
        dam.open()
        followed.result()
    lost, last = dammed.switch_wal(), dammed.switch_wal()
    dam.let_go(last)
    eventually(lambda: server_status(dammed_daemon)["last_archived_wal"] == last)
    destination = str(folder / "copy")
    error = refusal(dammed_daemon, "restore", server="main", backup="last", destination=destination)
    assert error["exit_code"] == 4
    assert lost in error["message"]
    assert not Path(destination).exists()
    copy = restored(dammed_daemon, clusters, folder / "copy", target_immediate=True)
    assert copy.psql("SELECT 1") == "1"


def long_to_restore(home: Path, backup: str) -> None:
    """As a cluster with many tables would be."""
    many = home / "base" / backup / "data" / "many"
    many.mkdir()
    for number in range(12_000):
        (many / str(number)).write_bytes(b"x")


def test_a_running_restore_holds_its_backup_and_is_cancelled_without_a_trace(
    daemon: Daemon, clusters: Clusters, folder: Path, home: Path
) -> None:
    identifier = done(daemon)["backup_id"]
    long_to_restore(home, identifier)
    destination = folder / "copy"
    of_it: Json = {"server": "main", "backup": identifier}
    with daemon.rpc() as rpc:
        number = rpc.request("restore", **of_it, destination=str(destination))
        while "copying" not in str(rpc.read()):
            pass
        error = refusal(daemon, "delete", **of_it)
        assert (error["exit_code"], str(destination) in error["message"]) == (4, True)
        daemon.expects("restore failed")
        ask(daemon, "cancel", **of_it)
        while (answer := rpc.read()).get("id") != number:
            pass
        assert answer["error"]["data"]["exit_code"] == 11
    assert everything_in(destination) == {}
    restored(daemon, clusters, destination)
    ask(daemon, "delete", **of_it)


def test_a_tablespace_is_restored_elsewhere_and_the_live_one_is_not_touched(
    cluster: Cluster, daemon: Daemon, clusters: Clusters, folder: Path, home: Path
) -> None:
    live, moved = folder / "live space", folder / "moved"
    live.mkdir(mode=0o700)
    cluster.psql(f"CREATE TABLESPACE odd LOCATION '{live}'")
    cluster.psql("CREATE TABLE kept TABLESPACE odd AS SELECT generate_series(1, 1000) AS number")
    view = done(daemon)
    (space,) = view["tablespaces"]
    assert (space["name"], space["location"]) == ("odd", str(live))
    assert (home / "base" / view["backup_id"] / str(space["oid"])).is_dir()
    cluster.stop()
    before = {name: sha256(data).digest() for name, data in everything_in(live).items()}
    unasked = refusal(
        daemon, "restore", server="main", backup="last", destination=str(folder / "copy")
    )
    assert "tablespace 'odd' needs a place" in unasked["message"]
    assert str(live) in unasked["hint"]
    in_place = refusal(
        daemon,
        "restore",
        server="main",
        backup="last",
        destination=str(folder / "copy"),
        tablespaces={"odd": str(live)},
    )
    assert str(live) in in_place["message"]
    assert not (folder / "copy").exists()
    copy = restored(daemon, clusters, folder / "copy", tablespaces={"odd": str(moved)})
    assert copy.psql("SELECT sum(number) FROM kept") == "500500"
    assert copy.psql(
        "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'odd'"
    ) == (str(moved))
    copy.psql("INSERT INTO kept VALUES (1); CHECKPOINT")
    assert {name: sha256(data).digest() for name, data in everything_in(live).items()} == before


# ----------------------------------------------------------------------------------------- delete


def test_a_deletion_takes_the_wal_that_only_that_backup_needed(
    daemon: Daemon, cluster: Cluster, clusters: Clusters, folder: Path, home: Path
) -> None:
    first = done(daemon)
    between = cluster.switch_wal()
    second = done(daemon)
    wait_for_archived(daemon, second["end_wal"])
    assert {first["begin_wal"], between} <= archived(home)
    told = ask(daemon, "delete", server="main", backup=first["backup_id"])
    assert told["removed_wals"] > 0
    assert not archived(home) & {first["begin_wal"], between}
    assert second["begin_wal"] in archived(home)
    assert not (home / "base" / first["backup_id"]).exists()
    assert [view["backup_id"] for view in backups(daemon)] == [second["backup_id"]]
    cluster.psql("CREATE TABLE marker ()")
    wait_for_archived(daemon, cluster.switch_wal())
    copy = restored(daemon, clusters, folder / "copy")
    assert copy.psql("SELECT to_regclass('marker')") == "marker"


def test_a_deletion_of_the_newest_leaves_the_older_one_whole(
    daemon: Daemon, clusters: Clusters, folder: Path
) -> None:
    first, second = done(daemon), done(daemon)
    ask(daemon, "delete", server="main", backup=second["backup_id"])
    assert show(daemon, "last") == first
    restored(daemon, clusters, folder / "copy")


def test_a_backup_under_way_is_not_deleted(daemon: Daemon) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (_, identifier):
        error = refusal(daemon, "delete", server="main", backup=identifier)
        assert error["exit_code"] == 4
        ask(daemon, "cancel", server="main")
    ask(daemon, "delete", server="main", backup=identifier)
    assert backups(daemon) == []


def test_minimum_redundancy_is_kept(cluster: Cluster, daemon_for: Callable[..., Daemon]) -> None:
    daemon = streaming(daemon_for(cluster, minimum_redundancy=1))
    only = done(daemon)
    error = refusal(daemon, "delete", server="main", backup="last")
    assert (error["exit_code"], "minimum_redundancy" in error["message"]) == (4, True)
    assert becomes(daemon, "DONE", only["backup_id"]) == only
