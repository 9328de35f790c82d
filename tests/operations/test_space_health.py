"""Is there room for WAL, and for the next backup?"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from barmand.model.backup import Backup
from barmand.model.errors import CheckFailed, StorageFailed
from barmand.model.finding import Finding, Level, demand
from barmand.model.wal import Run
from barmand.operations import space_health
from barmand.operations.space_health import LEAST_FREE, SpaceHealth
from fakes import Bench, Stop


@pytest.fixture
def space(bench: Bench) -> SpaceHealth:
    return bench.check.space_health


def finding(space: SpaceHealth, name: str = "free space") -> Finding:
    (found,) = [each for each in space.findings() if each.name == name]
    return found


def nobody_knows() -> int | None:
    return None


def next_backup(
    space: SpaceHealth, cluster_size: Callable[[], int | None] = nobody_knows, **order: bool
) -> Finding:
    (found,) = space.next_backup(cluster_size, **order)
    return found


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """So many bytes are free, 64 MiB of them for WAL, on a disk that keeps byte for byte."""

    def make(count: int) -> None:
        monkeypatch.setattr(space_health, "free_bytes", lambda _path: count + LEAST_FREE)
        monkeypatch.setattr(space_health, "keeps_byte_for_byte", lambda *_, **__: True)

    return make


def done(bench: Bench, **facts: object) -> Backup:
    """Another backup, with other facts in its row."""
    backup = bench.done_backup()
    with bench.catalog.database.writing() as connection:
        for column, value in facts.items():
            connection.exec_driver_sql(
                f"UPDATE backups SET {column} = ? WHERE id = ?",  # noqa: S608 - a test's own names
                (value, backup.id),
            )
    return backup


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
    assert list(space.next_backup(nobody_knows)) == []


def test_the_next_backup_is_expected_to_be_as_large_as_the_last(
    bench: Bench, space: SpaceHealth
) -> None:
    backup = bench.done_backup()
    assert backup.copied is not None
    assert space.expected() == backup.copied.size > 0
    assert next_backup(space).is_ok


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


# ------------------------------------------------------------------ what surely does not fit
def test_a_backup_that_surely_does_not_fit_is_not_begun(
    bench: Bench, space: SpaceHealth, free: Callable[[int], None]
) -> None:
    done(bench, size=1000 << 20)
    free(800 << 20)
    assert not next_backup(space).keeps_from_backup
    free((800 << 20) - 1)
    found = next_backup(space)
    assert (found.level, found.keeps_from_backup) == (Level.FAILED, True)
    for words in (str(bench.layout.base), "864.0 MiB free", "64.0 MiB of it", "takes 800.0 MiB"):
        assert words in found.hint
    with pytest.raises(CheckFailed, match="delete backups, or make the file system larger"):
        demand("main", bench.check.obstacles(Stop()))


def test_the_next_one_of_a_cluster_that_has_shrunk_may_fit(
    bench: Bench, space: SpaceHealth, free: Callable[[int], None]
) -> None:
    done(bench, size=1000, cluster_size=4000)
    free(500)
    assert next_backup(space, lambda: 4000).keeps_from_backup
    assert not next_backup(space, lambda: 2000).keeps_from_backup


@pytest.mark.parametrize(
    "facts", [{"method": "rsync"}, {"compression": "gzip"}, {"status": "WAITING_FOR_WALS"}]
)
def test_what_was_taken_otherwise_or_is_not_done_says_nothing_for_sure(
    bench: Bench, space: SpaceHealth, free: Callable[[int], None], facts: dict[str, object]
) -> None:
    done(bench, size=1000 << 20, **facts)
    free(10)
    assert not next_backup(space).keeps_from_backup


def test_a_file_system_that_packs_may_take_it(
    bench: Bench, space: SpaceHealth, monkeypatch: pytest.MonkeyPatch, free: Callable[[int], None]
) -> None:
    done(bench, size=1000 << 20)
    free(10)
    monkeypatch.setattr(space_health, "keeps_byte_for_byte", lambda *_, **__: False)
    assert next_backup(space).level is Level.FAILED
    assert not next_backup(space).keeps_from_backup


def test_of_linked_backups_half_of_the_smallest_is_sure(
    bench: Bench, space: SpaceHealth, free: Callable[[int], None]
) -> None:
    links = replace(space, links=True)
    done(bench, size=1000 << 20, deduplicated_size=1000 << 20)
    free(10)
    assert list(links.next_backup(nobody_knows)) == [], "the first to be linked may need nothing"
    free(1 << 40)
    done(bench, size=1000 << 20, deduplicated_size=100 << 20)
    done(bench, size=1000 << 20, deduplicated_size=300 << 20)
    free(50 << 20)
    assert not next_backup(links).keeps_from_backup
    free((50 << 20) - 1)
    assert next_backup(links).keeps_from_backup
    free(100 << 20)
    assert next_backup(links, links=False).keeps_from_backup, "as this one is ordered"
    assert not next_backup(space, links=True).keeps_from_backup


def test_before_the_first_backup_the_clusters_size_warns(
    space: SpaceHealth, free: Callable[[int], None]
) -> None:
    free(100)
    assert list(space.next_backup(lambda: 100)) == []
    found = next_backup(space, lambda: 101)
    assert (found.level, found.keeps_from_backup) == (Level.WARNING, False)
    assert "a backup may not fit" in found.hint
