"""What the administrator wrote, for as long as the daemon lives: read, told, changed, missed."""

import os
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from barmand.catalog.memory import open_catalog
from barmand.catalog.schedule_runs import ScheduleRun
from barmand.model.calendar import Outcome
from barmand.outside.clock import local_now
from daemon.asking import (
    SLOWEST,
    Json,
    ask,
    backups,
    becomes,
    done,
    everything_in,
    follow,
    programs_of,
    refusal,
    server_status,
    streaming,
)
from support import daemon as support_daemon
from support.daemon import Daemon, Options, ini, server_options
from support.postgres import Cluster, as_postgres
from support.waiting import eventually

BROKEN: Options = {"backup_method": "postgres", "conninfo": "host=/nowhere", "archivr": "on"}


def barmand(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [support_daemon.PROGRAMS / "barmand", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


# -------------------------------------------------------------------------------------- the program


def test_the_version_is_told() -> None:
    told = barmand("--version")
    assert (told.returncode, told.stdout.startswith("barmand ")) == (0, True)


def test_the_check_of_a_good_configuration_is_silent_about_problems(
    cluster: Cluster, folder: Path
) -> None:
    config = folder / "barmand.conf"
    config.write_text(ini(folder, {"main": server_options(cluster)}))
    told = barmand("--config", config, "--check-config")
    assert (told.returncode, told.stdout) == (0, "servers: main\n")
    assert not (folder / "state").exists()


def test_the_check_of_a_bad_configuration_tells_every_problem_at_once(folder: Path) -> None:
    config = folder / "barmand.conf"
    config.write_text(ini(folder, {"main": BROKEN, "other": {"backup_method": "tape"}}))
    told = barmand("--config", config, "--check-config")
    assert told.returncode == 9
    for word in ("archivr", "archiver", "[main]", "[other]", "tape", "conninfo"):
        assert word in told.stdout
    assert "put aside: main, other" in told.stdout


def test_the_check_finds_directories_that_are_one_or_lie_in_another(
    cluster: Cluster, folder: Path
) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    places: dict[str, Options] = {
        "a": {"backup_directory": folder / "real"},
        "b": {"backup_directory": folder / "link"},
        "c": {"backup_directory": folder / "state" / "c"},
        "d": {"incoming_wals_directory": folder / "home" / "d" / "wals" / "in"},
        "e": {},
    }
    config = folder / "barmand.conf"
    config.write_text(
        ini(folder, {name: server_options(cluster, **each) for name, each in places.items()})
    )
    told = barmand("--config", config, "--check-config")
    assert told.returncode == 9
    assert told.stdout.count("problem: ") == 4
    link = f"{folder / 'link'} (which leads to {folder / 'real'})"
    for problem in (
        f"[a] backup_directory: {folder / 'real'} is also backup_directory of [b] ({link})",
        f"[b] backup_directory: {link} is also backup_directory of [a] ({folder / 'real'})",
        f"[c] backup_directory: {folder / 'state' / 'c'} lies in state_directory",
        "[d] incoming_wals_directory: ",
        "lies in wals_directory of [d]",
    ):
        assert problem in told.stdout
    assert "servers: e\nput aside: a, b, c, d\n" in told.stdout


def test_the_check_tells_what_only_the_machine_and_libpq_can_judge(
    cluster: Cluster, folder: Path
) -> None:
    options = {**server_options(cluster), "conninfo": "host=x pasword=hunter2"}
    config = folder / "barmand.conf"
    alone = {**server_options(cluster), "backup_method": "rsync", "ssh_command": "ssh"}
    sections = {"main": options, "alone": alone}
    config.write_text(ini(folder, sections, control_group="nosuchgroup"))
    told = barmand("--config", config, "--check-config")
    assert told.returncode == 9
    assert "there is no group 'nosuchgroup'" in told.stdout
    assert told.stdout.count("[main] conninfo: not a connection string") == 1
    assert "libpq knows no 'pasword': host=x pasword=***" in told.stdout
    assert "[alone] ssh_command: ssh_command 'ssh' is not a program and a host" in told.stdout
    assert "put aside: alone, main" in told.stdout
    assert "hunter2" not in told.stdout
    assert "streaming_conninfo" not in told.stdout


def test_a_daemon_whose_global_section_is_bad_does_not_start(folder: Path) -> None:
    config = folder / "barmand.conf"
    config.write_text(ini(folder, {}, wal_poll_interval="often", log_levl="INFO"))
    told = barmand("--config", config)
    assert told.returncode == 9
    assert "wal_poll_interval" in told.stderr
    assert "log_level" in told.stderr


def test_a_configuration_that_is_not_there_is_named(folder: Path) -> None:
    told = barmand("--config", folder / "nothing.conf")
    assert (told.returncode, "nothing.conf" in told.stderr) == (9, True)


# -------------------------------------------------------------------------------- a broken server


def test_a_broken_server_is_put_aside_and_the_other_is_backed_up(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {"main": server_options(cluster), "broken": BROKEN}))
    daemon.expects("settings")
    streaming(daemon.start())
    told = {view["server"]: view for view in ask(daemon, "list-servers")["servers"]}
    assert {name: view["state"] for name, view in told.items()} == {
        "broken": "broken",
        "main": "active",
    }
    status = ask(daemon, "status")
    assert "archivr" in str(status["daemon"]["config_problems"])
    assert "archivr" in str(server_status(daemon, "broken")["problems"])
    assert ask(daemon, "check", servers=["broken"])["exit_code"] == 5
    assert ask(daemon, "check", servers=["main"])["exit_code"] == 0
    done(daemon)


def test_an_inactive_server_is_left_alone(
    cluster: Cluster, daemon_for: Callable[..., Daemon], folder: Path
) -> None:
    daemon = daemon_for(cluster, active="off")
    result = ask(daemon, "backup", servers=["main"])
    assert result["exit_code"] == 4
    tested = daemon.ctl("put-wal", "--test", "main", check=False)
    assert (tested.returncode, tested.stdout) == (4, "")
    assert "is inactive" in tested.stderr
    assert not programs_of(folder)


# ------------------------------------------------------------------------------------------ reload


@pytest.fixture
def reload(daemon: Daemon) -> dict[str, Callable[[str], None]]:
    """The two ways in which the settings are read again."""

    def by_request(text: str) -> None:
        daemon.config.write_text(text)
        ask(daemon, "reload")

    def by_signal(text: str) -> None:
        daemon.config.write_text(text)
        daemon.hup()

    return {"request": by_request, "signal": by_signal}


@pytest.mark.parametrize("way", ["request", "signal"])
def test_a_reload_takes_in_what_changed(
    daemon: Daemon,
    cluster: Cluster,
    folder: Path,
    reload: dict[str, Callable[[str], None]],
    way: str,
) -> None:
    (receiver,) = programs_of(folder)
    second = server_options(cluster, slot_name="second", description="the second")
    reload[way](ini(folder, {"main": server_options(cluster), "second": second}))
    streaming(daemon, "main", "second")
    assert receiver.is_alive  # what did not change is not touched
    done(daemon, "second", "main")
    reload[way](ini(folder, {"second": second}))
    eventually(lambda: not receiver.is_alive)
    assert [view["server"] for view in ask(daemon, "list-servers")["servers"]] == ["second"]
    assert {view["server"] for view in backups(daemon)} == {"main", "second"}
    assert ask(daemon, "backup", servers=["main"])["exit_code"] == 3


def test_a_bad_reload_changes_nothing(daemon: Daemon, folder: Path) -> None:
    receivers = programs_of(folder)
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[barmand]", "[barmand]\nwal_poll_interval = often"))
    error = refusal(daemon, "reload")
    assert (error["code"], error["exit_code"]) == ("ConfigInvalid", 9)
    daemon.expects("settings not changed")
    daemon.hup()
    eventually(lambda: daemon.log_records("settings not changed"))
    assert programs_of(folder) == receivers
    assert [view["state"] for view in ask(daemon, "list-servers")["servers"]] == ["active"]
    done(daemon)


def test_a_reload_that_breaks_a_server_puts_it_aside_until_it_is_mended(daemon: Daemon) -> None:
    good = daemon.config.read_text()
    daemon.config.write_text(good.replace("backup_method = postgres", "backup_method = tape"))
    daemon.expects("settings")
    told = ask(daemon, "reload")
    assert (told["servers"], told["broken"], told["exit_code"]) == ([], ["main"], 9)
    assert "tape" in str(told["problems"])
    assert ask(daemon, "backup", servers=["main"])["exit_code"] == 9
    daemon.config.write_text(good)
    mended = ask(daemon, "reload")
    assert (mended["broken"], mended["exit_code"]) == ([], 0)
    done(streaming(daemon))


def test_a_running_backup_keeps_the_settings_it_began_with(
    daemon: Daemon, cluster: Cluster, folder: Path
) -> None:
    daemon.expects("chore failed")  # elsewhere is not the ground that barmand knows
    with follow(daemon, bwlimit=8000) as followed:
        followed.until_phase("copying")
        changed = server_options(cluster, backup_directory=folder / "elsewhere")
        daemon.config.write_text(ini(folder, {"main": changed}))
        ask(daemon, "reload")
        view = followed.until_status("WAITING_FOR_WALS")
        assert (folder / "home" / "main" / "base" / view["backup_id"]).is_dir()
        daemon.config.write_text(ini(folder, {"main": server_options(cluster)}))
        ask(daemon, "reload")
        assert followed.result()["backups"][0]["status"] == "DONE"


def test_a_change_that_counts_from_the_next_start_on_is_told(
    daemon: Daemon, cluster: Cluster, folder: Path
) -> None:
    servers = {"main": server_options(cluster)}
    daemon.config.write_text(
        ini(folder, servers, wal_poll_interval=7, state_directory=folder / "elsewhere")
    )
    warnings = ask(daemon, "reload")["warnings"]
    assert len(warnings) == 2
    assert "wal_poll_interval" in str(warnings)
    assert "state_directory" in str(warnings)
    assert ask(daemon, "status")["daemon"]["config_warnings"] == warnings
    daemon.config.write_text(ini(folder, servers))
    assert ask(daemon, "reload")["warnings"] == []


# ---------------------------------------------------------------------------------------- schedule


def due_minutes_ago(minutes: int) -> tuple[str, datetime]:
    """A schedule that was due then, and rings an hour after that."""
    due = (local_now() - timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    return f"{due.minute} * * * *", due


def rang_before(daemon: Daemon, schedule: str, due: datetime) -> None:
    """While the daemon is down: its last run was the one before `due`."""
    catalog = open_catalog(daemon.folder.parent / "state" / "barmand.db")
    before = due - timedelta(hours=1)
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM schedule_runs")
    catalog.schedule_runs.add(
        ScheduleRun(
            server="main", schedule=schedule, due=before, at=before, outcome=Outcome.STARTED
        )
    )
    catalog.close()


def schedule_of(daemon: Daemon, server: str = "main") -> Json:
    view: Json = ask(daemon, "schedule", servers=[server])["servers"][0]
    return view


def test_a_schedule_is_armed_and_told(cluster: Cluster, daemon_for: Callable[..., Daemon]) -> None:
    schedule, due = due_minutes_ago(10)
    daemon = daemon_for(cluster, backup_schedule=schedule)
    ring = datetime.fromisoformat(server_status(daemon)["next_scheduled_backup"])
    assert ring == due + timedelta(hours=1)
    assert backups(daemon) == []  # what was due before the schedule was known is not missed
    daemon.stop()
    catalog = open_catalog(daemon.folder.parent / "state" / "barmand.db")
    run = catalog.schedule_runs.last("main")
    catalog.close()
    assert run is not None
    assert (run.schedule, run.outcome) == (schedule, "armed")


def test_a_run_missed_while_the_daemon_was_down_is_made_up_once(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    schedule, due = due_minutes_ago(10)
    daemon = streaming(daemon_for(cluster, backup_schedule=schedule))
    daemon.stop()
    rang_before(daemon, schedule, due)
    daemon.start()
    (view,) = eventually(lambda: backups(daemon)) or []
    assert view["requester"] == "schedule"
    becomes(daemon, "DONE", view["backup_id"])
    daemon.stop()
    daemon.start()
    last = last_run(daemon)
    assert (last["outcome"], last["status"]) == ("made up", "DONE")
    assert datetime.fromisoformat(last["due"]) == due
    assert [each["backup_id"] for each in backups(daemon)] == [view["backup_id"]]


def last_run(daemon: Daemon) -> Json:
    """Of its only schedule."""
    (line,) = schedule_of(daemon)["schedules"]
    last: Json = line["last"]
    return last


def test_a_scheduled_backup_that_the_daemon_took_with_it_is_made_up_at_its_next_start(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    schedule, due = due_minutes_ago(10)
    line = f"{schedule} name=hourly bwlimit={SLOWEST}"
    daemon = streaming(daemon_for(cluster, backup_schedule=line))
    daemon.stop()
    rang_before(daemon, schedule, due)
    daemon.start()
    eventually(lambda: [view["status"] for view in backups(daemon)] == ["STARTED"])
    daemon.kill9()
    daemon.start()
    first, second = eventually(lambda: len(found := backups(daemon)) == 2 and found) or []
    found = {view["status"]: view for view in (first, second)}
    assert found.pop("FAILED")["error"]["message"].startswith("interrupted")
    (made_up,) = found.values()
    assert (made_up["requester"], made_up["name"]) == ("schedule", "hourly")
    eventually(lambda: last_run(daemon)["backup_id"] == made_up["backup_id"])
    assert last_run(daemon)["outcome"] == "made up"
    daemon.expects("backup failed")
    daemon.stop()


def test_a_run_missed_by_more_than_the_grace_is_not_made_up(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    schedule, due = due_minutes_ago(10)
    daemon = daemon_for(cluster, backup_schedule=schedule, backup_schedule_grace="5m")
    daemon.stop()
    rang_before(daemon, schedule, due)
    daemon.start()
    eventually(lambda: daemon.log_records("schedule missed"))
    assert backups(daemon) == []
    (line,) = schedule_of(daemon)["schedules"]
    assert (line["last"]["outcome"], line["last"]["backup_id"]) == ("missed", None)
    assert line["next_run"] == server_status(daemon)["next_scheduled_backup"]


def test_a_missed_run_of_a_server_that_is_down_fails_and_the_daemon_lives(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    schedule, due = due_minutes_ago(10)
    daemon = streaming(daemon_for(cluster, backup_schedule=schedule))
    daemon.stop()
    rang_before(daemon, schedule, due)
    cluster.stop()
    daemon.expects("backup failed")
    daemon.start()
    (view,) = eventually(lambda: backups(daemon)) or []
    failed = becomes(daemon, "FAILED", view["backup_id"])
    assert failed["error"]["code"] == "CheckFailed"
    cluster.start()
    done(streaming(daemon))


def test_a_server_that_is_switched_off_is_paused_by_a_reload_and_goes_on_by_the_next(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    schedule, _ = due_minutes_ago(10)
    daemon = daemon_for(cluster, backup_schedule=f"{schedule} name=hourly")
    assert len(schedule_of(daemon)["chores"]) >= 3
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[main]", "[main]\nactive = off"))
    ask(daemon, "reload")
    paused = schedule_of(daemon)
    assert (paused["state"], paused["chores"]) == ("inactive", [])
    assert paused["schedules"][0]["next_run"] is None
    assert "paused" in daemon.ctl("schedule", "main").stdout
    eventually(lambda: server_status(daemon)["receiver"] is None)
    daemon.config.write_text(text)
    ask(daemon, "reload")
    assert schedule_of(daemon)["schedules"][0]["next_run"] is not None
    streaming(daemon)


def test_cron_has_the_due_chores_done_and_tells_them(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    daemon = streaming(daemon_for(cluster))
    told = daemon.json("cron", "--keep-descriptors")
    assert {("archive", "main", "done"), ("watch", None, "done")} <= {
        (run["chore"], run["server"], run["result"]) for run in told["ended"]
    }
    assert (told["running"], told["exit_code"]) == ([], 0)
    assert "none failed" in daemon.ctl("cron").stdout


# ----------------------------------------------------------------------------- the ground is gone


def failed_check(daemon: Daemon) -> str:
    daemon.expects("backup failed")
    result = ask(daemon, "backup", servers=["main"])
    assert result["exit_code"] == 5, result
    error = result["backups"][0]["error"]
    return f"{error['message']} {error['hint']}"


def test_no_tree_grows_on_a_bare_mount_point(daemon: Daemon, home: Path, folder: Path) -> None:
    """The file system is gone while the daemon runs, and while it starts; then it is back."""
    daemon.config.write_text(
        daemon.config.read_text().replace("[barmand]", "[barmand]\nwal_poll_interval = 1")
    )
    daemon.stop()
    streaming(daemon.start())
    daemon.expects("chore failed")
    first = done(daemon)
    home.rename(folder / "elsewhere")
    home.mkdir()
    assert str(home / "identity.json") in failed_check(daemon)
    daemon.stop()
    daemon.start()
    assert str(home / "identity.json") in failed_check(daemon)
    assert everything_in(home) == {}
    assert backups(daemon)[-1]["backup_id"] == first["backup_id"]
    home.rmdir()
    (folder / "elsewhere").rename(home)
    eventually(lambda: daemon.log_records("directory watched again"))
    second = done(streaming(daemon))
    assert second["backup_id"] > first["backup_id"]


def test_a_folder_that_cannot_be_written_is_named(daemon: Daemon, home: Path) -> None:
    first = done(daemon)
    (home / "base").chmod(0o555)
    try:
        assert f"{home / 'base'} cannot be written" in failed_check(daemon)
    finally:
        (home / "base").chmod(0o755)
    assert done(daemon)["backup_id"] > first["backup_id"]


def test_a_disk_that_cannot_be_read_does_not_keep_the_daemon_from_other_servers(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path, home: Path
) -> None:
    servers = {name: server_options(cluster, slot_name=name) for name in ("main", "other")}
    daemon = streaming(make_daemon(ini(folder, servers)).start(), *servers)
    first = done(daemon)
    daemon.stop()
    daemon.expects("chore failed")
    daemon.expects("catalogue not read from disk")
    (home / "meta").chmod(0)
    try:
        streaming(daemon.start(), "other")
        (record,) = daemon.log_records("catalogue not read from disk")
        assert record["server"] == "main"
        done(daemon, "other")
        assert str(home / "meta") in failed_check(daemon)
    finally:
        (home / "meta").chmod(0o755)
    assert done(daemon)["backup_id"] > first["backup_id"]


def test_another_cluster_behind_the_same_name_is_refused(
    daemon: Daemon, make_cluster: Callable[..., Cluster], folder: Path, home: Path
) -> None:
    done(daemon)
    other = make_cluster(initdb=("--lc-messages=C",))  # not a copy of the same template
    daemon.config.write_text(ini(folder, {"main": server_options(other)}))
    ask(daemon, "reload")

    def says() -> str:
        return str(server_status(daemon)["receiver"]["last_error"])

    eventually(lambda: "but main is" in says())
    assert "not one cluster" in failed_check(daemon)
    other.switch_wal()
    assert other.psql("SELECT count(*) FROM pg_replication_slots") == "0"
    assert list((home / "errors").iterdir()) == []


# ---------------------------------------------------------------------------------------- receiver


def test_a_receiver_that_dies_is_started_again(daemon: Daemon, folder: Path) -> None:
    (receiver,) = programs_of(folder)
    os.kill(receiver.pid, signal.SIGKILL)
    eventually(lambda: server_status(daemon)["receiver"]["restarts"] == 1)
    told = server_status(daemon)["receiver"]
    assert "pg_receivewal" in told["last_error"]
    assert told["state"] in ("pausing", "starting")
    streaming(daemon)
    assert [p.pid for p in programs_of(folder)] != [receiver.pid]
    (record,) = daemon.log_records("WAL streaming interrupted")
    assert record["level"] == "warning"
    assert server_status(daemon)["receiver"]["last_error"] is None
    done(daemon)


def test_a_receiver_pauses_longer_while_its_server_is_down_and_comes_back(
    daemon: Daemon, cluster: Cluster
) -> None:
    cluster.stop()
    eventually(lambda: server_status(daemon)["receiver"]["restarts"] >= 2)
    told = server_status(daemon)["receiver"]
    assert told["last_error"]
    cluster.start()
    done(streaming(daemon))


def test_a_segment_that_its_receiver_had_only_begun_to_pad_does_not_stop_the_stream(
    daemon: Daemon, cluster: Cluster, home: Path
) -> None:
    """What kill -9, or a full disk, at the wrong moment leaves: pg_receivewal refuses it."""
    daemon.stop()
    (begun,) = (home / "streaming").glob("*.partial")
    begun.write_bytes(bytes(4_136_960))
    streaming(daemon.start())
    (record,) = daemon.log_records("half segment filled up")
    assert (record["file"], record["bytes"]) == (begun.name, 4_136_960)
    segment = cluster.switch_wal()
    eventually(lambda: server_status(daemon)["last_archived_wal"] == segment)


def test_a_receiver_goes_on_with_the_segment_that_it_had_begun(
    daemon: Daemon, cluster: Cluster, home: Path
) -> None:
    cluster.psql("CREATE TABLE written ()")
    (begun,) = (home / "streaming").glob("*.partial")
    eventually(lambda: any(first_page(begun)))
    daemon.stop()
    streaming(daemon.start())
    assert any(first_page(begun))
    assert not daemon.log_records("half segment filled up")


def first_page(segment: Path) -> bytes:
    with segment.open("rb") as file:
        return file.read(8192)


def test_a_slot_that_was_dropped_is_made_again(daemon: Daemon, cluster: Cluster) -> None:
    daemon.stop()
    cluster.psql("SELECT pg_drop_replication_slot('barmand')")
    streaming(daemon.start())
    assert len(daemon.log_records("replication slot made")) == 2
    assert cluster.psql("SELECT slot_name, active FROM pg_replication_slots") == "barmand|t"
    done(daemon)


def test_a_slot_that_we_may_not_make_is_told(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    daemon = daemon_for(cluster, create_slot="manual")
    eventually(lambda: server_status(daemon)["receiver"]["restarts"] > 0)
    why = server_status(daemon)["receiver"]["last_error"]
    assert 'replication slot "barmand" does not exist' in why
    checks = ask(daemon, "check", servers=["main"])["servers"][0]["findings"]
    (slot,) = [finding for finding in checks if finding["name"] == "replication slot"]
    assert not slot["ok"]
    cluster.psql("SELECT pg_create_physical_replication_slot('barmand', true)")
    done(streaming(daemon))


# ----------------------------------------------------------------------------------------- systemd


def test_systemd_is_told_of_everything(daemon: Daemon, cluster: Cluster) -> None:
    assert as_postgres() == [] or os.geteuid() == 0
    daemon.stop()
    assert daemon.notices[-1] == "STOPPING=1"
    daemon.environment["WATCHDOG_USEC"] = "600000"
    streaming(daemon.start())
    assert cluster.is_running
    with follow(daemon, bwlimit=8000) as followed:
        identifier = followed.until_phase("copying")["backup_id"]
        eventually(lambda: any(is_progress(line, identifier) for line in daemon.notices))
        daemon.wait_for_notice("WATCHDOG=1", count=3)
        assert followed.result()["exit_code"] == 0
    eventually(lambda: daemon.notices[-1] == "WATCHDOG=1" and daemon.notices.count("READY=1") == 1)
    eventually(lambda: last_status(daemon) == "STATUS=1 servers, nothing under way")
    daemon.hup()
    assert daemon.notices.count("RELOADING=1") == 1


def is_progress(line: str, identifier: str) -> bool:
    return line.startswith(f"STATUS=backup main {identifier}: copying") and line.endswith("%")


def last_status(daemon: Daemon) -> str:
    return [line for line in daemon.notices if line.startswith("STATUS=")][-1]


def test_the_settings_in_force_are_shown_without_secrets(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    daemon = daemon_for(cluster, conninfo=f"{cluster.conninfo} password=s3cret", bandwidth_limit=64)
    shown: Json = ask(daemon, "show-servers", servers=["main"])
    assert shown["servers"][0]["settings"]["bandwidth_limit"] == 64
    streaming(daemon)
    everything = f"{shown}{ask(daemon, 'status')}{ask(daemon, 'list-servers')}{daemon.log}"
    assert "s3cret" not in everything
    assert all("s3cret" not in process.command for process in programs_of(daemon.folder.parent))
