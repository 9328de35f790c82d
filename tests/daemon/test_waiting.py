"""A backup waits for its WAL: it says for which, never gives up, and is done when it comes."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from daemon.asking import (
    LIFE,
    PUSHED,
    Dam,
    Json,
    ask,
    backups,
    becomes,
    follow,
    refusal,
    restored,
    server_status,
    show,
)
from support.daemon import Daemon
from support.postgres import Cluster, Clusters
from support.waiting import eventually


def waiting(daemon: Daemon) -> Json:
    """A new backup whose copy is whole and whose WAL is held back."""
    with follow(daemon, follow="copied") as followed:
        (view,) = followed.result()["backups"]
    assert view["status"] == "WAITING_FOR_WALS"
    assert view["missing_wals"]
    return view


def names_between(first: str, last: str) -> list[str]:
    """Of segments of 16 MB, within one directory of the archive."""
    return [f"{number:024X}" for number in range(int(first, 16), int(last, 16) + 1)]


def check(daemon: Daemon, backup: str) -> Json:
    return ask(daemon, "check-backup", server="main", backup=backup)


def test_every_step_of_a_backup_is_told_to_who_follows_it(dammed_daemon: Daemon, dam: Dam) -> None:
    with follow(dammed_daemon) as followed:
        view = followed.until_status("WAITING_FOR_WALS")
        assert view["missing_wals"] == names_between(view["begin_wal"], view["end_wal"])
        assert view["progress"]["phase"] == "waiting for WAL"
        dam.let_go(*view["missing_wals"])
        (ended,) = followed.result()["backups"]
    assert followed.statuses == LIFE
    assert (ended["status"], ended["missing_wals"]) == ("DONE", [])


def test_waiting_backups_name_their_missing_segments(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam, clusters: Clusters, folder: Path
) -> None:
    first, second = waiting(dammed_daemon), waiting(dammed_daemon)
    ids = [first["backup_id"], second["backup_id"]]
    assert server_status(dammed_daemon)["waiting_backups"] == ids
    for view in (first, second):
        needed = names_between(view["begin_wal"], view["end_wal"])
        for asked in (
            show(dammed_daemon, view["backup_id"]),
            check(dammed_daemon, view["backup_id"])["backup"],
        ):
            assert asked["status"] == "WAITING_FOR_WALS"
            assert asked["missing_wals"] == needed
            assert asked["missing_wal_count"] == len(needed)
        told = [
            r
            for r in dammed_daemon.log_records("backup waits for WAL")
            if r["backup_id"] == view["backup_id"]
        ]
        assert [r["segments"] for r in told] == [needed]  # once, not at each look
    assert check(dammed_daemon, ids[0])["exit_code"] == 5
    dam.let_go(second["end_wal"])
    becomes(dammed_daemon, "DONE", ids[1])
    assert show(dammed_daemon, ids[0])["status"] == "WAITING_FOR_WALS"
    dam.open()
    becomes(dammed_daemon, "DONE", ids[0])
    assert check(dammed_daemon, ids[0])["exit_code"] == 0
    assert restored(dammed_daemon, clusters, folder / "copy").psql("SELECT 1") == "1"
    assert dammed.is_running


def test_one_late_segment_makes_two_backups_done_at_once(
    dammed_daemon: Daemon, dam: Dam, home: Path
) -> None:
    """Two that need the same segment: PostgreSQL makes those on a standby only, so the second is
    adopted from a copy of the first's files.
    """
    first = waiting(dammed_daemon)
    dammed_daemon.stop()
    twin = _copied_under_the_next_id(home, first["backup_id"])
    dammed_daemon.start()
    ids = [first["backup_id"], twin]
    assert server_status(dammed_daemon)["waiting_backups"] == ids
    dam.let_go(first["end_wal"])
    ended = [becomes(dammed_daemon, "DONE", backup) for backup in ids]
    status = server_status(dammed_daemon)
    assert status["last_archived_wal"] == first["end_wal"]
    archived_at = datetime.fromisoformat(status["last_archived_at"])
    for view in ended:
        seconds = (datetime.fromisoformat(view["ended_at"]) - archived_at).total_seconds()
        assert 0 <= seconds < 10  # benchmarks tell how soon; the poll comes after 30


def _copied_under_the_next_id(home: Path, backup_id: str) -> str:
    twin = f"{backup_id[:9]}{int(backup_id[9:]) + 1:06}"
    if not twin[9:] < "235959" or int(twin[13:]) > 59 or int(twin[11:13]) > 59:
        twin = f"{int(backup_id[:8]) + 1}T000000"
    shutil.copytree(home / "base" / backup_id, home / "base" / twin)
    for path in list((home / "meta").glob(f"{backup_id}-*")):
        shutil.copy(path, path.with_name(path.name.replace(backup_id, twin)))
    return twin


def test_a_segment_missing_in_the_middle_is_waited_for_and_heals(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam
) -> None:
    dammed.psql("CREATE TABLE filler (word text)")
    with follow(dammed_daemon, bwlimit=10_000) as followed:
        followed.until_phase("copying")
        for _ in range(3):
            dammed.switch_wal()
        view = followed.until_status("WAITING_FOR_WALS")
        first, *middle, last = names_between(view["begin_wal"], view["end_wal"])
        assert len(middle) >= 2
        dam.let_go(last, first, *middle[1:])
        eventually(lambda: show(dammed_daemon)["missing_wals"] == middle[:1])
        eventually(
            lambda: (
                [r["segments"] for r in dammed_daemon.log_records("backup waits for WAL")][-1:]
                == [middle[:1]]
            )
        )
        error = refusal(
            dammed_daemon,
            "restore",
            server="main",
            backup="last",
            destination="/nowhere",
        )
        assert middle[0] in error["message"]
        dam.let_go(middle[0])
        assert followed.result()["backups"][0]["status"] == "DONE"
    assert "FAILED" not in followed.statuses


def test_a_wait_that_ends_leaves_the_backup_waiting(dammed_daemon: Daemon, dam: Dam) -> None:
    with follow(dammed_daemon, wait_timeout=0.5) as followed:
        result = followed.result()
    assert result["exit_code"] == 12
    (view,) = result["backups"]
    assert view["status"] == "WAITING_FOR_WALS"
    (problem,) = result["problems"]
    assert problem["error"]["code"] == "WaitTimeout"
    assert view["missing_wals"][0] in problem["error"]["message"]
    dam.let_go(*view["missing_wals"])
    becomes(dammed_daemon, "DONE", view["backup_id"])


def test_barmanctl_tells_of_the_wait_that_ended(dammed_daemon: Daemon, dam: Dam) -> None:
    told = dammed_daemon.ctl("backup", "main", "--wait", "--wait-timeout", "1", check=False)
    assert told.returncode == 12, told
    (view,) = backups(dammed_daemon)
    assert view["missing_wals"][0] in told.stdout + told.stderr
    dam.open()
    becomes(dammed_daemon, "DONE", view["backup_id"])


def test_a_segment_that_no_event_told_of_is_found_by_the_poll(
    dammed: Cluster, dam: Dam, home: Path, daemon_for: Callable[..., Daemon]
) -> None:
    """inotify sees nothing of what lies there already when a directory is mounted over, say."""
    daemon = daemon_for(dammed, start=False, **PUSHED)
    daemon.config.write_text(
        daemon.config.read_text().replace("[barmand]", "[barmand]\nwal_poll_interval = 1", 1)
    )
    daemon.start()
    view = waiting(daemon)
    eventually(lambda: all(dam.holds(name) for name in view["missing_wals"]))
    (home / "incoming").rename(home / "watched")  # the watch goes with it
    (home / "incoming").mkdir()
    dam.open()
    becomes(daemon, "DONE", view["backup_id"])


def test_wal_that_came_while_the_daemon_was_down_makes_the_backup_done(
    dammed_daemon: Daemon, dam: Dam
) -> None:
    view = waiting(dammed_daemon)
    dammed_daemon.kill9()
    dam.let_go(*view["missing_wals"])
    dammed_daemon.start()
    becomes(dammed_daemon, "DONE", view["backup_id"])
