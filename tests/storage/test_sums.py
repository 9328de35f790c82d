"""A sum that travels with the file that it tells of."""

import os
import shutil
import subprocess
from pathlib import Path

import google_crc32c
import pytest

from barmand.storage.sums import is_altered, is_as_remembered, remember
from fakes import flip

MB = 1024 * 1024
ATTRIBUTE = "user.barmand.crc32c"
CONTENT = bytes(range(256)) * 4 * 1024 * 3 + b"end"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "000000010000000000000001"
    path.write_bytes(CONTENT)
    return path


def keep(path: Path) -> bool:
    with path.open("rb") as file:
        return remember(file.fileno())


def ask(path: Path) -> bool | None:
    with path.open("rb") as file:
        return is_as_remembered(file.fileno())


def test_of_a_file_that_was_never_summed_nothing_is_remembered(path: Path) -> None:
    assert ask(path) is None


@pytest.mark.parametrize("content", [b"", b"x", bytes(MB), CONTENT])
def test_the_sum_is_the_crc32c_of_all_that_the_file_holds(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert keep(path)
    assert os.getxattr(path, ATTRIBUTE) == b"%08x" % google_crc32c.value(content)
    assert ask(path) is True


@pytest.mark.parametrize("at", [0, MB - 1, MB, len(CONTENT) - 1])
def test_one_flipped_bit_is_seen_wherever_it_lies(path: Path, at: int) -> None:
    keep(path)
    flip(path, at)
    assert ask(path) is False


def test_a_lost_end_is_seen(path: Path) -> None:
    keep(path)
    os.truncate(path, MB)
    assert ask(path) is False


def test_to_sum_a_file_does_not_move_its_position(path: Path) -> None:
    with path.open("rb") as file:
        remember(file.fileno())
        assert file.read() == CONTENT


def test_an_earlier_sum_is_replaced(path: Path) -> None:
    keep(path)
    flip(path, 5)
    assert keep(path)
    assert ask(path) is True


def test_the_sum_goes_with_a_rename_and_an_archiving_copy(path: Path) -> None:
    keep(path)
    moved, copied = path.with_name("moved"), path.with_name("copied")
    path.rename(moved)
    subprocess.run(["cp", "-a", moved, copied], check=True)
    assert ask(moved) is True
    assert ask(copied) is True
    shutil.copyfile(moved, moved.with_name("bytes only"))
    assert ask(moved.with_name("bytes only")) is None


def test_a_file_system_without_attributes_remembers_nothing() -> None:
    """/proc is one."""
    assert keep(Path("/proc/version")) is False
    assert ask(Path("/proc/version")) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_goes_without(path: Path) -> None:
    path.chmod(0o400)
    assert keep(path) is False
    assert ask(path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_sum_that_is_wrong_and_cannot_be_replaced_is_a_failure(path: Path) -> None:
    keep(path)
    path.chmod(0o400)
    assert keep(path) is False  # it tells the truth
    path.chmod(0o600)
    flip(path, 5)
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        keep(path)


def test_a_packed_file_is_its_formats_to_judge(path: Path) -> None:
    keep(path)
    with path.open("r+b", buffering=0) as file:
        file.write(b"\x1f\x8b")
        assert is_as_remembered(file.fileno()) is False
        assert not is_altered(path, file.fileno())
