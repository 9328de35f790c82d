"""A real cluster, packed by pg_basebackup in every way it can, and restored."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from barmand.model.backup import Backup, Damage, Status
from barmand.model.errors import CheckFailed, StorageFailed, ToolFailed
from barmand.service.stopping import StopFlag
from barmand.storage import backup_info
from support.housed import Housed, Told, housed, started
from support.postgres import Cluster, Clusters, give_to_postgres, run

SUFFIXES = {"none": ".tar", "gzip": ".tar.gz", "lz4": ".tar.lz4", "zstd": ".tar.zst"}
MARKER = "SELECT count(*), min(word) FROM marker"

Make = Callable[..., Housed]


@pytest.fixture
def source(clusters: Clusters) -> Cluster:
    """Archives its WAL; its marker lies in a tablespace."""
    cluster = clusters.make(initdb=("--data-checksums",), archive_mode="on", archive_command="true")
    location = clusters.folder / "a space=1"
    location.mkdir()
    give_to_postgres(location)
    cluster.psql(f"CREATE TABLESPACE fast LOCATION '{location}'")
    cluster.psql(
        "CREATE TABLE marker TABLESPACE fast AS"
        " SELECT 'here'::text AS word FROM generate_series(1, 500)"
    )
    cluster.psql("CREATE TABLE plain AS SELECT g, repeat('x', 500) FROM generate_series(1, 300) g")
    return cluster


@pytest.fixture
def make(source: Cluster, folder: Path) -> Iterator[Make]:
    """`make(backup_compression=…)`: the server's operations with these options."""
    with ExitStack() as open_ones:
        yield lambda **options: open_ones.enter_context(housed(source, folder, **options))


def oid(backup: Backup) -> int:
    assert backup.cluster is not None
    (space,) = backup.cluster.tablespaces
    return space.oid


def runs_again(bench: Housed, backup: Backup, clusters: Clusters, folder: Path) -> None:
    told = Told()
    result = bench.restore(backup, folder / "restored", told=told, fast=folder / "moved")
    assert backup.copied is not None
    assert told.bytes[-1] == (backup.copied.size, backup.copied.size)
    assert result.size >= 12 * 1024 * 1024
    assert not (folder / "restored/tablespace_map").exists()
    run_verifybackup(bench, folder / "restored")
    assert (folder / f"restored/pg_tblspc/{oid(backup)}").readlink() == folder / "moved"
    again = started(clusters, folder / "restored")
    assert again.psql(MARKER) == "500|here"
    assert again.psql("SELECT count(*) FROM plain") == "300"
    assert any((folder / "moved").iterdir())


def run_verifybackup(bench: Housed, place: Path) -> None:
    """It looks at the files that recovery has not yet changed."""
    changed = ("postgresql.auto.conf", "recovery.signal", "barmand_wal", "tablespace_map")
    run(
        bench.cluster.bindir / "pg_verifybackup",
        "--no-parse-wal",
        *(f"--ignore={name}" for name in changed),
        place,
    )


# ----------------------------------------------------------------------------- every way of packing


@pytest.mark.parametrize(
    ("algorithm", "location"),
    [
        ("none", "client"),
        ("gzip", "server"),
        ("lz4", "client"),
        ("zstd", "server"),
        *(
            pytest.param(*pair, marks=pytest.mark.soak)
            for pair in [("none", "server"), ("gzip", "client"), ("lz4", "server")]
        ),
        pytest.param("zstd", "client", marks=pytest.mark.soak),
    ],
)
def test_archives_are_kept_restored_and_run(
    make: Make, clusters: Clusters, folder: Path, algorithm: str, location: str
) -> None:
    suffix = SUFFIXES[algorithm]
    bench = make(backup_compression=algorithm, backup_compression_location=location)
    backup = bench.take()
    assert sorted(path.name for path in bench.data(backup).iterdir()) == sorted(
        [f"base{suffix}", f"{oid(backup)}{suffix}", "backup_manifest"]
    )
    assert backup.compression == algorithm
    assert backup.copied is not None
    assert backup.copied.size == sum(path.stat().st_size for path in bench.data(backup).iterdir())
    assert backup.copied.backup_label.startswith("START WAL LOCATION")
    assert backup.copied.begin_lsn < backup.copied.end_lsn
    assert f"compression={algorithm}\n" in bench.layout.info(backup.id).read_text()
    runs_again(bench, backup, clusters, folder)


