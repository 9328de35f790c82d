"""A server that is not ready is told everything that is wrong with it."""

import pytest

from barmand.model.errors import CheckFailed
from barmand.model.finding import Finding, demand


def test_a_server_without_a_failed_finding_is_ready() -> None:
    demand("main", [])
    demand("main", [Finding("PostgreSQL", "15.18"), Finding("replication slot")])


def test_each_finding_that_failed_is_named() -> None:
    findings = [
        Finding("PostgreSQL", "cannot connect", is_ok=False),
        Finding("directories", "all there"),
        Finding("replication slot", "there is none", is_ok=False),
    ]
    with pytest.raises(CheckFailed) as error:
        demand("main", findings)
    assert error.value.message == (
        "server main is not ready for a backup: "
        "PostgreSQL: cannot connect; replication slot: there is none"
    )
    assert error.value.hint == "`barmanctl check main` looks again, at any time."
