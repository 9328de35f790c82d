"""What a check says of the backups that there are, and of those that there should be."""

from dataclasses import replace
from datetime import timedelta

import pytest

from barmand.model.backup import INTERRUPTED, Backup, Reason
from barmand.model.finding import Finding, Level, failed, passed, warned
from barmand.model.proof import Flaw, Proof, Verdict
from barmand.model.retention_policy import RecoveryWindow, Redundancy
from barmand.operations.backup_health import BackupHealth
from barmand.storage import backup_info
from fakes import Bench

OK, WARNING, FAILED = Level
BROKEN = Reason("ToolFailed", "it failed")
CANCELLED = Reason("Stopped", "cancelled by anna")


@pytest.fixture
def health(bench: Bench) -> BackupHealth:
    return bench.check.backup_health


def limited(health: BackupHealth, **limits: object) -> BackupHealth:
    return replace(health, limits=replace(health.limits, **limits))  # type: ignore[arg-type] # named by the tests


def later(bench: Bench, health: BackupHealth, hours: float) -> BackupHealth:
    return replace(health, now=lambda: bench.clock() + timedelta(hours=hours))


def broken(bench: Bench, reason: Reason = BROKEN) -> Backup:
    """It had begun when it failed."""
    bench.postgres.write(0x28)
    queued, cluster = bench.queue(), bench.postgres.facts()
    backup_info.save_identity(bench.layout, cluster.system_id, cluster.version)
    begun = queued.begun(bench.clock(), cluster)
    bench.catalog.backups.move(queued, begun, now=bench.clock())
    return bench.record.fail(begun, reason)


def finding(health: BackupHealth, name: str) -> Finding:
    (found,) = [each for each in health.findings() if each.name == name]
    return found


def test_a_new_server_fails_nothing(health: BackupHealth) -> None:
    found = list(health.findings())
    assert [each.name for each in found] == [
        "backup maximum age",
        "minimum redundancy requirements",
        "retention policy settings",
        "damaged backups",
        "failed backups",
        "waiting backups",
    ]
    assert all(each.is_ok for each in found)


def test_no_finding_keeps_a_backup_from_being_taken(bench: Bench, health: BackupHealth) -> None:
    broken(bench)
    strict = limited(health, oldest=timedelta(0), smallest=1 << 50, redundancy=9)
    found = list(strict.findings())
    assert [each.level for each in found].count(FAILED) == 4
    assert not any(each.keeps_from_backup for each in found)


def test_a_backup_must_not_be_older_than_it_may(bench: Bench, health: BackupHealth) -> None:
    strict = limited(health, oldest=timedelta(hours=26))
    assert finding(strict, "backup maximum age") == failed(
        "backup maximum age", "no backup is DONE: take one with `barmanctl backup main`"
    )
    backup = bench.done_backup()
    assert finding(strict, "backup maximum age").is_ok
    found = finding(later(bench, strict, 27), "backup maximum age")
    assert found.level is FAILED
    assert f"{backup.id} began 1 day, 3:00:" in found.hint
    assert "of at most 1 day, 2:00:00" in found.hint
    assert found.measure is not None
    assert found.measure.critical == 26 * 3600


def test_a_backup_that_waits_or_failed_makes_no_server_younger(
    bench: Bench, health: BackupHealth
) -> None:
    strict = limited(health, oldest=timedelta(hours=1))
    bench.failed_backup()
    bench.copied_backup()
    found = finding(strict, "backup maximum age")
    assert found.level is FAILED
    assert "has what waits for WAL" in found.hint


def test_a_clock_that_was_set_back_makes_no_backup_old(bench: Bench, health: BackupHealth) -> None:
    bench.done_backup()
    strict = later(bench, limited(health, oldest=timedelta(hours=1)), -1000)
    assert finding(strict, "backup maximum age").is_ok


def test_a_backup_must_not_be_smaller_than_it_may(bench: Bench, health: BackupHealth) -> None:
    assert finding(limited(health, smallest=1), "backup minimum size").level is FAILED
    backup = bench.done_backup()
    assert backup.copied is not None
    size = backup.copied.size
    assert finding(limited(health, smallest=size), "backup minimum size").is_ok
    found = finding(limited(health, smallest=size + 1), "backup minimum size")
    assert (found.level, found.hint) == (
        FAILED,
        f"{backup.id} has {size} bytes, of at least {size + 1}",
    )


def test_redundancy_counts_what_is_done(bench: Bench, health: BackupHealth) -> None:
    strict = limited(health, redundancy=1)
    bench.copied_backup()
    name = "minimum redundancy requirements"
    assert finding(strict, name).hint == "have 0 backups, expected at least 1"
    assert finding(strict, name).level is FAILED
    bench.done_backup()
    assert finding(strict, name).is_ok


