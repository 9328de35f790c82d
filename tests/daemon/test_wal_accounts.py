"""WAL that is missing is told everywhere at once, acknowledged by whom and why, and healed."""

from collections.abc import Callable
from pathlib import Path

from daemon.asking import PUSHED, Dam, Json, ask, done, refusal, server_status, show
from support.daemon import Daemon
from support.postgres import Cluster
from support.waiting import eventually


def gaps(daemon: Daemon, **params: object) -> list[Json]:
    found: list[Json] = ask(daemon, "wal-gaps", server="main", **params)["gaps"]
    return found


def verdict(daemon: Daemon, name: str) -> Json:
    (server,) = ask(daemon, "check", servers=["main"])["servers"]
    (finding,) = [each for each in server["findings"] if each["name"] == name]
    return dict(finding)


def write_segments(cluster: Cluster, count: int) -> None:
    for _ in range(count):
        cluster.psql("CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t VALUES (1)")
        cluster.psql("SELECT pg_switch_wal()")


def held_back(dam: Dam, count: int) -> list[str]:
    """The names of segments that PostgreSQL has archived and barmand has not."""
    names = eventually(lambda: found if len(found := dam.held()) >= count else None)
    return sorted(names or [])


def test_a_gap_is_told_everywhere_acknowledged_and_healed(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam
) -> None:
    write_segments(dammed, 4)
    first, *middle, last = held_back(dam, 4)
    dam.let_go(first)
    eventually(lambda: server_status(dammed_daemon)["archived_wals"] == 1)
    assert verdict(dammed_daemon, "WAL gaps")["ok"]
    dam.let_go(last)
    (gap,) = eventually(lambda: gaps(dammed_daemon)) or []
    assert (gap["first_wal"], gap["last_wal"]) == (middle[0], middle[-1])
    assert (gap["state"], gap["segments"]) == ("open", len(middle))
    assert server_status(dammed_daemon)["wal_gaps"] == [gap]
    assert not verdict(dammed_daemon, "WAL gaps")["ok"]
    assert middle[0] in dammed_daemon.ctl("wal-gaps", "main").stdout

    blank = refusal(dammed_daemon, "acknowledge-gap", server="main", gap=gap["id"], reason=" \t")
    assert (blank["exit_code"], "is blank" in blank["message"]) == (2, True)
    assert gaps(dammed_daemon) == [gap]
    told = dammed_daemon.ctl("acknowledge-gap", "main", str(gap["id"]), "--reason", "disk died")
    assert told.returncode == 0
    (known,) = gaps(dammed_daemon)
    assert (known["state"], known["reason"]) == ("acknowledged", "disk died")
    assert verdict(dammed_daemon, "WAL gaps")["ok"]

    dam.let_go(*middle)
    eventually(lambda: gaps(dammed_daemon) == [])
    assert {each["state"] for each in gaps(dammed_daemon, all=True)} == {"healed"}
    error = refusal(dammed_daemon, "acknowledge-gap", server="main", gap=gap["id"], reason="x")
    assert error["exit_code"] in {3, 4}


def test_a_gap_behind_a_backup_is_told_by_that_backup_and_does_not_keep_from_the_next(
    cluster: Cluster, daemon: Daemon, home: Path
) -> None:
    old = done(daemon)
    write_segments(cluster, 3)
    names = eventually(lambda: _archived(home, 3, behind=old["end_wal"])) or []
    (home / "wals" / names[1][:16] / names[1]).unlink()
    told = ask(daemon, "rebuild", server="main")
    assert (told["lost_wals"], told["adopted_wals"]) == (1, 0)
    (gap,) = show(daemon, old["backup_id"])["wal_gaps"]
    assert (gap["first_wal"], gap["segments"]) == (names[1], 1)
    new = done(daemon)
    assert show(daemon, new["backup_id"])["wal_gaps"] == []


def test_limits_of_age_and_queue_are_checked(
    cluster: Cluster, daemon_for: Callable[..., Daemon], home: Path
) -> None:
    limits = {"max_incoming_wals_queue": "0", "last_wal_maximum_age": "1 HOUR"}
    daemon = daemon_for(cluster, **PUSHED, **limits)
    assert verdict(daemon, "wal maximum age")["hint"] == "none yet"
    assert verdict(daemon, "incoming WALs directory")["ok"]
    # A file that nobody can take in for now waits: its writer has not finished it.
    (home / "incoming" / "000000010000000000000001").write_bytes(b"")
    assert not verdict(daemon, "incoming WALs directory")["ok"]


def test_rebuild_takes_in_what_lies_in_the_archive_and_no_row_tells_of(
    cluster: Cluster, daemon: Daemon, home: Path
) -> None:
    view = done(daemon)
    write_segments(cluster, 2)
    names = eventually(lambda: _archived(home, 2, behind=view["end_wal"])) or []
    lost = home / "wals" / names[0][:16] / names[0]
    content = lost.read_bytes()
    lost.unlink()
    assert ask(daemon, "rebuild", server="main")["lost_wals"] == 1
    lost.write_bytes(content)
    told = daemon.ctl("rebuild", "main")
    assert "1 WAL segments were on disk and not in the catalogue" in told.stdout
    assert gaps(daemon) == []


def _archived(home: Path, count: int, *, behind: str) -> list[str] | None:
    """The archived segments behind that one, once there are so many."""
    found = sorted(
        path.name
        for path in (home / "wals").glob("*/*")
        if len(path.name) == len(behind) and path.name > behind
    )
    return found if len(found) >= count else None
