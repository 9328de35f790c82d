"""Where a pushed file stands until it has its name."""

import os
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed, UsageError
from barmand.storage.arrivals import arrivals
from barmand.storage.staging import clear_stage, confirm, name_it, staged

NAME = "000000010000000000000001"


@pytest.fixture
def source(tmp_path: Path) -> int:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return os.open(path, os.O_RDONLY)


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_a_staged_file_has_its_name_and_is_no_arrival(incoming: Path, source: int) -> None:
    with staged(incoming, NAME, source) as path:
        assert (path.name, path.read_bytes()) == (NAME, b"content")
        assert path.stat().st_mode & 0o077 == 0
        assert arrivals(incoming) == []
    assert files_in(incoming) == []
    os.close(source)


def test_a_staged_file_gets_its_name_and_stays(incoming: Path, source: int) -> None:
    with staged(incoming, NAME, source) as path:
        name_it(path, incoming / NAME)
    assert arrivals(incoming) == [incoming / NAME]
    confirm(incoming / NAME)
    os.close(source)


def test_a_name_is_never_taken_from_another(incoming: Path, source: int) -> None:
    (incoming / NAME).write_bytes(b"other")
    with (
        pytest.raises(StorageFailed, match="File exists"),
        staged(incoming, NAME, source) as path,
    ):
        name_it(path, incoming / NAME)
    assert (incoming / NAME).read_bytes() == b"other"
    assert files_in(incoming) == [incoming / NAME]
    os.close(source)


def test_a_failure_leaves_nothing(incoming: Path, source: int) -> None:
    with pytest.raises(ZeroDivisionError), staged(incoming, NAME, source):
        raise ZeroDivisionError
    assert files_in(incoming) == []
    os.close(source)


def test_what_an_earlier_life_left_is_cleared(incoming: Path, source: int) -> None:
    with staged(incoming, NAME, source) as path:
        clear_stage(incoming)
        assert not path.exists()
    clear_stage(incoming)
    assert list(incoming.iterdir()) == []
    os.close(source)


def test_a_folder_is_not_taken(incoming: Path) -> None:
    folder = os.open(incoming, os.O_RDONLY)
    with pytest.raises(UsageError, match="not a regular file"), staged(incoming, NAME, folder):
        pytest.fail("it was staged")
    os.close(folder)


def test_an_incoming_folder_that_is_gone_is_a_failure(tmp_path: Path, source: int) -> None:
    with pytest.raises(StorageFailed), staged(tmp_path / "gone", NAME, source):
        pytest.fail("it was staged")
    assert not (tmp_path / "gone").exists()
    os.close(source)
