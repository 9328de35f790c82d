"""A WAL file opened to be handed out."""

import gzip
import os
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.whole import open_wal


def test_nothing_is_none(tmp_path: Path) -> None:
    assert open_wal(tmp_path / "x") is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_a_failure(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "x")
    with pytest.raises(StorageFailed, match="not a regular file"):
        open_wal(tmp_path / "x")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/passwd")
    with pytest.raises(StorageFailed, match="cannot read"):
        open_wal(tmp_path / "x")


def test_a_packed_file_becomes_what_it_holds(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(gzip.compress(content))
    opened = open_wal(tmp_path / "x")
    assert opened is not None
    opened.unpack()
    assert os.read(opened.file, 4_000_000) == content
    opened.close()


def test_a_packed_file_larger_than_any_segment_does_not_become_our_memory(tmp_path: Path) -> None:
    piece = gzip.compress(bytes(64 << 20), 1)
    (tmp_path / "x").write_bytes(piece * 17)
    opened = open_wal(tmp_path / "x")
    assert opened is not None
    with pytest.raises(StorageFailed, match="more than a segment"):
        opened.unpack()
    opened.close()


def test_what_was_given_stays_open(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    opened = open_wal(tmp_path / "x")
    assert opened is not None
    file = opened.give()
    opened.close()
    assert os.read(file, 10) == b"content"
    os.close(file)


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    stamps = set()
    for content in (b"one", b"two"):
        (tmp_path / "new").write_bytes(content)
        (tmp_path / "new").rename(path)
        opened = open_wal(path)
        assert opened is not None
        stamps.add(opened.stamp)
        assert "." not in opened.stamp
    assert len(stamps) == 2
