"""A real catalogue in a real file."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog, open_catalog


@pytest.fixture
def state_file(folder: Path) -> Path:
    return folder / "barmand.db"


@pytest.fixture
def catalog(state_file: Path) -> Iterator[Catalog]:
    opened = open_catalog(state_file)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """One for all examples of a property: each takes a server that is its own."""
    opened = open_catalog(tmp_path_factory.mktemp("shared") / "barmand.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def new_server() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"server{next(numbers)}"
