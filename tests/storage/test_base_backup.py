"""What a base backup says of itself, read from its end."""

from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.base_backup import (
    MANIFEST_TAIL_BYTES,
    read_label,
    read_manifest_tail,
    tablespaces_in,
)


def test_the_label_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "backup_label").write_text("START WAL LOCATION: 0/2000028\nLABEL: grün\n")
    assert read_label(tmp_path) == "START WAL LOCATION: 0/2000028\nLABEL: grün\n"


def test_a_label_that_is_not_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "backup_label").write_bytes(b"LABEL: gr\xfcn\n")
    assert read_label(tmp_path) == "LABEL: gr\ufffdn\n"


def test_a_missing_label_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"cannot read .*backup_label: No such file"):
        read_label(tmp_path)


def test_of_a_large_manifest_only_the_end_is_read(tmp_path: Path) -> None:
    with (tmp_path / "backup_manifest").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b'"WAL-Ranges": []')
    tail = read_manifest_tail(tmp_path)
    assert len(tail) == MANIFEST_TAIL_BYTES
    assert tail.endswith('\0"WAL-Ranges": []')


def test_a_small_manifest_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "backup_manifest").write_text("{}")
    assert read_manifest_tail(tmp_path) == "{}"


def test_without_a_manifest_there_is_no_end(tmp_path: Path) -> None:
    assert read_manifest_tail(tmp_path) == ""


def test_a_manifest_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "backup_manifest").mkdir()
    with pytest.raises(StorageFailed, match=r"cannot read .*backup_manifest"):
        read_manifest_tail(tmp_path)


def test_tablespaces_are_links_or_archives(tmp_path: Path) -> None:
    assert tablespaces_in(tmp_path) == set()
    for name in ("base.tar.gz", "16385.tar.gz", "16390.tar", "backup_manifest", "12345x"):
        (tmp_path / name).touch()
    assert tablespaces_in(tmp_path) == {16385, 16390}
    (tmp_path / "pg_tblspc").mkdir()
    (tmp_path / "pg_tblspc/16400").symlink_to("/nowhere")
    assert 16400 in tablespaces_in(tmp_path)
