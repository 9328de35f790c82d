"""The WAL of a restore: where its replay would make tablespaces is judged beforehand."""

import os
from pathlib import Path

import pytest

from barmand.model.backup import Backup, Tablespace
from barmand.model.errors import Refused, StorageFailed
from barmand.model.recovery import Target
from barmand.operations.restore import Restored
from fakes import MB, Bench, Stop, Told, flip, segment_name
from support.wal_pages import paged, payload_bytes, tablespace_record


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "restored"


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "live space"


def stream(bench: Bench, number: int, payload: bytes, *, timeline: int = 1) -> None:
    """A segment comes into the archive."""
    name = segment_name(number, timeline=timeline)
    (bench.layout.streaming / name).write_bytes(paged(number, payload, timeline=timeline))
    bench.pass_wal()


def made_at(location: Path, oid: int = 16400) -> bytes:
    return tablespace_record(oid, str(location).encode())


def restore(
    bench: Bench,
    backup: Backup,
    target: Path,
    until: Target = Target.END_OF_WAL,
    **moved: str,
) -> Restored:
    plan = bench.restore.plan(bench.now(backup), target, until, moved)
    return bench.restore.run(plan, stop=Stop(), report=Told())


def fill(location: Path) -> None:
    (location / "PG_15_202209061").mkdir(parents=True)


def test_a_tablespace_made_where_files_lie_is_refused_and_nothing_is_left(
    bench: Bench, target: Path, location: Path
) -> None:
    backup = bench.done_backup()
    stream(bench, 4, made_at(location))
    fill(location)
    with pytest.raises(Refused) as refused:
        restore(bench, backup, target)
    for word in ("tablespace 16400", str(location), segment_name(4), "not empty"):
        assert word in refused.value.message
    for word in ("move it away", "another machine", "--target-immediate"):
        assert word in (refused.value.hint or "")
    assert list(target.iterdir()) == []
    assert [path.name for path in location.iterdir()] == ["PG_15_202209061"]


def test_a_segment_of_which_a_bit_flipped_is_not_restored_and_nothing_is_left(
    bench: Bench, target: Path
) -> None:
    backup = bench.done_backup()
    stream(bench, 4, bytes(payload_bytes()))
    flip(bench.layout.wal(segment_name(4)), 9000)
    with pytest.raises(StorageFailed, match=f"{segment_name(4)} is damaged") as failed:
        restore(bench, backup, target)
    assert "incoming/" in (failed.value.hint or "")
    assert list(target.iterdir()) == []


