"""What has arrived, in the order in which it is archived."""

import os
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.arrivals import arrivals

ONE = "000000010000000000000001"
TWO = "000000010000000000000002"


def test_histories_first_then_wal_by_name_then_the_rest(tmp_path: Path) -> None:
    wanted = ["00000002.history", ONE, TWO, f"{TWO}.00000028.backup", "nonsense", "wal.gz"]
    for name in sorted(wanted, reverse=True):
        (tmp_path / name).touch()
    assert [path.name for path in arrivals(tmp_path)] == wanted


def test_what_is_still_written_is_left_alone(tmp_path: Path) -> None:
    for name in (
        *(f".{ONE}.x8Yz1A", f"{ONE}.tmp", f"{ONE}.partial", f"{ONE}.gz.partial", ".~tmp~"),
        *(f"{ONE}.filepart", f"{ONE}.part", f"{ONE}~"),
    ):
        (tmp_path / name).touch()
    assert arrivals(tmp_path) == []


def test_only_regular_files_arrive(tmp_path: Path) -> None:
    (tmp_path / ONE).mkdir()
    (tmp_path / TWO).symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    assert arrivals(tmp_path) == []


def test_a_directory_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=f"cannot list {tmp_path}/gone"):
        arrivals(tmp_path / "gone")
