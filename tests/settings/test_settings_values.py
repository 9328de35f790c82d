"""Texts become values, and values become texts that read back the same."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.calendar import CronSchedule
from barmand.model.secret import Conninfo
from barmand.settings.schema import DaemonSettings, ServerSettings, options
from barmand.settings.values import write

OF_DAEMON = options(DaemonSettings)
OF_SERVER = options(ServerSettings)


@pytest.mark.parametrize("text", ["on", "TRUE", "Yes", "1"])
def test_a_flag_is_on(text: str) -> None:
    assert OF_SERVER["active"].read(text) is True


@pytest.mark.parametrize("text", ["off", "False", "NO", "0"])
def test_a_flag_is_off(text: str) -> None:
    assert OF_SERVER["active"].read(text) is False


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("6h", timedelta(hours=6)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(weeks=2)),
        ("2 HOURS", timedelta(hours=2)),
        ("1 minute", timedelta(minutes=1)),
        ("1 Month", timedelta(days=31)),
        ("0h", timedelta(0)),
    ],
)
def test_a_span_is_said_in_our_words_or_barmans(text: str, span: timedelta) -> None:
    assert OF_SERVER["backup_schedule_grace"].read(text) == span


@pytest.mark.parametrize("text", ["s", "", "-1h", "h6", "6 h h", "6ss"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be like 90m"):
        OF_SERVER["backup_schedule_grace"].read(text)


@pytest.mark.parametrize(("text", "limit"), [("0", None), ("", None), ("32", 32)])
def test_no_bandwidth_limit_is_zero_or_nothing(text: str, limit: int | None) -> None:
    assert OF_SERVER["bandwidth_limit"].read(text) == limit


@pytest.mark.parametrize("key", ["description", "wal_conninfo", "slot_name"])
def test_an_empty_text_is_no_value(key: str) -> None:
    assert OF_SERVER[key].read("") is None


def test_a_socket_whose_path_is_too_long_is_refused() -> None:
    option = OF_DAEMON["control_socket"]
    assert option.read("/" + "a" * 106) == Path("/" + "a" * 106)
    with pytest.raises(ValueError, match="at most 107 bytes"):
        option.read("/" + "a" * 107)


@pytest.mark.parametrize("text", ["wheel", "backup-readers", "_g.1", "27"])
def test_a_group_is_named(text: str) -> None:
    assert OF_DAEMON["control_group"].read(text) == text


@pytest.mark.parametrize("text", ["two words", "a:b", "-x"])
def test_what_names_no_group_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a group's name"):
        OF_DAEMON["control_group"].read(text)


@pytest.mark.parametrize(
    "text", ["host=pg", "host = pg", "postgresql://pg/db", "postgres://u:p@pg"]
)
def test_both_forms_of_a_conninfo_are_taken(text: str) -> None:
    assert OF_SERVER["conninfo"].read(text) == Conninfo(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "on"),
        (False, "off"),
        (4, "4"),
        ((), ""),
        ((Path("/a"), Path("/b")), "/a:/b"),
        (timedelta(hours=12), "12h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=61), "61s"),
        (timedelta(days=14), "14d"),
        (Conninfo("host=pg password=x"), "host=pg password=x"),
        (CronSchedule.parse("@daily"), "@daily"),
    ],
)
def test_a_value_is_written_as_it_would_be_read(value: object, text: str) -> None:
    assert write(value) == text


@given(st.integers(0, 366 * 86_400).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_span_written_reads_back(span: timedelta) -> None:
    assert OF_SERVER["backup_schedule_grace"].read(write(span)) == span
