"""What lies in errors/: counted by its stamp, or by when it came there."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.aside import Aside, set_aside_in

NAME = "000000010000000000000007"


def test_the_stamp_tells_since_when_and_the_oldest_comes_first(tmp_path: Path) -> None:
    for stamp in ("20250602T000000Z.1", "20250601T235959Z"):
        (tmp_path / f"{NAME}.{stamp}.duplicate").touch()
    assert set_aside_in(tmp_path) == [
        Aside(f"{NAME}.20250601T235959Z.duplicate", datetime(2025, 6, 1, 23, 59, 59, tzinfo=UTC)),
        Aside(f"{NAME}.20250602T000000Z.1.duplicate", datetime(2025, 6, 2, tzinfo=UTC)),
    ]


@pytest.mark.parametrize("name", ["stranger", f"{NAME}.20251399T000000Z.duplicate"])
def test_a_file_without_a_stamp_counts_from_when_it_came_there_not_from_its_mtime(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.touch()
    os.utime(path, (0, 0))
    (found,) = set_aside_in(tmp_path)
    assert found.since == datetime.fromtimestamp(path.stat().st_ctime, UTC)
    assert found.since.year > 2000


def test_folders_and_links_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert set_aside_in(tmp_path) == []


def test_a_folder_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="errors"):
        set_aside_in(tmp_path / "errors")
