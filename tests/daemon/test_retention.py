"""Retention by itself, on a real cluster: the oldest goes unless it is kept."""

import json
from collections.abc import Callable
from pathlib import Path

from daemon.asking import ask, backups, becomes, done, refusal, restored, server_status, streaming
from support.daemon import Daemon
from support.postgres import Cluster, Clusters
from support.waiting import eventually


def archived(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "wals").rglob("*") if len(path.name) == 24)


def ids(daemon: Daemon) -> list[str]:
    """Oldest first."""
    return [view["backup_id"] for view in reversed(backups(daemon))]


def test_with_redundancy_2_the_third_backup_makes_the_first_go_with_its_wal(
    cluster: Cluster,
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    home: Path,
) -> None:
    daemon = streaming(daemon_for(cluster, retention_policy="REDUNDANCY 2"))
    cluster.psql("CREATE TABLE told (number int)")
    taken = []
    for number in (1, 2):
        cluster.psql(f"INSERT INTO told VALUES ({number})")  # noqa: S608 - a number of ours
        taken.append(done(daemon))
    first, second = taken
    # Kept meanwhile, by an operator at his terminal; nobody keeps it without a word.
    wish = {"server": "main", "backup": "first", "action": "set", "target": "full"}
    assert "is blank" in refusal(daemon, "keep", **wish, reason=" ")["message"]
    words = ("keep", "main", first["backup_id"], "--target", "full", "--reason", "the audit")
    assert "kept full" in daemon.ctl(*words).stdout
    assert (home / "meta" / f"{first['backup_id']}-keep").read_text() == "full"
    third = done(daemon)
    kept = [first["backup_id"], second["backup_id"], third["backup_id"]]
    assert [view["retention"] for view in backups(daemon)] == ["VALID", "VALID", "KEEP:FULL"]
    assert "is kept" in refusal(daemon, "delete", server="main", backup="first")["message"]
    assert ids(daemon) == kept

    assert "released" in daemon.ctl("keep", "main", "first", "--release").stdout
    eventually(lambda: ids(daemon) == kept[1:])
    assert not (home / "base" / first["backup_id"]).exists()
    eventually(lambda: archived(home)[0] == second["begin_wal"])
    told = json.loads(daemon.ctl("-f", "json", "retention", "main", "--dry-run").stdout)
    assert told["policy"] == "REDUNDANCY 2"
    assert told["hindrance"] is None
    assert told["forecast"]["backup_ids"] == []
    assert [view["retention"] for view in told["backups"]] == ["VALID", "VALID"]
    cluster.psql("INSERT INTO told VALUES (3)")
    last = cluster.switch_wal()
    eventually(lambda: server_status(daemon)["last_archived_wal"] >= last)
    copy = restored(daemon, clusters, folder / "copy", third["backup_id"])
    assert copy.psql("SELECT sum(number) FROM told") == "6"


def test_a_policy_that_comes_with_a_reload_is_foretold_and_then_carried_out(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    daemon = streaming(daemon_for(cluster, minimum_redundancy=2))
    for _ in range(3):
        done(daemon)
    before = ids(daemon)
    text = daemon.config.read_text()
    # Paused, the policy is judged and not carried out.
    policy = "minimum_redundancy = 2\nretention_policy = REDUNDANCY 1\n"
    paused = text.replace("minimum_redundancy = 2", f"{policy}active = off")
    daemon.config.write_text(paused)
    warned = ask(daemon, "reload")["warnings"]
    assert any("the newest 2 stay" in warning for warning in warned)
    told = ask(daemon, "retention", server="main", dry_run=True)
    assert [view["retention"] for view in told["backups"]] == ["VALID", "OBSOLETE*", "OBSOLETE"]
    forecast = told["forecast"]
    assert forecast["backup_ids"] == before[:1]
    assert forecast["size_bytes"] > 1 << 20
    assert forecast["wals"] >= 1
    assert ids(daemon) == before

    daemon.config.write_text(paused.replace("active = off", ""))
    ask(daemon, "reload")
    eventually(lambda: ids(daemon) == before[1:])
    assert becomes(daemon, "DONE", before[-1])
