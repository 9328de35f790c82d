"""What a check says of a server's WAL without asking anybody."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from barmand.model.backup import Status
from barmand.model.errors import StorageFailed
from barmand.model.finding import Finding, Level, failed, passed
from barmand.operations.wal_health import WalHealth
from fakes import NOON, Bench, lay_segment, segment_name


@pytest.fixture
def health(bench: Bench) -> WalHealth:
    return bench.check.wal_health


def all_of(health: WalHealth) -> Iterator[Finding]:
    yield from health.gaps()
    yield from health.archive()
    yield from health.aside()
    yield from health.queues()


def finding(health: WalHealth, name: str) -> Finding:
    (found,) = [each for each in all_of(health) if each.name == name]
    return found


def archive(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        lay_segment(bench.layout.incoming, number)
    bench.pass_wal()


def test_without_limits_neither_queue_nor_age_is_looked_at(bench: Bench, health: WalHealth) -> None:
    archive(bench, 1)
    names = [each.name for each in all_of(health)]
    assert names == ["WAL gaps", "WAL archive", "archiver errors"]
    assert all(each.is_ok for each in all_of(health))


def test_an_empty_archive_is_a_warning(health: WalHealth) -> None:
    found = finding(health, "WAL archive")
    assert found.level is Level.WARNING
    assert "switch-wal" in found.hint


def test_the_age_of_the_last_wal_is_told(bench: Bench, health: WalHealth) -> None:
    archive(bench, 1)
    late = replace(health, now=lambda: bench.clock() + timedelta(hours=2))
    found = finding(late, "WAL archive")
    assert found.is_ok
    assert found.measure is not None
    assert 7200 <= found.measure.value < 7300


def test_a_file_set_aside_fails_the_check_for_a_day_and_is_a_warning_afterwards(
    bench: Bench, health: WalHealth
) -> None:
    names = [f"{segment_name(n)}.20250601T1{n}0000Z.duplicate" for n in (0, 1)]
    for name in names:
        (bench.layout.errors / name).touch()
    found = finding(health, "archiver errors")
    assert (found.level, found.keeps_from_backup) == (Level.FAILED, False)
    assert "2 file(s)" in found.hint
    assert f"the newest {names[1]}" in found.hint
    assert "the log tells why" in found.hint
    later = replace(health, now=lambda: NOON + timedelta(hours=23))
    assert finding(later, "archiver errors").level is Level.WARNING


def test_what_is_set_aside_keeps_no_backup_from_being_taken(bench: Bench) -> None:
    (bench.layout.incoming / "stranger").touch()
    bench.pass_wal()
    assert len(list(bench.layout.errors.iterdir())) == 1
    assert not finding(bench.check.wal_health, "archiver errors").is_ok
    assert bench.done_backup().status is Status.DONE


def test_an_open_gap_fails_the_check_and_an_acknowledged_one_does_not(
    bench: Bench, health: WalHealth
) -> None:
    archive(bench, 1)
    assert finding(health, "WAL gaps").is_ok
    archive(bench, 4)
    found = finding(health, "WAL gaps")
    assert found.level is Level.FAILED
    assert "2 segment(s) missing" in found.hint
    assert "barmanctl wal-gaps main" in found.hint
    (gap,) = bench.catalog.wal_gaps.of_server("main")
    bench.catalog.wal_gaps.acknowledge(
        "main", gap.id, reason="known", actor="anna", now=bench.clock()
    )
    assert finding(health, "WAL gaps") == passed("WAL gaps", "1 acknowledged")


def test_a_long_queue_fails_the_check(bench: Bench, health: WalHealth) -> None:
    strict = replace(health, most_waiting=1)
    for folder, name in (
        (bench.layout.incoming, "incoming WALs directory"),
        (bench.layout.streaming, "streaming WALs directory"),
    ):
        lay_segment(folder, 1)
        assert finding(strict, name).is_ok
        lay_segment(folder, 2)
        found = finding(strict, name)
        assert (found.level, found.hint) == (Level.FAILED, "2 files, of at most 1")


def test_files_that_nobody_takes_in_are_a_warning(bench: Bench, health: WalHealth) -> None:
    """What came before the settings were changed lies there for ever."""
    pushed = replace(health, streams=False, most_waiting=1)
    assert finding(pushed, "empty streaming directory").is_ok
    lay_segment(bench.layout.streaming, 1)
    found = finding(pushed, "empty streaming directory")
    assert found.level is Level.WARNING
    assert "though streaming_archiver is off" in found.hint
    streamed = replace(health, takes_pushed=False)
    lay_segment(bench.layout.incoming, 1)
    assert "archiver is off" in finding(streamed, "empty incoming directory").hint


def test_a_directory_that_is_gone_is_named(bench: Bench, health: WalHealth) -> None:
    bench.layout.incoming.rmdir()
    with pytest.raises(StorageFailed, match="incoming"):
        list(health.queues())
    bench.layout.errors.rmdir()
    with pytest.raises(StorageFailed, match="errors"):
        list(health.aside())


def test_old_wal_fails_the_check(bench: Bench, health: WalHealth) -> None:
    strict = replace(health, oldest=timedelta(hours=1))
    assert finding(strict, "wal maximum age") == failed("wal maximum age", "none yet")
    archive(bench, 1)
    assert finding(strict, "wal maximum age").is_ok
    late = replace(strict, now=lambda: bench.clock() + timedelta(hours=2))
    found = finding(late, "wal maximum age")
    assert found.level is Level.FAILED
    assert "000000010000000000000001" in found.hint
    assert "of at most 1:00:00" in found.hint
