"""The files of a backup: its copy, its WAL, or both."""

from pathlib import Path

import pytest

from barmand.model.backup import Backup
from barmand.model.errors import Refused
from barmand.operations.list_files import FileTarget, ListFiles
from fakes import MB, Bench, segment_name


@pytest.fixture
def listing(bench: Bench) -> ListFiles:
    return ListFiles(bench.layout, bench.wals, bench.catalog.wal_runs, bench.catalog.backups)


@pytest.fixture
def three(bench: Bench) -> list[Backup]:
    """They need the segments 3, 6 and 7; 8 lies behind them, and so does 5 of timeline 2."""
    first = bench.done_backup()
    bench.stream(4, 5)
    bench.postgres.lsn = 6 * MB
    second = bench.done_backup()
    third = bench.done_backup()
    bench.stream(8)
    bench.stream(5, timeline=2)
    bench.layout.incoming.joinpath("00000002.history").write_text("1\t0/500000\tx\n")
    bench.pass_wal()
    return [first, second, third]


def wal(paths: list[Path], layout: Path) -> list[str]:
    return [path.name for path in paths if layout in path.parents]


@pytest.mark.parametrize(
    ("asked", "wals"),
    [
        ((0, FileTarget.STANDALONE), [segment_name(3)]),
        ((0, FileTarget.DATA), []),
        (
            (0, FileTarget.WAL),
            [
                "00000002.history",
                *(segment_name(each) for each in (3, 4, 5, 6)),
                segment_name(5, timeline=2),
            ],
        ),
        ((2, FileTarget.FULL), ["00000002.history", segment_name(7), segment_name(8)]),
    ],
)
def test_each_target_has_its_wal(
    bench: Bench,
    listing: ListFiles,
    three: list[Backup],
    asked: tuple[int, FileTarget],
    wals: list[str],
) -> None:
    number, target = asked
    paths = list(listing.run(three[number], target))
    assert wal(paths, bench.layout.wals) == wals
    assert all(path.is_file() for path in paths)


def test_the_copy_is_every_file_of_it_and_of_its_tablespaces(
    bench: Bench, listing: ListFiles
) -> None:
    backup = bench.done_backup()
    space = bench.layout.tablespace(backup.id, 16384) / "PG_15"
    space.mkdir(parents=True)
    (space / "1").write_text("in a tablespace")
    data = bench.layout.data(backup.id)
    (data / "link").symlink_to("PG_VERSION")
    (data / "pg_tblspc" / "16384").symlink_to(space.parent)
    (bench.layout.backup(backup.id) / "annotations").mkdir()
    (bench.layout.backup(backup.id) / "annotations" / "keep").write_text("full")
    listed = list(listing.run(backup, FileTarget.DATA))
    there = {path for path in data.rglob("*") if path.is_file()}
    assert set(listed) == {*there, space / "1"}
    assert data / "link" in listed
    assert len(listed) == len(set(listed))


def test_it_is_read_one_by_one(bench: Bench, listing: ListFiles) -> None:
    backup = bench.done_backup()
    paths = listing.run(backup, FileTarget.FULL)
    first = next(paths)
    assert first.is_file()
    bench.layout.wal(segment_name(3)).unlink()
    assert segment_name(3) not in {path.name for path in paths}


def test_of_a_backup_that_failed_there_is_no_wal_to_list(bench: Bench, listing: ListFiles) -> None:
    failed = bench.failed_backup()
    with pytest.raises(Refused, match="is FAILED: which WAL it needs is not known"):
        listing.run(failed, FileTarget.STANDALONE)
    assert list(listing.run(failed, FileTarget.DATA)) == []
