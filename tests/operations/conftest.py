"""A bench for each test, over a state file that was migrated once."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog, open_catalog
from fakes import Bench, bench_over


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