def test_a_failed_backup_is_an_alarm_until_one_succeeds(bench: Bench, health: BackupHealth) -> None:
    bad = broken(bench)
    found = finding(health, "failed backups")
    assert found.level is FAILED
    assert f"1 FAILED and none is DONE: {bad.id}, it failed; `barmanctl show" in found.hint
    good = bench.done_backup()
    found = finding(health, "failed backups")
    assert found == passed("failed backups", "none")
    bad = broken(bench)
    found = finding(health, "failed backups")
    assert found.level is FAILED
    assert f"1 FAILED since {good.id}, the last that is DONE: {bad.id}" in found.hint


def test_failures_before_one_that_waits_for_its_wal_are_a_warning(
    bench: Bench, health: BackupHealth
) -> None:
    broken(bench)
    broken(bench)
    copied = bench.copied_backup()
    found = finding(limited(health, failed_age=timedelta(days=30)), "failed backups")
    assert found.level is WARNING
    assert found.hint.startswith("2 FAILED and none is DONE")
    assert f"{copied.id} went well after it" in found.hint
    assert "goes by itself after 30 days, 0:00:00 (failed_backup_maximum_age)" in found.hint
    found = finding(limited(health, failed_age=None), "failed backups")
    assert "stays until `barmanctl delete`" in found.hint


def test_a_stop_is_no_failure_and_ends_no_alarm(bench: Bench, health: BackupHealth) -> None:
    bench.done_backup()
    stopped = broken(bench, CANCELLED)
    found = finding(health, "failed backups")
    assert found.level is OK
    assert f"{stopped.id}: cancelled by anna" in found.hint
    broken(bench)
    broken(bench, CANCELLED)
    assert finding(health, "failed backups").level is FAILED


def test_what_never_began_is_no_failure_either(bench: Bench, health: BackupHealth) -> None:
    refused = bench.failed_backup()
    found = finding(health, "failed backups")
    assert found.level is OK
    assert f"not begun, was {refused.id}: it failed" in found.hint


def test_a_backup_that_barmand_died_in_is_a_warning(bench: Bench, health: BackupHealth) -> None:
    broken(bench, INTERRUPTED)
    assert finding(health, "failed backups").level is WARNING
    bench.copied_backup()
    assert finding(health, "failed backups").level is OK


@pytest.mark.parametrize(
    ("hours", "level"), [(0.0, OK), (2.0, WARNING), (23.0, WARNING), (25.0, FAILED)]
)
def test_a_backup_that_waits_for_its_wal_is_told_in_time(
    bench: Bench, health: BackupHealth, hours: float, level: Level
) -> None:
    backup = bench.copied_backup()
    found = finding(later(bench, health, hours), "waiting backups")
    assert found.level is level
    assert f"1 wait for WAL, {backup.id} for" in found.hint
    assert ("check-backup main" in found.hint) is (level is not OK)


def test_a_deletion_that_did_not_end_is_a_warning(bench: Bench, health: BackupHealth) -> None:
    backup = bench.done_backup()
    bench.catalog.backups.move(backup, backup.deleting(), now=bench.clock())
    found = finding(health, "deletions")
    assert found.level is WARNING
    assert f"1 not complete ({backup.id})" in found.hint
    assert "each pass of retention tries again" in found.hint
    working = replace(health, works_on_deletion=lambda each: each.id == backup.id)
    assert [each.name for each in working.findings() if each.name == "deletions"] == []


def test_a_policy_that_the_redundancy_overrules_is_a_warning(health: BackupHealth) -> None:
    name = "retention policy settings"
    assert "no backup is deleted by itself" in finding(health, name).hint
    strict = limited(health, redundancy=3, policy=Redundancy(2))
    assert finding(strict, name) == warned(
        name, "REDUNDANCY 2, though minimum_redundancy keeps 3: mend one of them"
    )
    for policy in (Redundancy(3), RecoveryWindow(1, "DAYS")):
        assert finding(limited(health, redundancy=3, policy=policy), name) == passed(
            name, str(policy)
        )


def test_what_a_verification_found_damaged_is_an_alarm(bench: Bench, health: BackupHealth) -> None:
    backup = bench.done_backup()
    assert finding(health, "damaged backups").is_ok
    proof = Proof(
        at=bench.clock(),
        verdict=Verdict.DAMAGED,
        flaws=(Flaw("base/1/1259", "its content changed"),),
        flaw_count=1,
        notes=(),
        bytes_read=1,
        seconds=1.0,
    )
    bench.catalog.proofs.remember(backup, proof, actor="anna")
    found = finding(health, "damaged backups")
    assert found.level is FAILED
    assert f"1 found damaged by a verification, {backup.id}" in found.hint


def test_bad_pages_of_the_cluster_are_an_alarm(bench: Bench, health: BackupHealth) -> None:
    backup = bench.done_backup()
    with bench.catalog.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE backups SET damages = ? WHERE id = ?", ('[["base/1/1259", [3]]]', backup.id)
        )
    found = finding(health, "damaged backups")
    assert found.level is FAILED
    assert f"{backup.id} has bad pages, as the cluster itself has" in found.hint
