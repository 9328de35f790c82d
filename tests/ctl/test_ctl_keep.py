"""What is asked about keeping, and how the answers are told."""

import argparse
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from barmand.ctl import arguments, values
from barmand.model.errors import UsageError
from barmand.wire.keep_messages import (
    AskRetention,
    ForecastView,
    Keep,
    KeepReply,
    RetentionReply,
    VerdictView,
)
from ctl.conftest import Tell

END = datetime(2027, 1, 31, 23, 0, tzinfo=UTC)
KEPT = KeepReply(
    server="main",
    backup_id="20260116T020500",
    target="full",
    reason="the audit",
    until=END,
    kept_by="uid 0 (root)",
    changed=True,
    warning=None,
)
OLD = VerdictView(
    backup_id="20260116T020500",
    name="weekly",
    status="DONE",
    retention="OBSOLETE",
    why="a newer one is DONE: 20260117T020500",
    until=None,
    goes=True,
)
JUDGED = RetentionReply(
    server="main",
    policy="REDUNDANCY 1",
    minimum_redundancy=1,
    failed_backup_maximum_age_seconds=30 * 86_400.0,
    hindrance=None,
    backups=[OLD],
    forecast=None,
)


def asked(line: str) -> dict[str, Any]:
    parsed = arguments.parse(line.split())
    assert parsed is not None
    return parsed.params


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (
            "keep main last --target full",
            Keep(server="main", backup="last", action="set", target="full"),
        ),
        (
            "keep main last --target standalone --reason audit --until 2027-01-31",
            Keep(
                server="main",
                backup="last",
                action="set",
                target="standalone",
                reason="audit",
                until=END,
            ),
        ),
        ("keep --release main last", Keep(server="main", backup="last", action="release")),
        ("keep main last -s", Keep(server="main", backup="last", action="status")),
    ],
)
def test_a_keep_command_becomes_a_request(line: str, request_: Keep) -> None:
    assert msgspec.convert(asked(line), Keep) == request_


def test_retention_is_asked_with_or_without_a_forecast() -> None:
    for line, is_dry in (("retention main", False), ("retention main --dry-run", True)):
        request = msgspec.convert(asked(line), AskRetention)
        assert request == AskRetention(server="main", dry_run=is_dry)


@pytest.mark.parametrize(
    "line",
    [
        "keep main last",
        "keep main last --target half",
        "keep main last --target full --release",
        "keep main --status",
        "keep main last --target full --until tomorrow",
        "retention",
    ],
)
def test_what_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        arguments.parse(line.split())


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2027-01-31", "2027-02-01T00:00:00+01:00"),
        ("2027-06-30", "2027-07-01T00:00:00+02:00"),
        ("2027-01-31T18:00", "2027-01-31T18:00:00+01:00"),
        ("2027-01-31T18:00Z", "2027-01-31T19:00:00+01:00"),
    ],
)
def test_a_day_counts_through_its_end_on_the_callers_clock(text: str, end: str) -> None:
    assert values.end_date(text) == end


@pytest.mark.parametrize("text", ["", "31.1.2027", "2027-13-01", "1w"])
def test_what_is_no_day_is_said_to_be_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither a date"):
        values.end_date(text)


def test_a_day_that_no_clock_reaches_is_said_to_be_too_far() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="'9999-12-31' is too far away"):
        values.end_date("9999-12-31")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "kept full by uid 0 (root), until 2027-02-01 00:00:00 +0100: the audit"),
        (
            {"reason": None, "until": None, "kept_by": None},
            "kept full",
        ),
        ({"target": None}, "released"),
        ({"target": None, "changed": False}, "not kept"),
    ],
)
def test_a_keep_is_told_in_a_line(tell: Tell, changes: dict[str, Any], line: str) -> None:
    reply = msgspec.structs.replace(KEPT, **changes)
    assert tell("keep main last --status", reply) == (0, f"main 20260116T020500: {line}\n", "")


def test_a_warning_follows(tell: Tell) -> None:
    reply = msgspec.structs.replace(KEPT, warning="WAL is gone")
    _, out, _ = tell("keep main last --target full", reply)
    assert out.splitlines()[1] == "warning: WAL is gone"


def test_retention_tells_its_rules_and_each_backup(tell: Tell) -> None:
    _, out, _ = tell("retention main", JUDGED)
    assert out.splitlines() == [
        "main: REDUNDANCY 1; minimum_redundancy 1; failed backups go after 30 days",
        "",
        "ID               NAME    STATUS  RETENTION  UNTIL  WHY",
        "20260116T020500  weekly  DONE    OBSOLETE   -      a newer one is DONE: 20260117T020500",
    ]


@pytest.mark.parametrize(
    ("hindrance", "when"),
    [(None, "The next pass"), ("the clock went ahead", "Once that is over, the next pass")],
)
def test_the_forecast_says_what_goes_and_when(tell: Tell, hindrance: str | None, when: str) -> None:
    forecast = ForecastView(backup_ids=[OLD.backup_id], size_bytes=2048, wals=1, wal_bytes=1 << 24)
    reply = msgspec.structs.replace(JUDGED, forecast=forecast, hindrance=hindrance)
    _, out, _ = tell("retention main --dry-run", reply)
    assert out.splitlines()[-2:] == [
        f"{when} deletes 20260116T020500.",
        "That frees 2.0 KiB of backups, and 1 WAL segment (16.0 MiB).",
    ]
    assert ("Nothing is deleted now: the clock went ahead" in out) is (hindrance is not None)


def test_nothing_to_delete_is_said(tell: Tell) -> None:
    forecast = ForecastView(backup_ids=[], size_bytes=0, wals=0, wal_bytes=0)
    reply = msgspec.structs.replace(JUDGED, backups=[], policy=None, forecast=forecast)
    _, out, _ = tell("retention main --dry-run", reply)
    assert "no retention_policy: nothing that is DONE goes by itself" in out
    assert out.splitlines()[-1] == "no backups"