def test_what_came_after_the_backup_is_not_judged_for_the_backup_alone(
    bench: Bench, target: Path, location: Path
) -> None:
    backup = bench.copied_backup()
    assert backup.copied is not None
    after = bytes(backup.copied.end_lsn % MB - 40 + 8)
    stream(bench, 3, after[: len(after) // 8 * 8] + made_at(location))
    fill(location)
    assert restore(bench, backup, target, Target.IMMEDIATE).warnings == ()


def test_what_came_during_the_backup_is_judged_for_the_backup_alone_too(
    bench: Bench, target: Path, location: Path
) -> None:
    backup = bench.copied_backup()
    assert backup.copied is not None
    during = backup.copied.begin_lsn % MB - 40
    stream(bench, 3, bytes(-(-during // 8) * 8) + made_at(location))
    fill(location)
    with pytest.raises(Refused) as refused:
        restore(bench, backup, target, Target.IMMEDIATE)
    assert "--target-immediate" not in (refused.value.hint or "")


def test_what_came_before_the_backup_is_in_it_and_not_replayed(
    bench: Bench, target: Path, location: Path
) -> None:
    bench.postgres.write(0x1000)
    backup = bench.copied_backup()
    stream(bench, 3, made_at(location))
    fill(location)
    assert restore(bench, backup, target).warnings == ()


@pytest.mark.parametrize("border", [8, 48])
def test_a_record_over_two_segments_is_judged(
    bench: Bench, target: Path, location: Path, border: int
) -> None:
    backup = bench.done_backup()
    both = bytes(payload_bytes() - border) + made_at(location)
    stream(bench, 4, both[: payload_bytes()])
    stream(bench, 5, both[payload_bytes() :])
    fill(location)
    with pytest.raises(Refused, match=segment_name(5)):
        restore(bench, backup, target)


def switch_to_timeline_2(bench: Bench, lsn: str) -> None:
    (bench.layout.incoming / "00000002.history").write_text(f"1\t{lsn}\tpromoted\n")
    bench.pass_wal()


def test_a_record_over_two_timelines_is_judged(bench: Bench, target: Path, location: Path) -> None:
    backup = bench.done_backup()
    both = bytes(payload_bytes() - 16) + made_at(location)
    stream(bench, 4, both[: payload_bytes()])
    switch_to_timeline_2(bench, "0/580000")
    stream(bench, 5, both[payload_bytes() :], timeline=2)
    fill(location)
    with pytest.raises(Refused, match=segment_name(5, timeline=2)):
        restore(bench, backup, target)


def test_a_timeline_that_was_left_before_it_is_not_replayed(
    bench: Bench, target: Path, location: Path
) -> None:
    backup = bench.done_backup()
    stream(bench, 4, made_at(location))
    switch_to_timeline_2(bench, "0/400000")
    stream(bench, 4, b"", timeline=2)
    fill(location)
    assert restore(bench, backup, target).warnings == ()


def test_barmands_own_ground_is_refused_even_where_nothing_lies(bench: Bench, target: Path) -> None:
    backup = bench.done_backup()
    stream(bench, 4, made_at(bench.layout.home / "space"))
    with pytest.raises(Refused, match="own ground"):
        restore(bench, backup, target)


def test_a_file_in_its_place_is_refused(bench: Bench, target: Path, location: Path) -> None:
    backup = bench.done_backup()
    stream(bench, 4, made_at(location))
    location.touch()
    with pytest.raises(Refused, match="not empty"):
        restore(bench, backup, target)


@pytest.mark.skipif(os.geteuid() == 0, reason="root sees everything")
@pytest.mark.parametrize("below", ["", "deeper/space"])
def test_what_cannot_be_seen_may_be_a_running_clusters(
    bench: Bench, target: Path, location: Path, below: str
) -> None:
    backup = bench.done_backup()
    stream(bench, 4, made_at(location / below))
    location.mkdir(mode=0)
    with pytest.raises(Refused, match="which barmand's user cannot look into"):
        restore(bench, backup, target)


@pytest.mark.parametrize(("is_there", "words"), [(False, "make that folder"), (True, "an empty")])
def test_where_nothing_is_shared_the_requester_is_warned_once(
    bench: Bench, target: Path, location: Path, words: str, *, is_there: bool
) -> None:
    backup = bench.done_backup()
    stream(bench, 4, made_at(location))
    stream(bench, 5, b"")
    if is_there:
        location.mkdir()
    (warning,) = restore(bench, backup, target).warnings
    assert words in warning
    assert f"tablespace 16400 at {location} (WAL segment {segment_name(4)})" in warning
    assert (target / "global/pg_control").exists()


def test_a_tablespace_that_goes_back_to_its_place_is_no_danger(
    bench: Bench, target: Path, location: Path
) -> None:
    bench.postgres.tablespaces = (Tablespace("fast", 16400, str(location)),)
    backup = bench.done_backup()
    stream(bench, 4, made_at(location))
    assert restore(bench, backup, target, fast=str(location)).warnings == ()


def test_a_tablespace_that_was_moved_is_one(
    bench: Bench, target: Path, location: Path, tmp_path: Path
) -> None:
    """Its record, replayed, would lead the link back to the live one."""
    bench.postgres.tablespaces = (Tablespace("fast", 16400, str(location)),)
    backup = bench.done_backup()
    stream(bench, 4, made_at(location))
    fill(location)
    with pytest.raises(Refused, match="not empty"):
        restore(bench, backup, target, fast=str(tmp_path / "new"))
    assert list((tmp_path / "new").iterdir()) == []
