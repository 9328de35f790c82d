"""Sizes, spans, moments and foreign text."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from barmand.ctl import words


@pytest.fixture
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (5 * (1 << 30), "5.0 GiB"),
        (3 << 70, "3072.0 EiB"),
    ],
)
def test_a_size_has_the_unit_that_fits(count: int | None, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (10, "10 B"), (2048, "2.0 KiB (2048 bytes)")],
)
def test_a_size_can_be_told_exactly(count: int | None, text: str) -> None:
    assert words.size_exactly(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.7, "1 min 0 s"),
        (184, "3 min 4 s"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_span_has_its_two_greatest_units(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.usefixtures("_in_berlin")
def test_a_moment_is_told_on_the_readers_clock_with_its_zone() -> None:
    assert words.moment("2026-01-16T01:05:00Z") == "2026-01-16 02:05:00 +0100"
    assert words.minute("2026-07-16T01:05:59+00:00") == "2026-07-16 03:05 +0200"
    assert words.moment(None) == "-"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert words.safe("plain ü 日本") == "plain ü 日本"
    assert words.safe("a\x1b[2Jb\nc\x9b\u202e") == r"a\x1b[2Jb\nc\x9b\u202e"


@pytest.mark.parametrize(
    ("names", "count", "text"),
    [
        (None, None, "-"),
        ([], 0, "none"),
        (["A", "B"], 2, "A, B"),
        (["A"] * 12, 12, ", ".join(["A"] * 10) + " and 2 more"),
        (["A"] * 1000, 5000, ", ".join(["A"] * 10) + " and 4990 more"),
    ],
)
def test_missing_segments_are_named_the_first_ten(
    names: list[str] | None, count: int | None, text: str
) -> None:
    assert words.wals(names, count) == text


def test_progress_says_only_what_is_known() -> None:
    progress: dict[str, Any] = {
        "phase": "copying",
        "bytes_done": None,
        "bytes_total": None,
        "bytes_per_second": None,
        "seconds_left": None,
    }
    assert words.progress_words(progress) == "copying"
    progress["bytes_done"] = 1 << 30
    assert words.progress_words(progress) == "copying: 1.0 GiB"
    progress |= {"bytes_total": 4 << 30, "bytes_per_second": 2048.0, "seconds_left": 30.0}
    assert words.progress_words(progress) == (
        "copying: 1.0 GiB of 4.0 GiB (25 %), 2.0 KiB/s, 30 s left"
    )
    progress["bytes_done"] = 5 << 30
    assert "(100 %)" in words.progress_words(progress)
