"""Backups are queued, cancelled, retried and refused; each says why, and harms no other."""

import os
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest

from daemon.asking import (
    SLOWEST,
    Json,
    ask,
    backups,
    becomes,
    copiers,
    done,
    follow,
    held_copy,
    programs_of,
    refusal,
    restored,
    show,
    streaming,
    walsenders,
)
from support.daemon import Daemon, Options, ini, server_options
from support.postgres import Cluster, Clusters
from support.waiting import eventually

Many = Callable[..., Daemon]


@pytest.fixture
def daemon_of(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> Callable[..., Daemon]:
    """A daemon with several servers, all of them the same cluster with a slot each."""

    def make(*names: str, more: dict[str, Options] | None = None, **common: str | int) -> Daemon:
        servers = {name: server_options(cluster, slot_name=f"slot_{name}") for name in names}
        text = ini(folder, servers | (more or {}), **common)
        return streaming(make_daemon(text).start(), *names)

    return make


# ----------------------------------------------------------------------------------------- cancel


def test_a_cancel_in_mid_copy_stops_it_and_frees_the_server(
    daemon: Daemon, cluster: Cluster, folder: Path
) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (followed, identifier):
        begun = monotonic()
        view = ask(daemon, "cancel", server="main")["backup"]
        assert monotonic() - begun < 10
        assert (view["backup_id"], view["status"]) == (identifier, "FAILED")
        assert view["error"]["code"] == "Stopped"
        assert "cancelled by " in view["error"]["message"]
        assert followed.result()["exit_code"] == 11
    assert not copiers(folder)
    eventually(lambda: not walsenders(cluster))
    assert refusal(daemon, "cancel", server="main")["exit_code"] == 3
    done(daemon)


def test_a_backup_is_cancelled_by_its_id_while_it_is_queued(daemon_of: Many) -> None:
    daemon = daemon_of("first", "second", max_parallel_backups=1)
    with held_copy(daemon, "first", "second") as (followed, first):
        queued = backups(daemon, "second")[0]
        assert queued["status"] == "QUEUED"
        assert queued["progress"]["queued"] == {
            "position": 1,
            "count": 1,
            "waits_for": "waits for a place (max_parallel_backups = 1)",
        }
        assert "QUEUED (1st of 1)" in daemon.ctl("list-backups", "second").stdout
        told = daemon.ctl("show-backup", "second", queued["backup_id"]).stdout
        assert "queued, 1st of 1: waits for a place (max_parallel_backups = 1)" in told
        view = ask(daemon, "cancel", server="second", backup=queued["backup_id"])["backup"]
        assert (view["status"], view["error"]["code"]) == ("FAILED", "Stopped")
        assert show(daemon, first, "first")["status"] == "STARTED"
        daemon.expects("backup failed")
        ask(daemon, "cancel", server="first")
        result = followed.result()
    assert [view["status"] for view in result["backups"]] == ["FAILED", "FAILED"]
    assert [r["server"] for r in daemon.log_records("backup started")] == ["first"]
    done(daemon, "first", "second")


# ------------------------------------------------------------------------------------------ queue


def test_a_second_backup_of_a_server_is_refused_while_one_is_active(daemon: Daemon) -> None:
    with held_copy(daemon) as (_, identifier):
        result = ask(daemon, "backup", servers=["main"])
        assert result["exit_code"] == 4
        assert result["backups"] == []
        assert identifier in result["problems"][0]["error"]["message"]
        told = daemon.ctl("backup", "main", check=False)
        assert (told.returncode, identifier in told.stderr) == (4, True)
        daemon.expects("backup failed")
        ask(daemon, "cancel", server="main")


def test_with_one_place_servers_are_backed_up_one_after_another_as_given(daemon_of: Many) -> None:
    daemon = daemon_of("a", "b", "c", max_parallel_backups=1)
    with follow(daemon, "c", "a", "b", follow="copied") as followed:
        result = followed.result()
    assert [view["server"] for view in result["backups"]] == ["c", "a", "b"]
    assert [r["server"] for r in daemon.log_records("backup started")] == ["c", "a", "b"]
    spans = [(view["started_at"], view["copied_at"]) for view in result["backups"]]
    assert spans == sorted(spans)
    assert all(before[1] <= behind[0] for before, behind in pairwise(spans))


def test_a_reload_opens_places_but_a_full_host_lets_others_pass(
    daemon_of: Many, cluster: Cluster
) -> None:
    other = server_options(cluster, slot_name="slot_other", database_host="another")
    daemon = daemon_of("a", "b", more={"c": other}, max_parallel_backups=1)
    streaming(daemon, "c")
    with follow(daemon, "all", bwlimit=SLOWEST):
        eventually(lambda: [view["status"] for view in backups(daemon, "a")] == ["STARTED"])
        text = daemon.config.read_text()
        more = "max_parallel_backups = 3\nmax_parallel_backups_per_host = 1"
        daemon.config.write_text(text.replace("max_parallel_backups = 1", more))
        ask(daemon, "reload")
        eventually(lambda: backups(daemon, "c")[0]["status"] == "STARTED")
        (queued,) = backups(daemon, "b")
        assert queued["progress"]["queued"] == {
            "position": 1,
            "count": 1,
            "waits_for": "waits for its host: localhost has 1 of 1",
        }
        daemon.expects("backup failed")
        assert daemon.stop() == 0
    daemon.start()
    for server in ("a", "b", "c"):
        error = backups(daemon, server)[0]["error"]
        assert (error["code"], error["message"]) == ("Stopped", "barmand was shut down")


def test_all_means_every_server_by_name_and_the_broken_are_told(daemon_of: Many) -> None:
    daemon = daemon_of("b", "a", more={"broken": {"backup_method": "postgres"}})
    daemon.expects("settings")
    with follow(daemon, "all", follow="copied") as followed:
        result = followed.result()
    assert [view["server"] for view in result["backups"]] == ["a", "b"]
    assert [(p["server"], p["error"]["exit_code"]) for p in result["problems"]] == [("broken", 9)]
    assert result["exit_code"] == 9


def test_unknown_and_broken_servers_are_told_and_the_rest_goes_on(daemon_of: Many) -> None:
    daemon = daemon_of("good", more={"broken": {"backup_method": "postgres"}})
    daemon.expects("settings")
    with follow(daemon, "nobody", "broken", "good") as followed:
        result = followed.result()
    assert {p["server"]: p["error"]["code"] for p in followed.problems} == {
        "nobody": "NotFound",
        "broken": "ConfigInvalid",
    }
    assert [(view["server"], view["status"]) for view in result["backups"]] == [("good", "DONE")]
    assert result["exit_code"] == 3


def test_a_server_that_fails_does_not_stop_the_next(daemon_of: Many, folder: Path) -> None:
    gone: Options = {
        "conninfo": f"host={folder}/nowhere user=postgres",
        "backup_method": "postgres",
        "archiver": "on",
    }
    daemon = daemon_of("good", more={"gone": gone})
    daemon.expects("backup failed")
    with follow(daemon, "gone", "good") as followed:
        failed, good = followed.result()["backups"]
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "CheckFailed")
    assert "PostgreSQL" in failed["error"]["message"] + failed["error"]["hint"]
    assert good["status"] == "DONE"


