"""WAL that nobody needs goes by itself; where anything is doubtful it stays, and that is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Status
from barmand.model.errors import Stopped, StorageFailed
from barmand.model.retention import Policy
from barmand.model.wal import Run
from barmand.operations.prune import BATCH_SEGMENTS, PASS_SEGMENTS
from fakes import MB, Bench, Stop, bench_over, segment_name, start_again


def names(*numbers: int) -> list[str]:
    return [segment_name(number) for number in numbers]


def prune(bench: Bench) -> bool:
    return bench.prune.run(stop=Stop())


def fill(bench: Bench, first: int, last: int) -> None:
    """Archived segments without their bytes: thousands are quick."""
    for number in range(first, last + 1):
        path = bench.layout.wal(segment_name(number))
        path.parent.mkdir(exist_ok=True)
        path.touch()
    held = [(Run(1, first, last), 0)]
    bench.catalog.wal_runs.adopt("main", held, segment_size=MB, now=bench.clock())


def told(bench: Bench) -> list[object]:
    return [event.facts["why"] for event in bench.events("WAL not removed")]


@pytest.fixture
def old_wal(bench: Bench) -> Backup:
    """A backup that begins in segment 3, with 1 and 2 before it in the archive."""
    bench.stream(1, 2)
    bench.pass_wal()
    backup = bench.done_backup()
    assert bench.archived() == names(1, 2, 3)
    return backup


@pytest.mark.usefixtures("old_wal")
def test_what_lies_before_the_oldest_backup_goes_and_is_told(bench: Bench) -> None:
    assert prune(bench) is False
    assert bench.archived() == names(3)
    assert list(bench.catalog.wal_runs.of_server("main")) == [Run(1, 3, 3)]
    (event,) = bench.events("WAL removed")
    assert event.facts == {"segments": 2, "first": segment_name(1), "last": segment_name(2)}


@pytest.mark.usefixtures("old_wal")
def test_where_nothing_is_left_to_remove_nothing_is_told(bench: Bench) -> None:
    prune(bench)
    assert prune(bench) is False
    assert len(bench.events("WAL removed")) == 1


def test_a_backup_that_becomes_done_asks_for_it(bench: Bench) -> None:
    bench.copied_backup()
    assert "prune" not in bench.rung
    bench.stream(3)
    bench.pass_wal()
    assert "prune" in bench.rung


@pytest.mark.usefixtures("old_wal")
def test_histories_stay_and_labels_and_partial_files_go_with_what_they_are_of(bench: Bench) -> None:
    folder = bench.layout.wal(segment_name(1)).parent
    (bench.layout.wals / "00000001.history").write_text("ours")
    for number in (1, 2, 3, 9):
        (folder / f"{segment_name(number)}.00000028.backup").write_text("label")
        (folder / f"{segment_name(number)}.partial").write_text("part")
    prune(bench)
    left = names(3) + [
        f"{segment_name(number)}.{ending}"
        for number in (3, 9)
        for ending in ("00000028.backup", "partial")
    ]
    assert bench.archived() == sorted(["00000001.history", *left])


def test_without_a_backup_nothing_goes(bench: Bench) -> None:
    bench.stream(1, 2)
    bench.pass_wal()
    bench.failed_backup()
    prune(bench)
    assert bench.archived() == names(1, 2)
    assert told(bench) == []


@pytest.mark.usefixtures("old_wal")
def test_while_a_backup_is_under_way_nothing_goes(bench: Bench) -> None:
    bench.queue()
    prune(bench)
    assert bench.archived() == names(1, 2, 3)


def test_with_worm_mode_nothing_goes_by_itself_but_with_a_deleted_backup(
    new_catalog: Callable[[], Catalog], tmp_path: Path
) -> None:
    worm = bench_over(new_catalog(), tmp_path / "home", policy=Policy(is_worm=True))
    worm.stream(1, 2)
    old, young = worm.done_backup(), worm.done_backup()
    prune(worm)
    assert worm.archived() == names(1, 2, 3, 4)
    worm.delete.run(old, actor="tester", stop=Stop())
    assert worm.archived() == names(*worm.needs(young))


# ---------------------------------------------------------------------------------- kept, held


def kept_and_newer(bench: Bench, word: str) -> Backup:
    kept = bench.done_backup()
    bench.layout.keep_mark(kept.id).write_text(word)
    bench.stream(4, 5)
    bench.postgres.lsn = 6 * MB
    bench.done_backup()
    return kept


@pytest.mark.parametrize(
    ("word", "left"),
    [("standalone", [3, 6]), ("full", [3, 4, 5, 6]), ("strange", [3, 4, 5, 6]), ("", [3, 4, 5, 6])],
)
def test_a_kept_backup_keeps_what_barmans_mark_says(
    bench: Bench, word: str, left: list[int]
) -> None:
    kept_and_newer(bench, word)
    prune(bench)
    assert bench.archived() == names(*left)


def test_a_mark_in_barmans_older_place_counts_too(bench: Bench) -> None:
    kept = kept_and_newer(bench, "")
    bench.layout.keep_mark(kept.id).unlink()
    old_mark = bench.layout.old_keep_mark(kept.id)
    old_mark.parent.mkdir()
    old_mark.write_text("standalone")
    prune(bench)
    assert bench.archived() == names(3, 6)


def test_what_a_restore_reads_keeps_all_behind_it_meanwhile(bench: Bench) -> None:
    kept = kept_and_newer(bench, "standalone")
    with bench.catalog.holds.held(kept, holder="restore", now=bench.clock()):
        prune(bench)
        assert bench.archived() == names(3, 4, 5, 6)
    prune(bench)
    assert bench.archived() == names(3, 6)


# ------------------------------------------------------------------------------------ in doubt


def test_while_a_backup_lies_on_disk_that_no_row_tells_of_nothing_goes(
    bench: Bench, old_wal: Backup
) -> None:
    bench.layout.info("20200101T000000").write_text("what Barman wrote, and we cannot read")
    prune(bench)
    bench.delete.run(old_wal, actor="tester", stop=Stop())
    assert bench.archived() == names(1, 2, 3)
    assert told(bench) == [
        "the catalogue does not know the backup 20200101T000000, whose facts lie on disk"
    ]


@pytest.mark.usefixtures("old_wal")
def test_a_directory_of_a_backup_without_facts_is_no_backup(bench: Bench) -> None:
    bench.layout.data("20200101T000000").mkdir(parents=True)
    prune(bench)
    assert bench.archived() == names(3)


@pytest.mark.usefixtures("old_wal")
def test_on_what_may_be_a_bare_mount_point_nothing_goes(bench: Bench) -> None:
    away = bench.layout.identity.rename(bench.layout.home / "away")
    prune(bench)
    prune(bench)
    assert bench.archived() == names(1, 2, 3)
    (why,) = told(bench)
    assert "is its file system mounted?" in str(why)
    away.rename(bench.layout.identity)
    prune(bench)
    assert bench.archived() == names(3)


def test_where_segments_of_another_size_are_archived_nothing_goes(
    bench: Bench, old_wal: Backup
) -> None:
    held = [(Run(2, 1, 1), 0)]
    bench.catalog.wal_runs.adopt("main", held, segment_size=16 * MB, now=bench.clock())
    prune(bench)
    assert bench.archived() == names(1, 2, *bench.needs(old_wal))
    assert told(bench) == ["the archive holds segments of another size than the backups"]


def test_wal_of_a_waiting_backup_stays(bench: Bench, old_wal: Backup) -> None:
    waiting = bench.copied_backup()
    bench.delete.run(old_wal, actor="tester", stop=Stop())
    bench.stream(*bench.needs(waiting))
    assert bench.now(waiting).status is Status.WAITING_FOR_WALS
    prune(bench)
    bench.pass_wal()
    assert bench.now(waiting).status is Status.DONE


# ------------------------------------------------------------------------- bounds, interruption


@pytest.fixture
def many(bench: Bench) -> Backup:
    """3,000 segments, each in its place in one directory, and a backup that begins behind them."""
    fill(bench, 10, 3009)
    bench.postgres.lsn = 3010 * MB
    return bench.done_backup()


def test_of_a_directory_with_thousands_of_names_the_needed_ones_stay(
    bench: Bench, many: Backup
) -> None:
    assert prune(bench) is False
    assert bench.archived() == names(*bench.needs(many))
    (event,) = bench.events("WAL removed")
    assert event.facts == {"segments": 3000, "first": segment_name(10), "last": segment_name(3009)}


@pytest.mark.usefixtures("many")
def test_a_stop_ends_it_between_two_batches_with_rows_as_files(bench: Bench) -> None:
    assert bench.prune.run(stop=Stop(after=1)) is True
    assert bench.archived()[0] == segment_name(10 + BATCH_SEGMENTS)
    assert list(bench.catalog.wal_runs.of_server("main")) == [Run(1, 10 + BATCH_SEGMENTS, 3010)]
    (event,) = bench.events("WAL removed")
    assert event.facts["segments"] == BATCH_SEGMENTS


@pytest.mark.usefixtures("many")
def test_a_deletion_that_is_stopped_goes_on_after_a_restart(bench: Bench, many: Backup) -> None:
    young = bench.done_backup()
    with pytest.raises(Stopped):
        bench.delete.run(many, actor="tester", stop=Stop(after=6))
    assert bench.now(many).status is Status.DELETING
    start_again(bench)
    assert bench.archived() == names(*bench.needs(young))


def test_one_pass_is_bounded_and_tells_that_more_is_left(bench: Bench) -> None:
    fill(bench, 10, 9 + PASS_SEGMENTS + 5)
    bench.postgres.lsn = (10 + PASS_SEGMENTS + 5) * MB
    backup = bench.done_backup()
    assert prune(bench) is True
    assert len(bench.archived()) == 5 + 1
    assert prune(bench) is False
    assert bench.archived() == names(*bench.needs(backup))


def test_what_went_before_the_disk_refused_is_told(bench: Bench, many: Backup) -> None:
    folder = bench.layout.wal(segment_name(10)).parent
    in_the_way = folder / segment_name(10 + BATCH_SEGMENTS)
    in_the_way.unlink()
    unwritable = StopThenSeal(folder)
    try:
        with pytest.raises(StorageFailed, match="cannot remove"):
            bench.prune.run(stop=unwritable)
    finally:
        folder.chmod(0o700)
    (event,) = bench.events("WAL removed")
    assert event.facts["segments"] == BATCH_SEGMENTS
    prune(bench)
    assert bench.archived() == names(*bench.needs(many))


class StopThenSeal(Stop):
    """Never stops; at its second question the folder takes no more changes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.questions = 0

    def is_set(self) -> bool:
        self.questions += 1
        if self.questions == 2:
            self.folder.chmod(0o500)
        return False


