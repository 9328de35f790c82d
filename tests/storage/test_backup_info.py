"""The facts of a backup on disk: saved whole, found again, forgotten in a safe order."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.model.backup import Backup, Cluster, Copied, Reason, Status
from barmand.model.errors import StorageFailed
from barmand.storage import backup_info
from barmand.storage.layout import Layout

ID = "20260102T030405"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CLUSTER = Cluster(
    system_id="7711164279157336501",
    version=150018,
    segment_size=16777216,
    pgdata="/pg",
    is_standby=True,
)
COPIED = Copied(
    timeline=1,
    begin_lsn=0x3000028,
    begin_time=START + SECOND,
    end_lsn=0x4000000,
    end_time=START + 2 * SECOND,
    backup_label="START TIMELINE: 1\n",
    size=10,
    deduplicated_size=10,
    copy_seconds=1.5,
)
QUEUED = Backup(
    server="main",
    id=ID,
    status=Status.QUEUED,
    method="postgres",
    name=" None\nof it ",
    requester="uid 1000",
    queued_at=START,
)
STARTED = QUEUED.begun(START + SECOND, CLUSTER)
WAITING = STARTED.with_copy(START + 3 * SECOND, COPIED)
DONE = WAITING.secured(START + 4 * SECOND)
FAILED = STARTED.failed(START + 4 * SECOND, Reason("ToolFailed", "no\nluck\n", "Try again."))
NEVER_BEGUN = QUEUED.failed(START, Reason("CheckFailed", "not ready"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    places = (tmp_path / name for name in ("base", "wals", "incoming", "streaming", "errors"))
    layout = Layout("main", tmp_path, *places)
    layout.prepare()
    return layout


@pytest.mark.parametrize("backup", [WAITING, DONE, FAILED, NEVER_BEGUN])
def test_what_is_saved_is_loaded_whole(layout: Layout, backup: Backup) -> None:
    backup_info.save(layout, backup)
    assert backup_info.load(layout, ID) == backup


@pytest.mark.parametrize("backup", [WAITING, DONE, FAILED])
def test_a_deletion_that_has_begun_is_found_so(layout: Layout, backup: Backup) -> None:
    backup_info.save(layout, backup.deleting())
    assert layout.delete_mark(ID).read_bytes() == b"delete"
    found = backup_info.load(layout, ID)
    assert found == backup.deleting()
    layout.delete_mark(ID).unlink()
    assert backup_info.load(layout, ID) == backup


def test_a_mark_alone_makes_it_deleting(layout: Layout) -> None:
    backup_info.save(layout, DONE)
    backup_info.mark_deleting(layout, ID)
    assert backup_info.load(layout, ID) == DONE.deleting()


def test_one_that_was_running_is_found_interrupted(layout: Layout) -> None:
    backup_info.save(layout, STARTED)
    found = backup_info.load(layout, ID)
    assert found is not None
    assert (found.status, found.started_at) == (Status.FAILED, START + SECOND)
    assert found.reason is not None
    assert found.reason.message == "interrupted"


def test_a_queued_one_leaves_nothing_on_disk(layout: Layout) -> None:
    with pytest.raises(ValueError, match="queued"):
        backup_info.save(layout, QUEUED)
    assert list(layout.meta.iterdir()) == []


def test_without_an_info_there_is_no_backup(layout: Layout) -> None:
    assert backup_info.load(layout, ID) is None
    backup_info.mark_deleting(layout, ID)
    layout.card(ID).write_text("{}")
    assert backup_info.load(layout, ID) is None


def test_the_old_place_is_read_and_the_new_one_wins(layout: Layout) -> None:
    layout.backup(ID).mkdir()
    layout.old_info(ID).write_text(backup_info.encode(FAILED))
    found = backup_info.load(layout, ID)
    assert found is not None
    assert (found.status, found.requester) == (Status.FAILED, "")
    backup_info.save(layout, DONE)
    assert backup_info.load(layout, ID) == DONE


def test_barman_may_have_gone_on_since_our_card(layout: Layout) -> None:
    backup_info.save(layout, WAITING)
    layout.info(ID).write_text(backup_info.encode(DONE))
    assert backup_info.load(layout, ID) == replace(DONE, ended_at=COPIED.end_time)


def test_a_name_that_is_no_text_does_not_hinder_the_info(layout: Layout) -> None:
    strange = replace(DONE, cluster=replace(CLUSTER, pgdata="/pg\udcff"))
    backup_info.save(layout, strange)
    assert b"pgdata=/pg\\udcff\n" in layout.info(ID).read_bytes()


words = st.text(max_size=50)
hours = st.integers(0, 10**6).map(lambda hours: START + timedelta(hours=hours))


reasons = st.builds(Reason, st.just("ToolFailed"), words, st.none() | words)


@given(words, words, reasons, hours, st.none() | hours)
def test_the_card_brings_every_word_back(
    name: str, who: str, reason: Reason, queued: datetime, ended: datetime | None
) -> None:
    whole = replace(
        FAILED, name=name, requester=who, reason=reason, queued_at=queued, ended_at=ended
    )
    bare = backup_info.decode(backup_info.encode(whole), "main", ID)
    assert backup_info.with_card(bare, backup_info.card(whole)) == whole


def test_forgetting_leaves_nothing_and_can_be_said_twice(layout: Layout) -> None:
    layout.backup(ID).mkdir()
    layout.old_info(ID).touch()
    backup_info.save(layout, DONE.deleting())
    backup_info.forget(layout, ID)
    backup_info.forget(layout, ID)
    assert list(layout.meta.iterdir()) == []
    assert list(layout.backup(ID).iterdir()) == []


def test_the_mark_goes_last(layout: Layout) -> None:
    backup_info.save(layout, DONE.deleting())
    layout.card(ID).unlink()
    layout.card(ID).mkdir()  # which cannot be unlinked: the deletion breaks off there
    with pytest.raises(StorageFailed, match="cannot remove"):
        backup_info.forget(layout, ID)
    assert layout.delete_mark(ID).exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("status=FINE\n", "line 1: status"),
        ("status=DONE\nsize\n", "line 2: not key=value"),
    ],
)
def test_a_damaged_info_is_named_with_its_line(layout: Layout, text: str, complaint: str) -> None:
    layout.info(ID).write_text(text)
    with pytest.raises(StorageFailed, match=f"{layout.info(ID)} is damaged: {complaint}"):
        backup_info.load(layout, ID)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', "\0"])
def test_a_damaged_card_is_named(layout: Layout, text: str) -> None:
    backup_info.save(layout, DONE)
    layout.card(ID).write_text(text)
    with pytest.raises(StorageFailed, match=f"{layout.card(ID)} is damaged"):
        backup_info.load(layout, ID)


def test_an_info_that_cannot_be_read_is_a_failure(layout: Layout) -> None:
    layout.info(ID).mkdir()
    with pytest.raises(StorageFailed, match="cannot read"):
        backup_info.load(layout, ID)


def test_the_identity_is_barmans(layout: Layout) -> None:
    assert backup_info.load_identity(layout) is None
    backup_info.save_identity(layout, "7711164279157336501", 150018)
    assert json.loads(layout.identity.read_text()) == {
        "systemid": "7711164279157336501",
        "version": "15",
    }
    assert backup_info.load_identity(layout) == ("7711164279157336501", 150_000)
    backup_info.save_identity(layout, "7711164279157336501", 160_002)
    assert backup_info.load_identity(layout) == ("7711164279157336501", 160_000)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"systemid": "1", "version": null}'])
def test_a_damaged_identity_is_named(layout: Layout, text: str) -> None:
    layout.identity.write_text(text)
    with pytest.raises(StorageFailed, match=f"{layout.identity} is damaged"):
        backup_info.load_identity(layout)


def test_an_identity_is_made_anew_as_the_hint_says(layout: Layout) -> None:
    layout.identity.write_text("{")
    with pytest.raises(StorageFailed) as found:
        backup_info.load_identity(layout)
    hint = found.value.hint or ""
    assert "backup" not in hint
    line = re.search(r"\{.*\}", hint)
    assert line is not None
    layout.identity.write_text(line[0].replace("…", "7711164279157336501"))
    assert backup_info.load_identity(layout) == ("7711164279157336501", 150_000)


def test_a_damaged_card_may_be_moved_away(layout: Layout) -> None:
    backup_info.save(layout, DONE)
    layout.card(ID).write_text("{")
    with pytest.raises(StorageFailed, match="is damaged") as found:
        backup_info.load(layout, ID)
    assert "move it away" in (found.value.hint or "")
    layout.card(ID).rename(layout.card(ID).with_suffix(".away"))
    assert backup_info.load(layout, ID) is not None
