"""What every test may ask for: short folders, real PostgreSQL clusters, the real daemon."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# A busy machine is no fault of what is tested.
hypothesis.settings.register_profile("barmand", deadline=None)
hypothesis.settings.load_profile("barmand")

pytest.register_assert_rewrite("support.daemon", "support.postgres", "support.waiting")

from support.daemon import Daemon, ini, server_options  # noqa: E402
from support.postgres import Cluster, Clusters, Template, find_bindir  # noqa: E402

# One folder for the session and all its workers: the controller makes it, and takes it away. Its
# name is short, because the path of a socket has at most 107 bytes.
SESSION_FOLDER = pytest.StashKey[Path]()
DAEMONS = pytest.StashKey[list[Daemon]]()


def pytest_configure(config: pytest.Config) -> None:
    from_controller = getattr(config, "workerinput", {}).get("session_folder")
    folder = Path(from_controller or tempfile.mkdtemp(prefix="bt"))
    if os.geteuid() == 0:
        folder.chmod(0o755)  # PostgreSQL runs as another user then
    _spread(folder)
    config.stash[SESSION_FOLDER] = folder
    # A shell starts what runs in its background without it, and all our children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _spread(folder: Path) -> None:
    """Have ext4 keep the folders in this one far from one another; other file systems need not.

    For minutes ext4 gives no inode again that was freed, and it looks at each such one near by for
    each new file: what one test had removed slowed the next one down.
    """
    subprocess.run(["chattr", "+T", folder], check=False, capture_output=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist asks what to tell a new worker."""
    node.workerinput["session_folder"] = str(node.config.stash[SESSION_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and SESSION_FOLDER in config.stash:
        shutil.rmtree(config.stash[SESSION_FOLDER])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what its daemons said."""
    report = yield
    if report.failed:
        for daemon in item.stash.get(DAEMONS, []):
            report.sections.append((f"log of {daemon.folder.name}", daemon.log[-20_000:]))
    return report


@pytest.fixture(scope="session")
def session_folder(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.stash[SESSION_FOLDER]


@pytest.fixture(scope="session", autouse=True)
def spread_tmp_paths(tmp_path_factory: pytest.TempPathFactory) -> None:
    _spread(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def bindir() -> Path:
    return find_bindir()


@pytest.fixture
def folder(session_folder: Path) -> Iterator[Path]:
    """An empty folder with a short path, gone after the test."""
    made = Path(tempfile.mkdtemp(prefix="", dir=session_folder))
    if os.geteuid() == 0:
        made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def clusters(folder: Path, bindir: Path, session_folder: Path) -> Iterator[Clusters]:
    """The clusters of this test; what it made is stopped at its end."""
    made = Clusters(Template(bindir, session_folder), folder)
    yield made
    made.discard()


@pytest.fixture
def make_cluster(clusters: Clusters) -> Callable[..., Cluster]:
    """`make_cluster(start=True, wal_segsize=16, initdb=(), **postgresql_settings)`."""
    return clusters.make


@pytest.fixture
def cluster(clusters: Clusters) -> Cluster:
    """A PostgreSQL server that runs."""
    return clusters.make()


@pytest.fixture
def make_daemon(
    request: pytest.FixtureRequest, clusters: Clusters, folder: Path
) -> Iterator[Callable[[str], Daemon]]:
    """`make_daemon(ini(folder, {…}))` is a Daemon, not yet started, that ends with the test."""
    assert clusters.made is not None  # asked for so that the servers outlive the daemons
    daemons = request.node.stash.setdefault(DAEMONS, [])

    def make(ini_text: str) -> Daemon:
        own = folder / f"d{len(daemons) + 1}"
        own.mkdir()
        daemons.append(Daemon(own, ini_text))
        return daemons[-1]

    yield make
    problems = [problem for daemon in daemons for problem in _problems(daemon)]
    if problems:
        raise problems[0]


@pytest.fixture
def daemon_for(folder: Path, make_daemon: Callable[[str], Daemon]) -> Callable[..., Daemon]:
    """`daemon_for(cluster, server="main", start=True, **server_options)`."""
    return partial(_daemon_for, folder, make_daemon)


def _daemon_for(
    folder: Path,
    make_daemon: Callable[[str], Daemon],
    cluster: Cluster,
    *,
    server: str = "main",
    start: bool = True,
    **options: object | None,
) -> Daemon:
    daemon = make_daemon(ini(folder, {server: server_options(cluster, **options)}))
    return daemon.start() if start else daemon


def _problems(daemon: Daemon) -> Iterator[BaseException]:
    """Each daemon is finished, whatever became of the others."""
    try:
        daemon.finish()
    except Exception as error:  # noqa: BLE001  (it is raised when all are finished)
        yield error