@pytest.mark.parametrize(
    "algorithm",
    ["none", "zstd", *(pytest.param(each, marks=pytest.mark.soak) for each in ("gzip", "lz4"))],
)
def test_what_only_travels_packed_lies_there_plain(
    make: Make, clusters: Clusters, folder: Path, algorithm: str
) -> None:
    bench = make(
        backup_compression=algorithm,
        backup_compression_location="server",
        backup_compression_format="plain",
    )
    backup = bench.take()
    assert (bench.data(backup) / "PG_VERSION").read_text() == "15\n"
    assert backup.compression is None
    assert "compression=None\n" in bench.layout.info(backup.id).read_text()
    runs_again(bench, backup, clusters, folder)


@pytest.mark.parametrize(
    ("algorithm", "location", "more"),
    [
        ("gzip", "client", {"backup_compression_level": 9}),
        ("gzip", "server", {"backup_compression_level": 1}),
        ("lz4", "client", {"backup_compression_level": 12}),
        ("zstd", "server", {"backup_compression_level": -7, "backup_compression_workers": 2}),
        ("zstd", "client", {"backup_compression_workers": 2}),
    ],
)
def test_level_and_workers_are_passed_on(
    make: Make, algorithm: str, location: str, more: dict[str, int]
) -> None:
    bench = make(backup_compression=algorithm, backup_compression_location=location, **more)
    assert bench.take().status is Status.DONE


@pytest.mark.parametrize("packing", ["gzip", None])
def test_the_manifest_is_summed_as_the_settings_say(
    make: Make, clusters: Clusters, folder: Path, packing: str | None
) -> None:
    bench = make(backup_compression=packing, manifest_checksums="sha256")
    backup = bench.take()
    files = json.loads((bench.data(backup) / "backup_manifest").read_text())["Files"]
    assert {each["Checksum-Algorithm"] for each in files} == {"SHA256"}
    assert any(each["Path"].startswith(f"pg_tblspc/{oid(backup)}/") for each in files)
    runs_again(bench, backup, clusters, folder)


def test_a_backup_of_another_barman_is_restored_by_its_info(
    make: Make, clusters: Clusters, folder: Path
) -> None:
    bench = make(backup_compression="lz4")
    backup = bench.take()
    bench.layout.card(backup.id).unlink()  # ours; Barman has none
    (bench.layout.backup(backup.id) / str(oid(backup))).mkdir()  # Barman leaves it, empty
    found = backup_info.load(bench.layout, backup.id)
    assert found is not None
    assert found.compression == "lz4"
    runs_again(bench, found, clusters, folder)


# ----------------------------------------------------------------------------------------- damages


