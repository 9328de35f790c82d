"""Barman's language for how long backups stay."""

from datetime import timedelta

import pytest

from barmand.model.retention_policy import RecoveryWindow, Redundancy, parse_policy


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("REDUNDANCY 2", Redundancy(2)),
        ("  redundancy \t 10 ", Redundancy(10)),
        ("RECOVERY WINDOW OF 7 DAYS", RecoveryWindow(7, "DAYS")),
        ("Recovery  window OF 1 day", RecoveryWindow(1, "DAYS")),
        ("recovery window of 3 Weeks", RecoveryWindow(3, "WEEKS")),
        ("RECOVERY WINDOW OF 1 MONTH", RecoveryWindow(1, "MONTHS")),
        ("none", None),
        ("", None),
    ],
)
def test_what_barman_takes_is_taken(text: str, policy: object) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text",
    [
        *("REDUNDANCY", "REDUNDANCY 0", "REDUNDANCY -1", "REDUNDANCY 2.5", "REDUNDANCY 2 DAYS"),
        *("RECOVERY WINDOW OF 0 DAYS", "RECOVERY WINDOW OF 7", "RECOVERY WINDOW 7 DAYS"),
        *("RECOVERY WINDOW OF 7 HOURS", "RECOVERY WINDOW OF 999999999 MONTHS", "7 DAYS"),
        *("REDUNDANCY 2, RECOVERY WINDOW OF 7 DAYS", "REDUNDANCY ٣", "auto"),
    ],
)
def test_what_would_keep_nothing_or_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must (be|have)"):
        parse_policy(text)


@pytest.mark.parametrize(
    ("window", "days"),
    [
        (RecoveryWindow(2, "DAYS"), 2),
        (RecoveryWindow(2, "WEEKS"), 14),
        (RecoveryWindow(2, "MONTHS"), 62),
    ],
)
def test_a_month_has_31_days(window: RecoveryWindow, days: int) -> None:
    assert window.span == timedelta(days=days)


@pytest.mark.parametrize("text", ["REDUNDANCY 3", "RECOVERY WINDOW OF 4 WEEKS"])
def test_its_text_reads_back(text: str) -> None:
    assert str(parse_policy(text)) == text