def test_detached_means_told_once_it_is_queued(daemon: Daemon) -> None:
    told = daemon.json("backup", "main", "--detach", "--bwlimit", "8000")
    (view,) = told["backups"]
    assert view["status"] in ("QUEUED", "STARTED")
    becomes(daemon, "DONE", view["backup_id"], within=30)


def test_a_client_that_hangs_up_leaves_the_backup_alone(daemon: Daemon) -> None:
    with follow(daemon, bwlimit=8000) as followed:
        identifier = followed.until_phase("copying")["backup_id"]
    becomes(daemon, "DONE", identifier, within=30)


# ------------------------------------------------------------------------------ names and options


def test_a_bad_name_is_refused_before_anything_starts(daemon: Daemon) -> None:
    words = ["", "  ", "20260102T030405", "latest", "last-full", "auto", "a\nb", "é" * 128]
    errors = [refusal(daemon, "backup", servers=["main"], name=word) for word in words]
    assert [(each["code"], each["exit_code"]) for each in errors] == [("UsageError", 2)] * 8
    assert backups(daemon) == []


def test_a_name_finds_its_backup_and_is_used_once(daemon: Daemon) -> None:
    view = done(daemon, name="before the upgrade é")
    assert show(daemon, "before the upgrade é") == view
    for word in ("first", "oldest", "last", "latest", "last-full", "latest-full"):
        assert show(daemon, word) == view
    result = ask(daemon, "backup", servers=["main"], name="before the upgrade é")
    assert result["exit_code"] == 4
    assert view["backup_id"] in result["problems"][0]["error"]["message"]
    ask(daemon, "delete", server="main", backup="before the upgrade é")
    done(daemon, name="before the upgrade é")


def test_options_that_the_method_cannot_honour_are_a_problem_of_that_server(
    daemon: Daemon,
) -> None:
    for option in (
        {"reuse_backup": "link"},
        {"manifest": False},
        {"bwlimit": 31},
        {"bwlimit": 1024 * 1024 + 1},
        {"incremental": "last"},
    ):
        result = ask(daemon, "backup", servers=["main"], **option)
        (problem,) = result["problems"]
        codes = (result["exit_code"], problem["error"]["exit_code"])
        assert (codes, problem["server"]) == ((2, 2), "main"), option
        assert next(iter(option)).replace("_", "-") in problem["error"]["message"]
    assert backups(daemon) == []


def test_options_that_make_no_sense_are_refused_before_anything_starts(daemon: Daemon) -> None:
    for option in ({"retry_times": -1}, {"retry_sleep": "soon"}, {"jobs": 0}, {"nonsense": True}):
        error = refusal(daemon, "backup", servers=["main"], **option)
        assert error["exit_code"] == 2, option
        assert next(iter(option)) in error["message"]
    assert backups(daemon) == []


