"""What a check says of a server's WAL without asking anybody."""

from dataclasses import replace
from datetime import timedelta

import pytest

from barmand.model.backup import Status
from barmand.model.finding import Finding
from barmand.model.wal import Run
from barmand.operations.wal_health import WalHealth
from fakes import NOON, Bench, lay_segment, segment_name


@pytest.fixture
def health(bench: Bench) -> WalHealth:
    return bench.check.wal_health


def finding(health: WalHealth, name: str) -> Finding:
    (found,) = [each for each in health.findings() if each.name == name]
    return found


def archive(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        lay_segment(bench.layout.incoming, number)
    bench.pass_wal()


def test_without_limits_neither_queue_nor_age_is_looked_at(health: WalHealth) -> None:
    names = [each.name for each in health.findings()]
    assert names == ["WAL gaps", "WAL set aside", "free space"]
    assert all(each.is_ok for each in health.findings())


def test_a_file_set_aside_fails_the_check_for_a_day_and_is_counted_afterwards(
    bench: Bench, health: WalHealth
) -> None:
    names = [f"{segment_name(n)}.20250601T1{n}0000Z.duplicate" for n in (0, 1)]
    for name in names:
        (bench.layout.errors / name).touch()
    found = finding(health, "WAL set aside")
    assert not found.is_ok
    assert "2 file(s)" in found.hint
    assert f"the newest {names[1]}" in found.hint
    assert "the log tells why" in found.hint
    later = replace(health, now=lambda: NOON + timedelta(hours=23))
    assert finding(later, "WAL set aside") == Finding(
        "WAL set aside", f"2 file(s) in {bench.layout.errors}, the newest {names[1]}"
    )


def test_what_is_set_aside_keeps_no_backup_from_being_taken(bench: Bench) -> None:
    (bench.layout.incoming / "stranger").touch()
    bench.pass_wal()
    assert len(list(bench.layout.errors.iterdir())) == 1
    assert not finding(bench.check.wal_health, "WAL set aside").is_ok
    assert bench.done_backup().status is Status.DONE


def test_a_full_disk_fails_the_check_with_its_folder_and_what_is_free(
    bench: Bench, health: WalHealth
) -> None:
    found = finding(replace(health, least_free=1 << 62), "free space")
    assert not found.is_ok
    assert f"{bench.layout.wals}: " in found.hint
    assert "bytes free" in found.hint
    assert "incoming" not in found.hint  # the same file system is told once


def test_two_segments_must_fit_whatever_their_size(bench: Bench, health: WalHealth) -> None:
    """A segment of a size that no disk has twice."""
    run = Run(1, 1, 1)
    bench.catalog.wal_runs.adopt("main", [(run, 1)], segment_size=1 << 62, now=bench.clock())
    assert not finding(replace(health, least_free=1), "free space").is_ok


def test_an_open_gap_fails_the_check_and_an_acknowledged_one_does_not(
    bench: Bench, health: WalHealth
) -> None:
    archive(bench, 1)
    assert finding(health, "WAL gaps").is_ok
    archive(bench, 4)
    found = finding(health, "WAL gaps")
    assert not found.is_ok
    assert "2 segment(s) missing" in found.hint
    assert "barmanctl wal-gaps main" in found.hint
    (gap,) = bench.catalog.wal_gaps.of_server("main")
    bench.catalog.wal_gaps.acknowledge(
        "main", gap.id, reason="known", actor="anna", now=bench.clock()
    )
    assert finding(health, "WAL gaps") == Finding("WAL gaps", "1 acknowledged")


def test_a_long_queue_fails_the_check(bench: Bench, health: WalHealth) -> None:
    strict = replace(health, most_waiting=1)
    lay_segment(bench.layout.incoming, 1)
    assert finding(strict, "WAL waiting").is_ok
    lay_segment(bench.layout.streaming, 2)
    found = finding(strict, "WAL waiting")
    assert (found.is_ok, found.hint) == (False, "2 files, of at most 1")


def test_a_directory_that_is_gone_is_a_finding(bench: Bench, health: WalHealth) -> None:
    bench.layout.incoming.rmdir()
    found = finding(replace(health, most_waiting=1), "WAL waiting")
    assert not found.is_ok
    assert str(bench.layout.incoming) in found.hint
    free = finding(health, "free space")
    assert not free.is_ok
    assert str(bench.layout.incoming) in free.hint
    bench.layout.errors.rmdir()
    assert str(bench.layout.errors) in finding(health, "WAL set aside").hint


def test_old_wal_fails_the_check(bench: Bench, health: WalHealth) -> None:
    strict = replace(health, oldest=timedelta(hours=1))
    assert finding(strict, "last archived WAL") == Finding(
        "last archived WAL", "none yet", is_ok=False
    )
    archive(bench, 1)
    assert finding(strict, "last archived WAL").is_ok
    late = replace(strict, now=lambda: bench.clock() + timedelta(hours=2))
    found = finding(late, "last archived WAL")
    assert not found.is_ok
    assert "000000010000000000000001" in found.hint
    assert "of at most 1:00:00" in found.hint
