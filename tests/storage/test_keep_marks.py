"""Barman's marks of kept backups, read in both of their places, and written."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.storage.keep_marks import keep_of, kept, kept_ones, mark_kept, release
from barmand.storage.layout import Layout
from fakes import layout_in

ID = "20260102T030405"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = layout_in(tmp_path)
    layout.prepare()
    layout.backup(ID).mkdir()
    return layout


def test_a_backup_without_a_mark_is_not_kept(layout: Layout) -> None:
    assert keep_of(layout, ID) is None


@pytest.mark.parametrize(
    ("content", "keep"),
    [
        (b"standalone", Keep.STANDALONE),
        (b"standalone\n", Keep.STANDALONE),
        (b"full", Keep.FULL),
        (b"", Keep.FULL),
        (b"\xff something else", Keep.FULL),
    ],
)
@pytest.mark.parametrize("is_old", [False, True])
def test_the_mark_says_how(layout: Layout, content: bytes, keep: Keep, is_old: bool) -> None:
    mark = layout.old_keep_mark(ID) if is_old else layout.keep_mark(ID)
    mark.parent.mkdir(exist_ok=True)
    mark.write_bytes(content)
    assert keep_of(layout, ID) is keep


def test_the_newer_place_counts_first(layout: Layout) -> None:
    layout.keep_mark(ID).write_text("full")
    layout.old_keep_mark(ID).parent.mkdir()
    layout.old_keep_mark(ID).write_text("standalone")
    assert keep_of(layout, ID) is Keep.FULL


def test_a_mark_that_cannot_be_read_is_a_failure_and_not_the_absence_of_one(layout: Layout) -> None:
    layout.keep_mark(ID).mkdir()
    with pytest.raises(StorageFailed, match="cannot read"):
        keep_of(layout, ID)


# ---------------------------------------------------------------------------------------- written

UNTIL = datetime(2027, 1, 31, tzinfo=UTC)
SAID = Kept(target=Keep.FULL, reason="the audit of 2026", until=UNTIL, actor="uid 0", since=UNTIL)


def test_what_was_said_is_read_back(layout: Layout) -> None:
    mark_kept(layout, ID, SAID)
    assert kept(layout, ID) == SAID
    assert layout.keep_mark(ID).read_bytes() == b"full"


def test_a_new_mark_takes_the_place_of_the_old_one(layout: Layout) -> None:
    layout.old_keep_mark(ID).parent.mkdir()
    layout.old_keep_mark(ID).write_text("full")
    mark_kept(layout, ID, replace(SAID, target=Keep.STANDALONE))
    assert keep_of(layout, ID) is Keep.STANDALONE
    assert not layout.old_keep_mark(ID).exists()


def test_a_mark_that_barman_made_anew_has_no_end(layout: Layout) -> None:
    mark_kept(layout, ID, SAID)
    os.utime(layout.keep_mark(ID), ns=(1, 1))
    assert kept(layout, ID) == Kept(target=Keep.FULL)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 2}', '{"format": 1}'])
def test_what_was_said_and_is_damaged_has_no_end(layout: Layout, text: str) -> None:
    mark_kept(layout, ID, SAID)
    layout.keep_card(ID).write_text(text)
    assert kept(layout, ID) == Kept(target=Keep.FULL)


def test_what_was_said_alone_keeps_nothing(layout: Layout) -> None:
    mark_kept(layout, ID, SAID)
    layout.keep_mark(ID).unlink()
    assert kept(layout, ID) is None


def test_released_nothing_is_left_in_either_place(layout: Layout) -> None:
    mark_kept(layout, ID, SAID)
    layout.old_keep_mark(ID).parent.mkdir()
    layout.old_keep_mark(ID).write_text("standalone")
    release(layout, ID)
    release(layout, ID)
    assert kept(layout, ID) is None
    assert list(layout.meta.iterdir()) == []


# ---------------------------------------------------------------------------------- many at once

IDS = [f"2026010{day}T030405" for day in range(1, 7)]


def test_of_many_those_that_are_kept_are_found_in_either_place(layout: Layout) -> None:
    for each in IDS:
        layout.backup(each).mkdir(exist_ok=True)
    mark_kept(layout, IDS[1], SAID)
    old = layout.old_keep_mark(IDS[4])
    old.parent.mkdir()
    old.write_text("standalone")
    found = kept_ones(layout, IDS)
    assert found == {IDS[1]: SAID, IDS[4]: Kept(target=Keep.STANDALONE)}


def test_of_many_one_mark_that_cannot_be_read_fails_all(layout: Layout) -> None:
    mark_kept(layout, IDS[0], SAID)
    layout.keep_mark(IDS[3]).mkdir()
    with pytest.raises(StorageFailed, match=f"cannot read .*{IDS[3]}-keep"):
        kept_ones(layout, IDS)


def test_an_old_place_that_cannot_be_looked_at_is_a_failure(layout: Layout) -> None:
    layout.backup(ID).rmdir()
    layout.backup(ID).symlink_to(ID)  # round in circles
    with pytest.raises(StorageFailed, match=f"cannot look at .*{ID}/annotations/keep"):
        kept_ones(layout, [ID])
    with pytest.raises(StorageFailed, match=f"cannot look at .*{ID}/data"):
        layout.with_copy([ID])


def test_a_copy_is_a_folder(layout: Layout) -> None:
    for each in IDS[:2]:
        layout.data(each).mkdir(parents=True)
    layout.backup(IDS[2]).mkdir(exist_ok=True)
    layout.data(IDS[2]).write_text("no folder")
    layout.backup(IDS[3]).write_text("no folder either")
    assert layout.with_copy(IDS) == set(IDS[:2])