def test_an_option_that_changes_nothing_is_named_in_a_warning(daemon: Daemon) -> None:
    with follow(daemon, jobs=4) as followed:
        assert followed.result()["exit_code"] == 0
    assert any("--jobs" in warning for warning in followed.warnings)
    told = daemon.ctl("backup", "main", "--jobs", "4")
    assert "--jobs" in told.stderr


def test_a_bandwidth_limit_is_honoured(daemon: Daemon) -> None:
    view = done(daemon, bwlimit=8000)
    assert view["size_bytes"] / view["copy_seconds"] < 1.3 * 8000 * 1024
    assert done(daemon)["copy_seconds"] < view["copy_seconds"]


# ---------------------------------------------------------------------------------------- failures


def kill_the_copier(folder: Path) -> None:
    (copier,) = copiers(folder)
    os.kill(copier.pid, signal.SIGKILL)


def test_a_copy_that_dies_is_tried_again(daemon: Daemon, clusters: Clusters, folder: Path) -> None:
    with follow(daemon, bwlimit=8000, retry_times=1, retry_sleep=0.1) as followed:
        followed.until_phase("copying")
        kill_the_copier(folder)
        (view,) = followed.result()["backups"]
    assert view["status"] == "DONE"
    assert len(daemon.log_records("copy failed, another attempt follows")) == 1
    restored(daemon, clusters, folder / "copy")


def test_a_copy_that_dies_without_a_retry_left_fails_with_the_reason(
    daemon: Daemon, folder: Path
) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (followed, _):
        kill_the_copier(folder)
        result = followed.result()
    (view,) = result["backups"]
    assert (view["status"], view["error"]["code"]) == ("FAILED", "ToolFailed")
    assert "pg_basebackup" in view["error"]["message"]
    assert result["exit_code"] == 7
    done(daemon)


def test_a_cancel_in_the_pause_before_a_retry_is_heard(daemon: Daemon, folder: Path) -> None:
    daemon.expects("backup failed")
    with follow(daemon, bwlimit=SLOWEST, retry_times=5, retry_sleep=600) as followed:
        followed.until_phase("copying")
        kill_the_copier(folder)
        followed.until_phase("pausing before the next attempt")
        ask(daemon, "cancel", server="main")
        assert followed.result()["exit_code"] == 11


def test_a_server_that_restarts_in_mid_copy_fails_the_backup_soon(
    daemon: Daemon, cluster: Cluster, folder: Path
) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (followed, identifier):
        cluster.restart("immediate")
        begun = monotonic()
        (view,) = followed.result()["backups"]
        assert monotonic() - begun < 10
    assert (view["backup_id"], view["status"]) == (identifier, "FAILED")
    assert_told_why(view)
    streaming(daemon)
    assert done(daemon)["status"] == "DONE"
    assert programs_of(folder)  # the receiver came back


def test_a_session_that_somebody_ends_fails_the_backup_soon(
    daemon: Daemon, cluster: Cluster, folder: Path
) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (followed, _):
        (sender,) = walsenders(cluster)
        begun = monotonic()
        assert cluster.psql(f"SELECT pg_terminate_backend({sender})") == "t"
        (view,) = followed.result()["backups"]
        assert monotonic() - begun < 10
    assert_told_why(view)
    assert not copiers(folder)
    done(daemon)


@pytest.mark.parametrize("mode", ["smart", "fast"])
def test_a_shutdown_of_postgresql_does_not_wait_for_the_copy(
    daemon: Daemon, cluster: Cluster, mode: str
) -> None:
    daemon.expects("backup failed")
    with held_copy(daemon) as (followed, _):
        begun = monotonic()
        cluster.stop(mode)
        (view,) = followed.result()["backups"]
        assert monotonic() - begun < 10
    assert_told_why(view)
    cluster.start()
    done(streaming(daemon))


def assert_told_why(view: Json) -> None:
    error = view["error"]
    assert error["code"] in ("ToolFailed", "PostgresFailed")
    words = f"{error['message']} {error['hint']}"
    assert any(reason in words for reason in ("terminat", "closed", "lost", "shutting down")), words


def test_a_tool_that_is_missing_is_named(
    cluster: Cluster, daemon_for: Callable[..., Daemon], folder: Path
) -> None:
    daemon = daemon_for(cluster, start=False, path_prefix=None)
    daemon.environment["PATH"] = _path_with_setpriv_only(folder)
    daemon.start()
    daemon.expects("backup failed")
    with follow(daemon) as followed:
        result = followed.result()
    assert result["exit_code"] == 5
    error = result["backups"][0]["error"]
    assert "pg_basebackup" in error["message"] + error["hint"]


def _path_with_setpriv_only(folder: Path) -> str:
    programs = folder / "programs"
    programs.mkdir()
    (programs / "setpriv").symlink_to("/usr/bin/setpriv")
    return str(programs)