def test_dead_between_files_and_rows_it_is_done_again(bench: Bench, old_wal: Backup) -> None:
    for number in (1, 2):
        bench.layout.wal(segment_name(number)).unlink()
    prune(bench)
    assert list(bench.catalog.wal_runs.of_server("main")) == [Run(1, 3, 3)]
    assert bench.archive.missing(old_wal) == []


def test_what_no_row_tells_of_goes_as_well(bench: Bench, old_wal: Backup) -> None:
    stray = bench.layout.wal(segment_name(1)).with_name(segment_name(0))
    stray.touch()
    prune(bench)
    assert bench.archived() == names(*bench.needs(old_wal))


def test_wal_of_a_backup_of_a_newer_timeline_that_began_earlier_stays(bench: Bench) -> None:
    bench.postgres.lsn = 50 * MB
    first = bench.done_backup()
    assert first.copied is not None
    copied = replace(first.copied, timeline=2, begin_lsn=20 * MB + 40, end_lsn=20 * MB + 256)
    back = replace(first, id="20990101T000000", copied=copied)
    bench.catalog.backups.adopt(back, bench.clock())
    bench.stream(19, 20, 30, timeline=2)
    bench.stream(19, 20, 30)
    bench.pass_wal()
    prune(bench)
    left = [segment_name(number, timeline=2) for number in (20, 30)]
    assert bench.archived() == sorted([*names(20, 30, 50), *left])