def flip(path: Path, at: float) -> None:
    """One bit, at so much of the file."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("algorithm", SUFFIXES)
def test_a_damaged_archive_is_named_and_nothing_is_left_behind(
    make: Make, folder: Path, algorithm: str
) -> None:
    bench = make(backup_compression=algorithm)
    backup = bench.take()
    (archive,) = bench.data(backup).glob("base.tar*")
    flip(archive, 0.5)
    with pytest.raises(StorageFailed) as failed:
        bench.restore(backup, folder / "restored", fast=folder / "moved")
    assert failed.value.message.startswith(f"{archive} is damaged: ")
    for place in (folder / "restored", folder / "moved"):
        assert not any(place.iterdir())


def test_a_missing_archive_is_named_before_anything_is_written(make: Make, folder: Path) -> None:
    bench = make(backup_compression="lz4")
    backup = bench.take()
    (bench.data(backup) / f"{oid(backup)}.tar.lz4").unlink()
    with pytest.raises(StorageFailed, match=rf"there is no {oid(backup)}\.tar in"):
        bench.restore(backup, folder / "restored", fast=folder / "moved")
    assert not (folder / "restored").exists()


def test_a_file_that_is_missing_in_a_sound_archive_is_named(make: Make, folder: Path) -> None:
    bench = make(backup_compression="none")
    backup = bench.take()
    (bench.data(backup) / f"{oid(backup)}.tar").write_bytes(b"\0" * 10240)
    with pytest.raises(StorageFailed, match=r"damaged: pg_tblspc/\d+/PG_15_\d+/\S+, named by"):
        bench.restore(backup, folder / "restored", fast=folder / "moved")


def test_a_damaged_manifest_is_named(make: Make, folder: Path) -> None:
    bench = make(backup_compression="zstd")
    backup = bench.take()
    flip(bench.data(backup) / "backup_manifest", 0.5)
    with pytest.raises(StorageFailed, match=r"backup_manifest is damaged"):
        bench.restore(backup, folder / "restored", fast=folder / "moved")


# ----------------------------------------------------------------------------- bad pages


def harm_pages(source: Cluster, table: str, *blocks: int) -> str:
    """Change bytes of these pages on the server's disk; the file's path."""
    source.psql("CHECKPOINT")
    path = source.psql(f"SELECT pg_relation_filepath('{table}')")
    source.stop()
    with (source.data / path).open("r+b") as file:
        for block in blocks:
            file.seek(block * 8192 + 4000)
            file.write(b"harm")
    source.start()
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backup_compression": "none"},
        {"backup_compression": "gzip"},
        {"backup_compression": "lz4"},
        {"backup_compression": "zstd", "backup_compression_location": "server"},
        {
            "backup_compression": "zstd",
            "backup_compression_location": "server",
            "backup_compression_format": "plain",
        },
    ],
)
def test_bad_pages_are_listed_and_the_backup_is_kept(
    make: Make, source: Cluster, clusters: Clusters, folder: Path, options: dict[str, str]
) -> None:
    plain, marker = harm_pages(source, "plain", 2, 5), harm_pages(source, "marker", 1)
    bench = make(**options)
    backup = bench.take()
    assert backup.status is Status.DONE
    assert backup.copied is not None
    assert set(backup.copied.damages) == {Damage(plain, (2, 5)), Damage(marker, (1,))}
    assert not (bench.data(backup) / "backup_manifest.tmp").exists()
    found = backup_info.load(bench.layout, backup.id)
    assert found is not None
    assert found.copied is not None
    assert found.copied.damages == backup.copied.damages
    bench.restore(backup, folder / "restored", fast=folder / "moved")
    again = started(clusters, folder / "restored")
    assert again.psql("SELECT count(*) FROM pg_class") > "0"


def test_bad_pages_in_a_copy_that_is_not_whole_are_a_failure(
    make: Make, source: Cluster, folder: Path
) -> None:
    harm_pages(source, "plain", 2)
    programs = folder / "programs"
    programs.mkdir()
    fake = programs / "pg_basebackup"
    real = source.bindir / "pg_basebackup"
    fake.write_text(
        "#!/bin/sh\n"
        f'for word; do case "$word" in --pgdata=*) data="${{word#--pgdata=}}";; esac; done\n'
        f'{real} "$@"; code=$?\n'
        'if [ -n "$data" ]; then truncate -s -100 "$data/backup_manifest.tmp"; fi\nexit $code\n'
    )
    fake.chmod(0o755)
    bench = make(path_prefix=f"{programs}:{source.bindir}")
    with pytest.raises(ToolFailed, match="bad pages, and its copy is not whole"):
        bench.take()
    (backup,) = bench.catalog.backups.of_server("main")
    assert backup.status is Status.FAILED


# ------------------------------------------------------------------------------what cannot be done


def with_version(folder: Path, real: Path, version: int, more: str = "") -> Path:
    """Programs of which pg_basebackup says that it is another one."""
    programs = folder / "programs"
    programs.mkdir()
    script = programs / "pg_basebackup"
    script.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = --version ]; then echo "pg_basebackup (PostgreSQL) {version}.1"; exit; fi\n'
        f'{more}\nexec {real}/pg_basebackup "$@"\n'
    )
    script.chmod(0o755)
    return programs


def test_a_build_without_the_algorithm_is_named_before_the_backup_starts(
    make: Make, source: Cluster, folder: Path
) -> None:
    words = "invalid compression specification: this build does not support compression with zstd"
    programs = with_version(
        folder, source.bindir, 15, f'echo "pg_basebackup: error: {words}" >&2; exit 1'
    )
    bench = make(backup_compression="zstd", path_prefix=programs)
    with pytest.raises(CheckFailed, match=r"compression settings: .*does not support compression"):
        bench.take()
    assert not any(bench.layout.base.iterdir())


def test_what_fits_is_told_by_the_check(make: Make) -> None:
    bench = make(backup_compression="zstd", backup_compression_location="server")
    found = {finding.name: finding for finding in bench.kit.check.obstacles(StopFlag())}
    assert found["compression settings"].is_ok
    assert found["compression settings"].hint == "zstd, packed by the server, stored as tar"


def test_the_server_tells_what_it_was_built_with(make: Make) -> None:
    bench = make()
    words = bench.kit.check.postgres.readiness().compressions
    assert words is not None
    assert {"lz4", "zstd"} <= set(words)
    names = [finding.name for finding in bench.kit.check.obstacles(StopFlag())]
    assert "compression settings" not in names
