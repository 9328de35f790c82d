"""Where things lie, and that no word leads out of its root."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.errors import StorageFailed
from barmand.storage.layout import Layout

ID = "20260101T020304"
SEGMENT = "0000000100000002000000AB"


def layout_in(home: Path) -> Layout:
    places = (home / name for name in ("base", "wals", "incoming", "streaming", "errors"))
    return Layout("main", home, *places)


def test_everything_lies_where_barman_puts_it() -> None:
    layout = layout_in(Path("/b/main"))
    assert layout.identity == Path("/b/main/identity.json")
    assert layout.data(ID) == Path(f"/b/main/base/{ID}/data")
    assert layout.tablespace(ID, 16384) == Path(f"/b/main/base/{ID}/16384")
    assert layout.info(ID) == Path(f"/b/main/meta/{ID}-backup.info")
    assert layout.old_info(ID) == Path(f"/b/main/base/{ID}/backup.info")
    assert layout.card(ID) == Path(f"/b/main/meta/{ID}-barmand.json")
    assert layout.delete_mark(ID) == Path(f"/b/main/meta/{ID}-delete_this")
    assert layout.keep_mark(ID) == Path(f"/b/main/meta/{ID}-keep")
    assert layout.wal(SEGMENT) == Path(f"/b/main/wals/0000000100000002/{SEGMENT}")
    label = f"{SEGMENT}.00000028.backup"
    assert layout.wal(label) == Path(f"/b/main/wals/0000000100000002/{label}")
    assert layout.wal("00000002.history") == Path("/b/main/wals/00000002.history")


@given(st.sampled_from(["../../etc", "20260101T02030", f"{ID}\n", f"{ID}/..", ""]) | st.text())
def test_a_word_that_is_no_id_never_becomes_a_path(word: str) -> None:
    layout = layout_in(Path("/b/main"))
    for place in (layout.backup, layout.info, layout.old_info, layout.card, layout.delete_mark):
        with pytest.raises(ValueError, match="id"):
            place(word)


@pytest.mark.parametrize(
    "name",
    ["../../x", SEGMENT.lower(), SEGMENT[:23], SEGMENT + "0", f"{SEGMENT}.part", "", "a\0b"],
)
def test_a_word_that_is_no_wal_name_never_becomes_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="WAL"):
        layout_in(Path("/b/main")).wal(name)


def test_prepare_makes_directories_that_only_we_can_enter(tmp_path: Path) -> None:
    layout = layout_in(tmp_path / "deep" / "main")
    layout.prepare()
    layout.prepare()
    for place in (layout.meta, layout.base, layout.wals, layout.streaming, layout.errors):
        assert place.stat().st_mode & 0o777 == 0o700


def test_backups_are_found_by_either_info_or_by_what_they_left(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    assert layout.backup_ids() == []
    layout.prepare()
    layout.info("20260103T000000").touch()
    layout.backup("20260101T000000").mkdir()
    layout.backup("20260102T000000").mkdir()
    layout.old_info("20260102T000000").touch()
    (layout.base / "20260109T000000").touch()
    (layout.base / "lost+found").mkdir()
    layout.card("20260108T000000").touch()
    (layout.meta / ".barmand-0123.tmp").touch()
    assert layout.backup_ids() == ["20260101T000000", "20260102T000000", "20260103T000000"]


def test_a_base_that_is_a_file_is_told_with_its_path(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    layout.base.touch()
    with pytest.raises(StorageFailed, match=f"cannot list {layout.base}"):
        layout.backup_ids()
