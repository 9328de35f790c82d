"""The catalogue is an index: without its file the same one is read from what lies on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import (
    Dam,
    Json,
    ask,
    backups,
    becomes,
    done,
    follow,
    held_copy,
    restored,
    server_status,
    show,
    streaming,
)
from support.daemon import Daemon, ini
from support.postgres import Cluster, Clusters
from support.waiting import eventually


def state_files(daemon: Daemon) -> list[Path]:
    found = sorted((daemon.folder.parent / "state").glob("barmand.db*"))
    assert found
    return found


def lose_the_state(daemon: Daemon) -> None:
    for path in state_files(daemon):
        path.unlink()


def facts_of_wal(daemon: Daemon) -> Json:
    status = server_status(daemon)
    return {
        key: status[key]
        for key in (
            *("archived_wals", "last_archived_wal", "done_backups", "failed_backups"),
            *("waiting_backups", "last_backup"),
        )
    }


def test_a_lost_state_file_is_made_again_from_disk(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam
) -> None:
    daemon = dammed_daemon
    for _ in range(3):
        dammed.switch_wal()
    with follow(daemon, name="a name é") as followed:
        followed.until_status("WAITING_FOR_WALS")
        dam.open()
        followed.result()
    eventually(lambda: daemon.log_records("WAL removed"))  # what lay before the first backup
    for _ in range(3):
        dammed.switch_wal()
    daemon.expects("backup failed")
    with held_copy(daemon):
        ask(daemon, "cancel", server="main")
    with follow(daemon, follow="copied") as followed:
        followed.result()
    dam.let_go(*dam.held()[:3])
    eventually(lambda: server_status(daemon)["archived_wals"] > 3)
    before, wal, servers = (
        backups(daemon),
        facts_of_wal(daemon),
        ask(daemon, "show-servers", servers=["main"], live=False),
    )
    assert [view["status"] for view in before] == ["WAITING_FOR_WALS", "FAILED", "DONE"]
    assert wal["archived_wals"] > 3
    assert daemon.stop() == 0
    lose_the_state(daemon)
    daemon.start()
    assert backups(daemon) == before
    assert facts_of_wal(daemon) == wal
    assert ask(daemon, "show-servers", servers=["main"], live=False) == servers
    dam.open()
    becomes(daemon, "DONE", before[0]["backup_id"])
    with follow(daemon, follow="copied") as followed:
        (view,) = followed.result()["backups"]
    assert view["backup_id"] > before[0]["backup_id"]


def test_a_gap_in_the_archive_is_found_again(
    dammed: Cluster, dammed_daemon: Daemon, dam: Dam, home: Path
) -> None:
    first, lost, last = (dammed.switch_wal() for _ in range(3))
    dam.let_go(first, last)
    eventually((home / "wals" / last[:16] / last).exists)
    eventually(lambda: server_status(dammed_daemon)["archived_wals"] == 2)
    dammed_daemon.stop()
    lose_the_state(dammed_daemon)
    dammed_daemon.start()
    assert server_status(dammed_daemon)["archived_wals"] == 2
    dam.let_go(lost)
    eventually(lambda: server_status(dammed_daemon)["archived_wals"] == 3)


def test_what_a_kill_left_unfinished_is_failed_without_the_state_file_too(
    daemon: Daemon, clusters: Clusters, folder: Path
) -> None:
    with held_copy(daemon) as (_, identifier):
        daemon.kill9()
    lose_the_state(daemon)
    streaming(daemon.start())
    view = show(daemon, identifier)
    assert (view["status"], view["error"]["code"]) == ("FAILED", "Stopped")
    done(daemon)
    restored(daemon, clusters, folder / "copy")


def test_a_home_as_barman_leaves_it_is_adopted(
    daemon: Daemon, cluster: Cluster, clusters: Clusters, home: Path, folder: Path
) -> None:
    """Barman's home has no cards, but an index of WAL and lock files."""
    cluster.psql("CREATE TABLE marker ()")
    done(daemon, name="theirs")
    done(daemon)
    before = backups(daemon)
    daemon.stop()
    lose_the_state(daemon)
    for card in (home / "meta").glob("*-barmand.json"):
        card.unlink()
    (home / "wals" / "xlog.db").write_text("000000010000000000000001\t16777216\t1.0\tNone\n")
    (home.parent / ".main-cron.lock").write_text("")
    daemon.start()
    after = backups(daemon)
    known_to_barman = (
        *("server", "backup_id", "name", "status", "method", "begin_lsn", "end_lsn", "begin_wal"),
        *("end_wal", "begin_time", "end_time", "timeline", "size_bytes", "system_id", "pgdata"),
    )
    assert [[view[key] for key in known_to_barman] for view in after] == [
        [view[key] for key in known_to_barman] for view in before
    ]
    streaming(daemon)
    copy = restored(daemon, clusters, folder / "copy", backup="theirs")
    assert copy.psql("SELECT to_regclass('marker')") == "marker"
    assert done(daemon)["backup_id"] > before[0]["backup_id"]


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all\n" * 1000)


def _one_page_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)


@pytest.mark.parametrize("damage", [_garbage, _one_page_overwritten])
def test_a_damaged_state_file_is_refused_with_the_way_out(
    damage: Callable[[Path], None], make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {})).start()
    daemon.stop()
    path, *_ = state_files(daemon)
    damage(path)
    damaged = path.read_bytes()
    daemon.expects("state database")
    daemon.expects("hint: Stop barmand, move the file")
    daemon.launch()
    assert daemon.wait() == 8
    complaint, hint = daemon.log.splitlines()[-2:]
    assert complaint.startswith("barmand: state database")
    assert "move the file" in hint
    assert path.read_bytes() == damaged
    path.rename(path.with_name("aside"))
    daemon.start()
