"""Ids only ever grow, and a word means one backup or none."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.backup import Backup, Status
from barmand.model.errors import NotFound, Refused, UsageError
from barmand.model.naming import ID_FORMAT, SHORTCUTS, find, is_id, next_id, valid_name

ROME = ZoneInfo("Europe/Rome")
moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1))  # noqa: DTZ001 - zones come apart
clocks = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    moments,
    st.sampled_from([UTC, ROME, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")]),
    st.integers(0, 1),
)


# --------------------------------------------------------------------------------------------- ids
@given(st.lists(clocks, min_size=2, max_size=20))
def test_ids_grow_whatever_the_clock_does(readings: list[datetime]) -> None:
    ids: list[str] = []
    for reading in readings:
        ids.append(next_id(ids[-1] if ids else None, reading))
    assert all(one < two for one, two in pairwise(ids))
    assert all(is_id(each) for each in ids)


@given(clocks)
def test_the_first_id_is_the_local_time_to_the_second(reading: datetime) -> None:
    assert next_id(None, reading) == reading.strftime(ID_FORMAT)


def test_two_starts_in_one_second_are_a_second_apart() -> None:
    now = datetime(2024, 5, 1, 23, 59, 59, 250_000, tzinfo=UTC)
    first = next_id(None, now)
    assert (first, next_id(first, now)) == ("20240501T235959", "20240502T000000")


def test_the_hour_that_comes_twice_has_each_id_once() -> None:
    start = datetime(2024, 10, 27, 0, 0, tzinfo=UTC)
    ids: list[str] = []
    for minutes in range(0, 180, 10):
        local = (start + timedelta(minutes=minutes)).astimezone(ROME)
        ids.append(next_id(ids[-1] if ids else None, local))
    assert ids == sorted(set(ids))
    assert ids[0] == "20241027T020000"
    assert ids[-1] == "20241027T035000"


def test_a_clock_set_back_counts_on() -> None:
    before = datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert next_id("20240501T120000", before - timedelta(days=3)) == "20240501T120001"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20240501",
        "20240501T12000",
        "20240501T1200000",
        "20240501t120000",
        "20240501T120000\n",
        " 20240501T120000",
        "../0240501T120000",
        "20241301T120000",
        "20240230T120000",
        "20240501T240000",
        "99999999T999999",
        "\u0662\u0660\u0662\u0664\u0660\u0665\u0660\u0661T120000",
    ],
)
def test_what_no_clock_ever_showed_is_no_id(text: str) -> None:
    assert not is_id(text)


# ------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize(
    "name",
    [
        "a",
        "fail",
        "failed",
        "last-",
        "LAST-",
        "first-full",
        "oldest-full",
        "before the upgrade",
        "-x",
        "käse",
        "20240501",
        "20240501T120000-extra",
        "99999999T999999",
        "none",
        "x" * 255,
        "ü" * 127,
    ],
)
def test_an_ordinary_word_is_a_name(name: str) -> None:
    assert valid_name(name) == name


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "cannot be empty"),
        ("   ", "cannot be empty"),
        ("\n", "cannot be empty"),
        ("20240501T120000", "cannot look like an id"),
        (" a", "could not read back"),
        ("a ", "could not read back"),
        ("a\n", "could not read back"),
        ("None", "could not read back"),
        *((word, "already means a backup") for word in SHORTCUTS),
        *((word.upper(), "already means a backup") for word in SHORTCUTS),
        *((word.title(), "already means a backup") for word in SHORTCUTS),
        *((word, "already means a backup") for word in ("auto", "AUTO", "la\u017ft")),
        ("all", "means every backup"),
        ("All", "means every backup"),
        ("a\nb", "cannot hold control characters"),
        ("a\0b", "cannot hold control characters"),
        ("a\x1b[2Jb", "cannot hold control characters"),
        ("a\u202eb", "cannot hold control characters"),
        ("a\udcffb", "cannot hold control characters"),
        ("x" * 256, "at most 255 bytes"),
        ("ü" * 128, "at most 255 bytes"),
    ],
)
def test_a_name_that_breaks_a_rule_is_told_which(name: str, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        valid_name(name)


# ----------------------------------------------------------------------------------------- finding
def backup(
    number: int, status: Status, name: str | None = None, parent: str | None = None
) -> Backup:
    return Backup(
        server="main",
        id=f"20240501T0000{number:02}",
        status=status,
        method="postgres",
        name=name,
        parent_id=parent,
        queued_at=datetime(2024, 5, 1, tzinfo=UTC),
    )


BACKUPS = [
    backup(1, Status.FAILED),
    backup(2, Status.DONE, "weekly"),
    backup(3, Status.DONE),
    backup(4, Status.FAILED, "failed"),
    backup(5, Status.WAITING_FOR_WALS),
    backup(6, Status.DONE, parent="20240501T000005"),
    backup(7, Status.DELETING),
    backup(8, Status.STARTED, "running"),
]


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("first", 2),
        ("oldest", 2),
        ("last", 6),
        ("latest", 6),
        ("last-full", 5),
        ("latest-full", 5),
        ("last-failed", 4),
        ("weekly", 2),
        ("failed", 4),
        ("running", 8),
        ("20240501T000007", 7),
    ],
)
def test_a_word_means_one_backup(word: str, number: int) -> None:
    assert find(BACKUPS, "main", word).id == f"20240501T0000{number:02}"


def test_the_shortcuts_are_these_words_and_no_others() -> None:
    assert set(SHORTCUTS) == {
        *("first", "oldest", "last", "latest"),
        *("last-full", "latest-full", "last-failed"),
    }


@pytest.mark.parametrize("word", ["a", "fail", "last-", "Last", "nothing", "20240501T000099", ""])
def test_a_word_that_is_no_shortcut_is_a_name_or_an_id(word: str) -> None:
    with pytest.raises(NotFound, match="server main has no backup") as error:
        find(BACKUPS, "main", word)
    assert error.value.hint is not None


@pytest.mark.parametrize("word", SHORTCUTS)
def test_a_shortcut_without_backups_means_none(word: str) -> None:
    with pytest.raises(NotFound, match=f"no backup that '{word}' could mean"):
        find([], "main", word)


def test_a_name_that_several_share_means_the_newest_that_can_be_restored() -> None:
    series = [backup(n, Status.DONE, "weekly") for n in (1, 2)] + [
        backup(3, Status.FAILED, "weekly")
    ]
    assert find(series, "main", "weekly") == series[1]
    assert find(series[2:], "main", "weekly") == series[2]


def test_a_name_that_two_backups_have_is_refused_where_it_must_mean_one() -> None:
    twins = [backup(1, Status.DONE, "twin"), backup(2, Status.DONE, "twin")]
    with pytest.raises(Refused, match="20240501T000001, 20240501T000002"):
        find(twins, "main", "twin", only=True)
