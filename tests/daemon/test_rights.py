"""Who may ask: the kernel tells who connects, the settings tell what they may."""

import grp
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import Json, ask, backups, streaming
from support.daemon import Daemon, ini, server_options
from support.postgres import Cluster

pytestmark = pytest.mark.root

NOBODY = 65534
CONTROL, MONITOR, OTHER = "games", "news", "users"  # groups that Debian has from the beginning
CLIENT = """\
import json, socket, sys
path, method, params = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as daemon:
    daemon.settimeout(60)
    daemon.connect(path)
    lines = daemon.makefile("rw")
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)}
    try:
        print(json.dumps(request), file=lines, flush=True)
    except BrokenPipeError:
        pass
    for line in lines:
        if "id" in json.loads(line):
            print(line)
            break
"""


@pytest.fixture
def guarded(cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path) -> Daemon:
    settings = ini(
        folder,
        {"main": server_options(cluster)},
        control_group=CONTROL,
        monitor_group=MONITOR,
    )
    return streaming(make_daemon(settings).start())


def ask_as(daemon: Daemon, group: str, method: str, **params: object) -> Json:
    """The answer to nobody, as a member of this group."""
    number = grp.getgrnam(group).gr_gid
    done = subprocess.run(
        [
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", f"--groups={number}", "--"),
            *("/usr/bin/python3", "-c", CLIENT, daemon.socket, method, json.dumps(params)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    answer: Json = json.loads(done.stdout)
    return answer


def assert_refused(answer: Json) -> str:
    error = answer["error"]["data"]
    assert (error["code"], error["exit_code"]) == ("Refused", 4)
    message: str = error["message"]
    return message


def test_others_are_refused_with_a_message(guarded: Daemon) -> None:
    assert "uid 65534" in assert_refused(ask_as(guarded, OTHER, "ping"))
    (record,) = guarded.log_records("caller refused")
    assert "65534" in record["peer"]


def test_the_monitor_group_may_look_and_no_more(guarded: Daemon) -> None:
    assert ask_as(guarded, MONITOR, "ping")["result"]["pid"] == guarded.pid
    for method, params in (
        ("status", {}),
        ("list-servers", {}),
        ("list-backups", {}),
        ("check", {"servers": ["main"]}),
        ("show-servers", {"servers": ["main"]}),
    ):
        assert "result" in ask_as(guarded, MONITOR, method, **params)
    backup = {"server": "main", "backup": "last"}
    for method, params in (
        ("backup", {"servers": ["main"]}),
        ("cancel", {"server": "main"}),
        ("delete", backup),
        ("restore", {**backup, "destination": "/nowhere"}),
        ("check-backup", backup),
        ("reload", {}),
    ):
        message = assert_refused(ask_as(guarded, MONITOR, method, **params))
        assert method in message
    assert backups(guarded) == []


def test_the_control_group_may_do_everything_and_who_asked_is_stored(guarded: Daemon) -> None:
    result = ask_as(guarded, CONTROL, "backup", servers=["main"], follow="done")["result"]
    (view,) = result["backups"]
    assert view["status"] == "DONE"
    assert "uid 65534" in view["requester"]
    (record,) = guarded.log_records("backup started")
    assert record["requester"] == view["requester"]
    deleted = ask_as(guarded, CONTROL, "delete", server="main", backup="last")["result"]
    assert deleted["backup_id"] == view["backup_id"]


def test_who_cancelled_is_told(guarded: Daemon) -> None:
    guarded.expects("backup failed")
    with guarded.rpc() as rpc:
        rpc.request("backup", servers=["main"], bwlimit=32)
        while "copying" not in str(rpc.read()):
            pass
        view = ask_as(guarded, CONTROL, "cancel", server="main")["result"]["backup"]
    assert "uid 65534" in view["error"]["message"]
    assert "root" in view["requester"]


def test_a_group_that_does_not_exist_stops_the_start(
    make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    daemon = make_daemon(ini(folder, {}, control_group="no-such-group"))
    daemon.expects("no-such-group")
    daemon.launch()
    assert daemon.wait() == 9


def test_without_groups_only_root_and_the_daemon_itself_are_let_in(
    cluster: Cluster, daemon_for: Callable[..., Daemon]
) -> None:
    daemon = daemon_for(cluster)
    assert daemon.socket.stat().st_mode & 0o777 == 0o660
    assert ask(daemon, "ping")["pid"] == daemon.pid
    daemon.socket.chmod(0o666)  # even who gets to the socket is not let in
    assert_refused(ask_as(daemon, CONTROL, "ping"))
