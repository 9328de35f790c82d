"""The whole daemon checks its servers by itself, and speaks to monitoring systems."""

import signal
from collections.abc import Callable, Iterator
from os import kill
from pathlib import Path

import pytest

from daemon.asking import PUSHED, server_status
from support.daemon import Daemon, ini, server_options
from support.postgres import Cluster
from support.waiting import eventually


@pytest.fixture
def frozen(cluster: Cluster) -> Iterator[int]:
    process = cluster.process
    assert process is not None
    kill(process.pid, signal.SIGSTOP)
    yield process.pid
    kill(process.pid, signal.SIGCONT)


def test_a_change_of_the_verdict_is_told_once_and_a_plugin_hears_of_it(
    cluster: Cluster, make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    cluster.configure(archive_mode="on", archive_command="cp %p /dev/null")
    cluster.restart()
    options = server_options(cluster, **PUSHED, check_timeout=2)
    daemon = make_daemon(ini(folder, {"main": options}, check_interval=1)).start()
    daemon.expects("check FAILED")

    def last() -> str | None:
        found = server_status(daemon)["last_check"]
        return found and found["level"]

    eventually(lambda: last() == "WARNING")  # nothing is archived yet
    assert daemon.ctl("check", "main", "--nagios", check=False).returncode == 1
    cluster.stop()
    eventually(lambda: last() == "FAILED")
    told = daemon.ctl("check", "all", "--nagios", check=False)
    assert told.returncode == 2
    assert told.stdout.startswith("BARMAND CRITICAL - main: FAILED PostgreSQL: ")
    assert server_status(daemon)["last_check"]["failed"][0] == "PostgreSQL"
    cluster.start()
    eventually(lambda: last() == "WARNING")
    eventually(lambda: len(daemon.log_records("check warns")) == 2)
    assert len(daemon.log_records("check FAILED")) == 1
    daemon.stop()
    told = daemon.ctl("check", "main", "--nagios", check=False)
    assert (told.returncode, told.stdout.startswith("BARMAND UNKNOWN - ")) == (3, True)


def test_a_frozen_server_holds_up_neither_the_others_nor_the_daemons_end(
    cluster: Cluster, frozen: int, make_daemon: Callable[[str], Daemon], folder: Path
) -> None:
    options = server_options(cluster, **PUSHED, check_timeout=2)
    servers = {f"s{number}": options for number in range(40)}
    daemon = make_daemon(ini(folder, servers)).start()
    told = daemon.ctl("check", "all", check=False)
    assert told.returncode == 5
    assert told.stdout.count("timed out after 2 s") == 2 * len(servers)
    kill(frozen, signal.SIGCONT)
    told = daemon.ctl("check", "all", check=False)
    assert "timed out" not in told.stdout
