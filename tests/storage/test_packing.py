"""WAL files that are packed: by us, by Barman, or before they came."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barmand.model.errors import StorageFailed
from barmand.model.packing import Effort, Format, Packer, Packing, packing_of
from barmand.storage.packing import (
    Damaged,
    content_of,
    format_of,
    holds_same,
    pack,
    unpack,
    unpacked,
)

MB = 1024 * 1024
CONTENT = os.urandom(100_000) + bytes(2 * MB) + b"wal" * MB
PACKINGS = [
    packing
    for packer in (Packer.GZIP, Packer.BZIP2, Packer.XZ, Packer.ZSTD, Packer.LZ4, Packer.SNAPPY)
    for effort in (Effort.LOW, Effort.MEDIUM)
    if (packing := packing_of(packer, effort)) is not None
]
each_packing = pytest.mark.parametrize("packing", PACKINGS, ids=str)


def packed(folder: Path, content: bytes, packing: Packing, name: str = "packed") -> Path:
    source, target = folder / "source", folder / name
    source.write_bytes(content)
    with source.open("rb") as reading, target.open("wb") as writing:
        assert pack(reading.fileno(), writing.fileno(), packing) == len(content)
    return target


@each_packing
def test_what_we_pack_is_told_by_its_first_bytes_and_unpacked(
    tmp_path: Path, packing: Packing
) -> None:
    path = packed(tmp_path, CONTENT, packing)
    assert path.stat().st_size < len(CONTENT) // 2
    assert format_of(path) is packing.format
    unpack(path, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == CONTENT


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300_000), packing=st.sampled_from(PACKINGS))
def test_any_content_comes_back(tmp_path: Path, content: bytes, packing: Packing) -> None:
    path = packed(tmp_path, content, packing)
    assert b"".join(unpacked(path)) == content


@each_packing
def test_half_of_it_is_damaged(tmp_path: Path, packing: Packing) -> None:
    path = packed(tmp_path, CONTENT, packing)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged, match="is damaged"):
            content_of(path)


@each_packing
def test_a_flipped_bit_is_damage(tmp_path: Path, packing: Packing) -> None:
    path = packed(tmp_path, CONTENT, packing)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged):
        content_of(path)


@each_packing
def test_garbage_behind_it_is_damage(tmp_path: Path, packing: Packing) -> None:
    path = packed(tmp_path, CONTENT, packing)
    path.write_bytes(path.read_bytes() + b"garbage")
    with pytest.raises(Damaged):
        content_of(path)


def zstd_of_unknown_size(content: bytes) -> bytes:
    """As from a pipe: two frames, neither of which tells its size."""
    half = len(content) // 2
    frames: list[bytes] = []
    for part in (content[:half], content[half:]):
        packer = zstandard.ZstdCompressor().compressobj()
        frames += [packer.compress(part), packer.flush()]
    return b"".join(frames)


@pytest.mark.parametrize(
    "deed",
    [
        bytes,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        zstandard.compress,
        zstd_of_unknown_size,
        lz4.frame.compress,
        lambda content: gzip.compress(content[:9]) + gzip.compress(content[9:]),
        lambda content: bz2.compress(content[:9]) + bz2.compress(content[9:]),
    ],
)
def test_what_others_packed_is_unpacked_and_compared(
    tmp_path: Path, deed: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "packed").write_bytes(deed(CONTENT))
    unpack(tmp_path / "packed", tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == CONTENT
    assert holds_same(tmp_path / "packed", tmp_path / "plain")
    (tmp_path / "plain").write_bytes(CONTENT[:-1])
    assert not holds_same(tmp_path / "packed", tmp_path / "plain")


def test_both_may_be_packed_and_each_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(CONTENT))
    (tmp_path / "b").write_bytes(lzma.compress(CONTENT))
    assert holds_same(tmp_path / "a", tmp_path / "b")


def test_zeros_are_unpacked_in_pieces_that_memory_can_hold(tmp_path: Path) -> None:
    path = packed(tmp_path, bytes(256 * MB), Packing(Format.ZSTD, 1))
    sizes = [len(piece) for piece in unpacked(path)]
    assert sum(sizes) == 256 * MB
    assert max(sizes) <= 128 * MB


def test_a_read_error_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(gzip.compress(CONTENT))
    with pytest.raises(StorageFailed, match="cannot read"):
        holds_same(tmp_path / "packed", tmp_path / "missing")
