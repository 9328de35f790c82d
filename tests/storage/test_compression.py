"""Segments that Barman packed: compared and unpacked as what they hold."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.compression import holds_same, unpack

CONTENT = os.urandom(100_000)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_was_packed_is_unpacked(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "packed").write_bytes(pack(CONTENT))
    unpack(tmp_path / "packed", tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == CONTENT
    assert holds_same(tmp_path / "packed", tmp_path / "plain")


def test_both_may_be_packed_and_each_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(CONTENT))
    (tmp_path / "b").write_bytes(lzma.compress(CONTENT))
    assert holds_same(tmp_path / "a", tmp_path / "b")


def test_what_python_cannot_unpack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(b"\x28\xb5\x2f\xfd...")
    with pytest.raises(StorageFailed, match="cannot unpack"):
        unpack(tmp_path / "packed", tmp_path / "plain")


def test_a_read_error_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(gzip.compress(CONTENT))
    with pytest.raises(StorageFailed, match="cannot compare"):
        holds_same(tmp_path / "packed", tmp_path / "missing")
