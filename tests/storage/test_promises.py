"""What a manifest promises, read in any order; and a manifest that was left unfinished."""

import hashlib
import json
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.promises import Promise, finish_manifest, is_whole, promised


def lay(data: Path, *files: dict[str, object], name: str = "backup_manifest") -> Path:
    """A manifest as PostgreSQL writes it."""
    lines = ",\n".join(json.dumps(each).replace("{", "{ ") for each in files)
    head = '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n'
    text = f'{head}{lines}\n],\n"WAL-Ranges": [\n],\n'
    total = hashlib.sha256(text.encode()).hexdigest()
    (data / name).write_text(f'{text}"Manifest-Checksum": "{total}"}}\n')
    return data / name


def file(name: str, checksum: str = "00") -> dict[str, object]:
    return {
        "Path": name,
        "Size": 1,
        "Last-Modified": "2025-01-01 00:00:00 GMT",
        "Checksum-Algorithm": "CRC32C",
        "Checksum": checksum,
    }


def test_each_is_taken_once_and_in_any_order(tmp_path: Path) -> None:
    lay(tmp_path, file("a", "0a"), file("b", "0b"), file("c", "0c"))
    with promised(tmp_path) as promises:
        assert promises.take("c") == Promise(1, "CRC32C", "0c")
        assert promises.take("a") == Promise(1, "CRC32C", "0a")
        assert promises.take("a") is None
        assert promises.take("unknown") is None
        with pytest.raises(StorageFailed, match="b, named by"):
            promises.demand_all_taken()
        assert promises.take("b") is not None
        promises.demand_all_taken()


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    entry = file("x")
    del entry["Path"]
    lay(tmp_path, {"Encoded-Path": b"base/\xff".hex(), **entry})
    with promised(tmp_path) as promises:
        assert promises.take("base/\udcff") is not None


@pytest.mark.parametrize("name", ["SHA224", "SHA256", "SHA384", "SHA512"])
def test_every_checksum_of_postgresql_is_known(name: str) -> None:
    expected = hashlib.new(name, b"content").hexdigest()
    total = Promise(7, name, expected).digest()
    total.update(b"content")
    assert total.hex() == expected


def test_a_promise_without_a_checksum_is_of_the_size_alone(tmp_path: Path) -> None:
    lay(tmp_path, {"Path": "a", "Size": 3, "Last-Modified": "x"})
    with promised(tmp_path) as promises:
        promise = promises.take("a")
    assert promise is not None
    total = promise.digest()
    total.update(b"abc")
    assert total.hex() == promise.checksum


def test_without_a_manifest_nothing_is_promised(tmp_path: Path) -> None:
    with promised(tmp_path) as promises:
        assert promises.take("a") is None
        promises.demand_all_taken()


@pytest.mark.parametrize("text", ["", "x", '"Manifest-Checksum": "00"}\n', "\xff"])
def test_what_is_no_manifest_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "backup_manifest").write_text(text, encoding="latin-1")
    with pytest.raises(StorageFailed, match="backup_manifest is damaged"), promised(tmp_path):
        pass


def test_a_manifest_that_lacks_its_end_is_not_whole(tmp_path: Path) -> None:
    manifest = lay(tmp_path, file("a"))
    assert is_whole(manifest)
    manifest.write_bytes(manifest.read_bytes()[:-3])
    assert not is_whole(manifest)


def test_an_unfinished_manifest_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    lay(tmp_path, file("a"), name="backup_manifest.tmp")
    assert finish_manifest(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["backup_manifest"]


def test_one_that_is_not_whole_or_not_there_stays_what_it_is(tmp_path: Path) -> None:
    assert not finish_manifest(tmp_path)
    (tmp_path / "backup_manifest.tmp").write_text("half")
    assert not finish_manifest(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["backup_manifest.tmp"]
