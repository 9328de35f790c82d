"""backup_manifest: whole or not there, for every name, from many threads; PostgreSQL accepts it."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage.manifest import Algorithm, WalRange, digest, read_checksums, writing
from support.postgres import run

RANGE = WalRange(timeline=1, start_lsn=0x2000028, end_lsn=0x1_0000_0000)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "base").mkdir(parents=True)
    tmp_path.chmod(0o755)
    return tmp_path / "data"


def write(
    data: Path, files: dict[bytes, bytes], algorithm: Algorithm, version: int = 150_018
) -> None:
    with writing(data, algorithm) as manifest:
        manifest.begin(version, "7300000000000000001")
        for name, content in files.items():
            (data / os.fsdecode(name)).write_bytes(content)
            manifest.add_content(os.fsdecode(name), content)
        manifest.end([RANGE])


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_postgresql_accepts_it_with_every_name(
    data: Path, bindir: Path, algorithm: Algorithm
) -> None:
    files = {
        b"PG_VERSION": b"15\n",
        b"base/empty": b"",
        b"base/not \xff\xfe utf-8": b"odd",
        'base/"quoted" \\ ünï'.encode(): b"x" * 100_000,
        b"base/new\nline": b"y",
    }
    write(data, files, algorithm)
    run(bindir / "pg_verifybackup", "--no-parse-wal", data)


def test_postgresql_misses_what_changed(data: Path, bindir: Path) -> None:
    write(data, {b"PG_VERSION": b"15\n", b"base/1": b"one"}, Algorithm.CRC32C)
    (data / "base" / "1").write_bytes(b"two")
    with pytest.raises(RuntimeError, match="checksum mismatch"):
        run(bindir / "pg_verifybackup", "--no-parse-wal", data)


def test_many_threads_add_at_once(data: Path, bindir: Path) -> None:
    with writing(data, Algorithm.CRC32C) as manifest:
        manifest.begin(150_018, "1")

        def add(worker: int) -> None:
            for number in range(200):
                name, content = f"base/{worker}_{number}", b"%d" % number
                (data / name).write_bytes(content)
                manifest.add_content(name, content)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(8)))
        manifest.end([RANGE])
    run(bindir / "pg_verifybackup", "--no-parse-wal", data)
    assert len(dict(read_checksums(data))) == 1600


def test_it_tells_which_wal_the_backup_needs(data: Path) -> None:
    write(data, {}, Algorithm.CRC32C)
    (wal,) = json.loads((data / "backup_manifest").read_text())["WAL-Ranges"]
    assert wal == {"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "1/0"}


@pytest.mark.parametrize(("version", "format_"), [(160_000, 1), (170_000, 2)])
def test_its_format_is_that_of_the_server(data: Path, version: int, format_: int) -> None:
    write(data, {b"base/1": b"1"}, Algorithm.CRC32C, version)
    text = (data / "backup_manifest").read_bytes()
    told = json.loads(text)
    assert told["PostgreSQL-Backup-Manifest-Version"] == format_
    assert told.get("System-Identifier") == (7300000000000000001 if format_ == 2 else None)
    before = text[: text.index(b'"Manifest-Checksum"')]
    assert told["Manifest-Checksum"] == sha256(before).hexdigest()


def test_half_a_manifest_does_not_exist(data: Path) -> None:
    with suppress(ValueError), writing(data, Algorithm.CRC32C) as manifest:
        manifest.begin(150_018, "1")
        raise ValueError("the copy failed")
    assert {path.name for path in data.parent.rglob("*")} == {"data", "base"}


def test_it_belongs_to_its_owner_alone(data: Path) -> None:
    write(data, {}, Algorithm.CRC32C)
    assert (data / "backup_manifest").stat().st_mode & 0o777 == 0o600


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"cannot write .*gone/data/backup_manifest"):
        write(tmp_path / "gone" / "data", {}, Algorithm.CRC32C)


def test_checksums_are_read_back(data: Path) -> None:
    files = {b"base/1": b"one", 'base/"2" ü'.encode(): b"two", b"base/\xff": b"three"}
    write(data, files, Algorithm.CRC32C)
    one = digest(Algorithm.CRC32C)
    one.update(b"o")
    one.update(b"ne")
    found = dict(read_checksums(data))
    assert found["base/1"] == one.hex()
    assert set(found) == {"base/1", 'base/"2" ü'}  # a name that is not UTF-8 is copied each time


def test_no_checksums_come_from_no_manifest_or_from_another_algorithm(data: Path) -> None:
    assert list(read_checksums(data)) == []
    write(data, {b"base/1": b"one"}, Algorithm.SHA256)
    assert list(read_checksums(data)) == []
    assert list(read_checksums(data, Algorithm.CRC32C)) == []
    sums = list(read_checksums(data, Algorithm.SHA256))
    assert sums == [("base/1", sha256(b"one").hexdigest())]
