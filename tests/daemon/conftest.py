"""What the tests of the whole daemon share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.asking import PUSHED, Dam, streaming
from support.daemon import Daemon
from support.postgres import Cluster
from support.sshd import Sshd


@pytest.fixture
def home(folder: Path) -> Path:
    """Where the server `main` keeps everything."""
    return folder / "home" / "main"


@pytest.fixture
def daemon(cluster: Cluster, daemon_for: Callable[..., Daemon]) -> Daemon:
    """A daemon that streams the WAL of `cluster`, its server `main`."""
    return streaming(daemon_for(cluster))


@pytest.fixture
def sshd(folder: Path) -> Iterator[Sshd]:
    made = Sshd(folder / "sshd").start()
    yield made
    made.stop()


@pytest.fixture
def by_method(request: pytest.FixtureRequest) -> Callable[[str], dict[str, object]]:
    """`by_method("rsync")`: the options of a server that is copied so."""

    def options(method: str) -> dict[str, object]:
        own: dict[str, object] = {"backup_method": method}
        if method == "rsync":
            own["ssh_command"] = request.getfixturevalue("sshd").command
        if method != "postgres":
            own |= {"parallel_jobs": 2, "autogenerate_manifest": "on"}
        return own

    return options


@pytest.fixture
def dam(folder: Path, home: Path) -> Dam:
    held = folder / "held"
    held.mkdir()
    return Dam(held, home / "incoming")


@pytest.fixture
def dammed(make_cluster: Callable[..., Cluster], dam: Dam) -> Cluster:
    """A cluster whose WAL goes nowhere until the test opens the dam."""
    return make_cluster(**dam.settings)


@pytest.fixture
def dammed_daemon(dammed: Cluster, daemon_for: Callable[..., Daemon]) -> Daemon:
    return daemon_for(dammed, **PUSHED)
