"""A manifest's checksums, packed: the same answers as a dictionary gives."""

import os
from pathlib import Path

import pytest

from barmand.model.errors import Stopped
from barmand.storage import checksums
from barmand.storage.checksums import NO_CHECKSUMS, Checksums, checksums_in
from barmand.storage.manifest import Algorithm, digest, writing
from fakes import Stop


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_they_answer_as_a_dictionary_does(algorithm: Algorithm) -> None:
    size = len(digest(algorithm).hex()) // 2
    known = {f"base/5/{number}\udcff": os.urandom(size).hex() for number in range(5000)}
    packed = Checksums(known.items(), algorithm)
    assert len(packed) == 5000
    assert {path: packed.get(path) for path in known} == known
    assert packed.get("base/5/5000") is None


def test_none_are_none() -> None:
    assert NO_CHECKSUMS.get("PG_VERSION") is None


def test_paths_that_share_half_a_key_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As good as never does this happen by itself."""
    monkeypatch.setattr(checksums, "_key", lambda path: bytes(8) + path.encode().rjust(8, b"."))
    packed = Checksums([(name, f"0000000{name}") for name in "123"], Algorithm.CRC32C)
    assert [packed.get(name) for name in "1234"] == ["00000001", "00000002", "00000003", None]


def test_they_come_from_a_manifest_of_the_same_algorithm(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with writing(data, Algorithm.SHA256) as manifest:
        manifest.begin(150_018, "1")
        manifest.add_content("PG_VERSION", b"15")
        manifest.end([])
    total = digest(Algorithm.SHA256)
    total.update(b"15")
    assert checksums_in(data, Algorithm.SHA256, Stop()).get("PG_VERSION") == total.hex()
    assert len(checksums_in(data, Algorithm.CRC32C, Stop())) == 0


def test_a_stop_ends_the_reading(tmp_path: Path) -> None:
    with writing(tmp_path, Algorithm.CRC32C) as manifest:
        manifest.begin(150_018, "1")
        for number in range(100):
            manifest.add_content(str(number), b"")
        manifest.end([])
    with pytest.raises(Stopped):
        checksums_in(tmp_path, Algorithm.CRC32C, Stop(after=50))
