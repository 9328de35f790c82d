"""What a check says of a server's WAL without asking anybody."""

from dataclasses import replace
from datetime import timedelta

import pytest

from barmand.model.finding import Finding
from barmand.operations.wal_health import WalHealth
from fakes import Bench, lay_segment


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


def test_without_limits_only_gaps_are_looked_at(health: WalHealth) -> None:
    assert [each.name for each in health.findings()] == ["WAL gaps"]


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
