"""Hooks of the whole daemon: real scripts around real work, one that hangs, one that says no."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import (
    Json,
    ask,
    backups,
    becomes,
    done,
    follow,
    refusal,
    server_status,
    show,
    streaming,
)
from support.daemon import Daemon, ini, server_options
from support.postgres import Cluster
from support.waiting import eventually

Life = Callable[..., Daemon]
HANGS = "sleep 100000 & wait"


def told(folder: Path, name: str) -> dict[str, str]:
    """The environment that this hook has written down."""
    path = folder / "told" / name
    eventually(path.exists, 60)
    lines = path.read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if line.startswith("BARMAN"))


def tells(folder: Path, name: str, more: str = "") -> str:
    """A hook that writes its environment down, whole or not at all."""
    path = folder / "told" / name
    return f"env -0 > {path}.new && mv {path}.new {path}{more}"


@pytest.fixture
def life(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> Callable[..., Daemon]:
    """`life(main={…hooks…}, other={…})`: a daemon whose servers are all the same cluster."""
    (folder / "told").mkdir()

    def make(**servers: dict[str, object]) -> Daemon:
        sections = {
            name: server_options(cluster, slot_name=f"slot_{name}", hook_retry_sleep=0) | own
            for name, own in servers.items()
        }
        text = ini(folder, sections, max_parallel_backups=1)
        return streaming(make_daemon(text).start(), *servers)

    return make


def runs(daemon: Daemon, server: str = "main") -> list[Json]:
    """Oldest first."""
    found: list[Json] = ask(daemon, "hook-runs", server=server, limit=1000)["runs"]
    return found[::-1]


def assert_all_was_told(daemon: Daemon, folder: Path, backup: str) -> None:
    about_done = told(folder, "done")
    assert (about_done["BARMAN_STATUS"], about_done["BARMAN_BACKUP_ID"]) == ("DONE", backup)
    before, after = told(folder, "pre-backup"), told(folder, "post-backup")
    assert (before["BARMAN_STATUS"], before["BARMAN_SERVER"]) == ("EMPTY", "main")
    assert before["BARMAN_CONFIGURATION"] == str(daemon.config)
    assert before["BARMAND_SOCKET"] == str(daemon.socket)
    assert after["BARMAN_STATUS"] in ("WAITING_FOR_WALS", "DONE")
    assert Path(after["BARMAN_BACKUP_DIR"], "data", "backup_label").is_file()
    assert Path(after["BARMAN_BACKUP_INFO_PATH"]).is_file()
    assert Path(told(folder, "post-archive")["BARMAN_FILE"]).parent.parent.name == "wals"
    assert Path(told(folder, "pre-archive")["BARMAN_FILE"]).parent.name == "streaming"
    (trouble,) = show(daemon, backup)["hook_troubles"]
    assert "failed (ended with exit code 3): loud" in trouble


def test_scripts_are_told_all_while_those_of_another_server_hang(
    life: Life, cluster: Cluster, folder: Path
) -> None:
    hooks: dict[str, object] = {
        f"{phase}_{event}_script": tells(folder, f"{phase}-{event}")
        for event in ("backup", "delete", "archive", "recovery")
        for phase in ("pre", "post")
    }
    permit = folder / "permit"
    hooks |= {
        "post_backup_done_script": tells(folder, "done", "; echo for people"),
        "post_backup_script": tells(folder, "post-backup", "; echo loud; exit 3"),
        "pre_delete_retry_script": f"test -e {permit} || exit 63",
    }
    hung = {"pre_backup_script": HANGS, "pre_archive_script": HANGS}
    daemon = life(main=hooks, hung=hung)
    daemon.expects("backup failed")  # it is cancelled
    with follow(daemon, "hung") as hanging:
        hanging.until_phase("running hooks before it begins", "hung")

        # The only place for a backup is free again; WAL flows; nobody waits for the hung ones.
        with follow(daemon) as followed:
            result = followed.result()
            assert result["exit_code"] == 0
            assert any("post_backup_script" in words for words in followed.warnings)
        backup = result["backups"][0]["backup_id"]
        cluster.switch_wal()
        assert_all_was_told(daemon, folder, backup)
        becomes(daemon, "DONE", backup)
        refused = refusal(daemon, "delete", server="main", backup=backup)
        assert refused["exit_code"] == 4
        assert "pre_delete_retry_script forbids the delete of" in refused["message"]
        assert show(daemon, backup)["status"] == "DONE"
        assert not (folder / "told" / "post-delete").exists()

        ask(daemon, "restore", server="main", backup=backup, destination=str(folder / "restored"))
        assert told(folder, "post-recovery")["BARMAN_ERROR"] == ""
        permit.touch()
        ask(daemon, "delete", server="main", backup=backup)
        assert told(folder, "post-delete")["BARMAN_BACKUP_ID"] == backup

        status = server_status(daemon, "hung")
        assert any("pre_backup_script" in words for words in status["hooks_running"])
        assert any("pre_archive_script" in words for words in status["hooks_running"])
        ask(daemon, "cancel", server="hung")
        assert hanging.exit_code() == 11
    last = next(run for run in reversed(runs(daemon, "hung")) if run["backup_id"])
    assert (last["hook"], last["outcome"]) == ("pre_backup_script", "stopped")
    page = daemon.ctl("hook", "runs", "main", "post_backup").stdout
    assert "post_backup_script" in page
    assert "loud" in page


def test_a_hook_of_done_is_run_again_after_a_death(life: Life, folder: Path) -> None:
    begun, again = folder / "begun", folder / "again"
    script = f"if mkdir {begun}; then {HANGS}; fi; echo $BARMAN_STATUS > {again}"
    daemon = life(main={"post_backup_done_script": script, "pre_backup_script": "true"})
    backup = done(daemon)["backup_id"]
    eventually(begun.exists)
    daemon.kill9()
    daemon.assert_nothing_lives()
    daemon.start()
    eventually(lambda: again.exists() and again.read_text() == "DONE\n", 60)
    eventually(lambda: [run["outcome"] for run in runs(daemon)] == ["ok", "interrupted", "ok"])
    assert [run["backup_id"] for run in runs(daemon)] == [backup] * 3
    daemon.stop()
    again.unlink()
    daemon.start()
    streaming(daemon)
    assert not again.exists()
    assert len(runs(daemon)) == 3


def test_a_shutdown_ends_hooks_and_tells_the_others(life: Life, folder: Path) -> None:
    daemon = life(main={"pre_backup_script": HANGS, "post_backup_script": tells(folder, "after")})
    daemon.expects("backup failed")
    with follow(daemon) as hanging:
        hanging.until_phase("running hooks before it begins")
        assert daemon.stop() == 0
    assert told(folder, "after")["BARMAN_ERROR"] == "barmand was shut down"
    daemon.assert_nothing_lives()
    daemon.start()
    (backup,) = backups(daemon)
    assert backup["status"] == "FAILED"
    assert "shut down" in backup["error"]["message"]
    assert [run["outcome"] for run in runs(daemon)] == ["stopped", "ok"]


def test_wal_that_a_hook_holds_back_is_seen_everywhere(
    life: Life, cluster: Cluster, folder: Path
) -> None:
    permit = folder / "permit"
    script = f"test -e {permit} || {{ echo not today; exit 63; }}"
    daemon = life(main={"pre_archive_retry_script": script})
    daemon.expects("chore failed")
    cluster.switch_wal()
    eventually(lambda: server_status(daemon)["hook_troubles"], 60)
    findings = ask(daemon, "check", servers=["main"])["servers"][0]["findings"]
    (found,) = [each for each in findings if each["name"] == "pre_archive_retry_script"]
    assert not found["ok"]
    assert "WAL is held back" in found["hint"]
    assert daemon.log_records("hook keeps an event from beginning")
    assert server_status(daemon)["archived_wals"] == 0
    permit.touch()
    ask(daemon, "archive-wal", server="main")
    assert server_status(daemon)["hook_troubles"] == []
    assert server_status(daemon)["archived_wals"] > 0


def test_a_hook_is_tried_with_sample_values(life: Life, folder: Path) -> None:
    daemon = life(
        main={
            "pre_delete_retry_script": 'echo "about $BARMAN_BACKUP_ID"; exit 63',
            "post_archive_script": tells(folder, "archive"),
            "post_backup_script": "/nowhere/hook",
            "post_delete_script": HANGS,
        }
    )
    with daemon.rpc() as rpc:  # who does not wait for it any more ends it
        rpc.request("hook-test", server="main", hook="post_delete_script")
        eventually(lambda: [run["outcome"] for run in runs(daemon)] == ["running"])
    eventually(lambda: [run["outcome"] for run in runs(daemon)] == ["stopped"])
    tried = daemon.ctl("hook", "test", "main", "pre_delete_retry_script", check=False)
    assert tried.returncode == 7
    for words in ("BARMAN_PHASE", "about 2", "63: it forbids", "ended with exit code 63"):
        assert words in tried.stdout
    assert daemon.ctl("hook", "test", "main", "post_archive").returncode == 0
    assert told(folder, "archive")["BARMAN_SEGMENT"] == "000000010000000000000001"
    unset = daemon.ctl("hook", "test", "main", "pre_archive_script", check=False)
    assert unset.returncode == 4
    assert "is not set" in unset.stderr
    assert daemon.ctl("hook", "test", "main", "nonsense", check=False).returncode == 3
    assert [run["test"] for run in runs(daemon)] == [True, True, True]
    assert daemon.ctl("hook", check=False).returncode == 2
    daemon.stop()
    for printed in ("warning: [main] post_backup_script", "servers: main"):
        daemon.expects(printed)
    daemon.launch("--check-config")
    assert daemon.wait() == 0
    assert "warning: [main] post_backup_script: there is no file /nowhere/hook" in daemon.log
