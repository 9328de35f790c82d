"""Is there room for WAL, and for the next backup?"""

from dataclasses import replace

import pytest

from barmand.model.errors import StorageFailed
from barmand.model.finding import Finding, Level
from barmand.model.wal import Run
from barmand.operations import space_health
from barmand.operations.space_health import SpaceHealth
from fakes import Bench


@pytest.fixture
def space(bench: Bench) -> SpaceHealth:
    return bench.check.space_health


def finding(space: SpaceHealth, name: str = "free space") -> Finding:
    (found,) = [each for each in space.findings() if each.name == name]
    return found


def test_a_full_disk_fails_the_check_with_its_folder_and_what_is_free(
    bench: Bench, space: SpaceHealth
) -> None:
    assert finding(space).is_ok
    found = finding(replace(space, least_free=1 << 62))
    assert (found.level, found.keeps_from_backup) == (Level.FAILED, False)
    assert f"{bench.layout.wals}: " in found.hint
    assert "GiB free, of at least" in found.hint
    assert "incoming" not in found.hint  # the same file system is told once


def test_two_segments_must_fit_whatever_their_size(bench: Bench, space: SpaceHealth) -> None:
    """A segment of a size that no disk has twice."""
    run = Run(1, 1, 1)
    bench.catalog.wal_runs.adopt("main", [(run, 1)], segment_size=1 << 62, now=bench.clock())
    assert finding(replace(space, least_free=1)).level is Level.FAILED


def test_a_directory_that_is_gone_is_named(bench: Bench, space: SpaceHealth) -> None:
    bench.layout.incoming.rmdir()
    with pytest.raises(StorageFailed, match=str(bench.layout.incoming)):
        list(space.findings())


def test_before_the_first_backup_nothing_is_expected(space: SpaceHealth) -> None:
    assert space.expected() is None
    assert [each.name for each in space.findings()] == ["free space"]


def test_the_next_backup_is_expected_to_be_as_large_as_the_last(
    bench: Bench, space: SpaceHealth
) -> None:
    backup = bench.done_backup()
    assert backup.copied is not None
    assert space.expected() == backup.copied.size > 0
    assert finding(space, "free space for a backup").is_ok


def test_of_linked_backups_only_what_is_new_takes_room(bench: Bench, space: SpaceHealth) -> None:
    links = replace(space, links=True)
    bench.done_backup()
    assert links.expected() is None, "the first one was whole, and says nothing of the next"
    second = bench.done_backup()
    assert second.copied is not None
    with bench.catalog.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE backups SET deduplicated_size = 7 WHERE id = ?", (second.id,)
        )
    assert links.expected() == 7
    assert space.expected() == second.copied.size


@pytest.mark.parametrize(
    ("free", "level", "words"),
    [
        (99, Level.FAILED, "the next one may not fit"),
        (110, Level.WARNING, "the next one just fits"),
        (130, Level.OK, "took 100 bytes"),
    ],
)
def test_room_for_the_next_backup(bench: Bench, free: int, level: Level, words: str) -> None:
    found = space_health.for_backup(bench.layout.base, free, expected=100)
    assert (found.level, found.keeps_from_backup) == (level, False)
    assert words in found.hint
