"""What of a check keeps a backup from being taken, and how bad it is as a whole."""

import pytest

from barmand.model.errors import CheckFailed
from barmand.model.finding import Finding, Level, demand, demanded, failed, passed, warned, worst

ALARM = failed("WAL gaps", "3 missing")
NOTE = warned("clock", "see to NTP")
FINE = passed("directories", "all there")


def test_each_finding_that_keeps_from_a_backup_is_named_and_no_other() -> None:
    obstacles = [
        failed("PostgreSQL", "cannot connect", keeps_from_backup=True),
        demanded("replication slot", "there is none", is_ok=False),
    ]
    with pytest.raises(CheckFailed) as raised:
        demand("main", [obstacles[0], FINE, ALARM, NOTE, obstacles[1]])
    assert raised.value.message == (
        "server main is not ready for a backup: PostgreSQL: cannot connect; "
        "replication slot: there is none"
    )
    assert "barmanctl check main" in (raised.value.hint or "")


def test_alarms_keep_no_backup_from_being_taken() -> None:
    demand("main", [FINE, ALARM, NOTE, demanded("wal_level", "replica", is_ok=True)])


@pytest.mark.parametrize(
    ("findings", "level"),
    [
        ([], Level.OK),
        ([FINE], Level.OK),
        ([FINE, NOTE], Level.WARNING),
        ([ALARM, NOTE, FINE], Level.FAILED),
    ],
)
def test_the_worst_finding_is_the_verdict(findings: list[Finding], level: Level) -> None:
    assert worst(findings) is level
    assert all(finding.is_ok for finding in findings) is (level is Level.OK)
