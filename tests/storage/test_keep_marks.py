"""Barman's marks of kept backups, read in both of their places."""

from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.model.retention import Keep
from barmand.storage.keep_marks import keep_of
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
