"""A bench for each test, over a state file that was migrated once; real clusters to copy."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog, open_catalog
from barmand.operations.local_files import LocalFiles
from barmand.operations.ports import FileCopier
from barmand.outside.rsync_files import RsyncFiles
from fakes import Bench, bench_over
from support.postgres import Cluster, Clusters, Template
from support.sshd import Sshd
from support.taking import Taking


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "barmand.db"
    open_catalog(path).close()
    return path


@pytest.fixture
def new_catalog(tmp_path: Path, empty_state: Path) -> Iterator[Callable[[], Catalog]]:
    """A catalogue that remembers nothing; each call makes another."""
    made: list[Catalog] = []

    def make() -> Catalog:
        path = tmp_path / f"barmand-{len(made)}.db"
        shutil.copy(empty_state, path)
        made.append(open_catalog(path))
        return made[-1]

    yield make
    for catalog in made:
        catalog.close()


@pytest.fixture
def bench(tmp_path: Path, new_catalog: Callable[[], Catalog]) -> Bench:
    return bench_over(new_catalog(), tmp_path / "home")


@pytest.fixture(scope="session")
def shared(session_folder: Path, bindir: Path) -> Iterator[Cluster]:
    """pgbench's tables on a cluster whose WAL stays, for tests that leave it as it was."""
    home = Path(tempfile.mkdtemp(prefix="", dir=session_folder))
    made = Clusters(Template(bindir, session_folder), home)
    try:
        cluster = made.make(wal_keep_size="4GB")
        cluster.pgbench_init(scale=2)
        cluster.psql("CREATE EXTENSION amcheck")
        yield cluster
    finally:
        made.discard()


@pytest.fixture
def taking(shared: Cluster, new_catalog: Callable[[], Catalog], folder: Path) -> Taking:
    return Taking(shared, new_catalog(), folder / "home")


@pytest.fixture
def apart(clusters: Clusters, new_catalog: Callable[[], Catalog], folder: Path) -> Taking:
    """For a test that changes the cluster for good."""
    return Taking(clusters.make(wal_keep_size="4GB"), new_catalog(), folder / "home")


@pytest.fixture
def sshd(folder: Path) -> Iterator[Sshd]:
    made = Sshd(folder / "sshd").start()
    yield made
    made.stop()


@pytest.fixture(params=["local", "rsync"])
def copier(request: pytest.FixtureRequest) -> FileCopier:
    """Most of what differs, differs between these two: `local-rsync` is rsync without ssh.

    A test whose subject that is asks for it by `pytest.mark.parametrize(…, indirect=True)`.
    """
    match request.param:
        case "local":
            return LocalFiles()
        case "local-rsync":
            return RsyncFiles()
        case _:
            return RsyncFiles(ssh=request.getfixturevalue("sshd").words)
