"""The catalogue beside the archive: what differs is found, and the directory is right."""

import shutil
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.model.gap import Branch, GapState
from barmand.model.wal import Run
from barmand.operations.accounts import Compared
from fakes import MB, Bench, lay_segment, segment_name


def never() -> bool:
    return False


def store(bench: Bench, *numbers: int) -> None:
    """In the archive, and in no row."""
    for number in numbers:
        folder = bench.layout.wal(segment_name(number)).parent
        folder.mkdir(exist_ok=True)
        lay_segment(folder, number)


def archive(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        lay_segment(bench.layout.incoming, number)
    bench.pass_wal()


def runs(bench: Bench) -> list[Run]:
    return bench.catalog.wal_runs.of_server("main")


def missing(bench: Bench) -> list[Run]:
    return [gap.run for gap in bench.catalog.wal_gaps.of_server("main")]


def test_what_agrees_is_left_alone(bench: Bench) -> None:
    archive(bench, 1, 2, 3)
    assert bench.accounts.compare(never) == Compared(0, 0)
    assert runs(bench) == [Run(1, 1, 3)]


def test_a_server_without_wal_has_nothing_to_compare(bench: Bench) -> None:
    assert bench.accounts.compare(never) == Compared(0, 0)


def test_files_that_no_row_tells_of_are_taken_in(bench: Bench) -> None:
    archive(bench, 1)
    store(bench, 2, 3, 5)
    assert bench.accounts.compare(never) == Compared(taken_in=3)
    assert runs(bench) == [Run(1, 1, 3), Run(1, 5, 5)]
    assert missing(bench) == [Run(1, 4, 4)]


def test_rows_without_a_whole_file_become_a_gap(bench: Bench) -> None:
    archive(bench, 1, 2, 3, 4, 5)
    bench.layout.wal(segment_name(2)).unlink()
    bench.layout.wal(segment_name(4)).write_bytes(b"cut off")
    assert bench.accounts.compare(never) == Compared(lost=2)
    assert runs(bench) == [Run(1, 1, 1), Run(1, 3, 3), Run(1, 5, 5)]
    gaps = bench.catalog.wal_gaps.of_server("main")
    assert [(gap.run, gap.state) for gap in gaps] == [
        (Run(1, 2, 2), GapState.OPEN),
        (Run(1, 4, 4), GapState.OPEN),
    ]
    assert all("not in the archive any more" in gap.why for gap in gaps)


def test_a_comparison_that_is_ended_claims_nothing(bench: Bench) -> None:
    archive(bench, 1, 2)
    shutil.rmtree(bench.layout.wal(segment_name(1)).parent)
    assert bench.accounts.compare(lambda: True) == Compared(0, 0)
    assert runs(bench) == [Run(1, 1, 2)]


def test_an_archive_that_is_not_mounted_is_not_taken_for_lost(bench: Bench) -> None:
    bench.done_backup()
    archive(bench, 4, 5)
    before = runs(bench)
    shutil.rmtree(bench.layout.wals)
    with pytest.raises(StorageFailed):
        bench.accounts.compare(never)
    bench.layout.wals.mkdir()
    with pytest.raises(StorageFailed, match="holds no WAL"):
        bench.accounts.compare(never)
    assert runs(bench) == before
    assert missing(bench) == []


def test_what_was_lost_and_comes_again_heals_the_gap(bench: Bench) -> None:
    archive(bench, 1, 2, 3)
    bench.layout.wal(segment_name(2)).unlink()
    bench.accounts.compare(never)
    assert missing(bench) == [Run(1, 2, 2)]
    archive(bench, 2)
    assert missing(bench) == []
    assert bench.catalog.wal_runs.bytes("main") == 3 * MB


def branch_at(bench: Bench, segment: int, *, timeline: int = 2) -> Path:
    """A history comes that says where timeline 2 left the first."""
    name = f"{timeline:08X}.history"
    text = f"1\t0/{segment * MB:X}\tno recovery target specified\n"
    (bench.layout.incoming / name).write_text(text)
    bench.pass_wal()
    return bench.layout.wal(name)


def states(bench: Bench) -> list[tuple[Run, GapState]]:
    gaps = bench.catalog.wal_gaps.of_server("main", tuple(GapState))
    return [(gap.run, gap.state) for gap in gaps]


def test_a_history_that_is_gone_takes_its_gaps_with_it(bench: Bench) -> None:
    archive(bench, 1, 2)
    history = branch_at(bench, 5)
    bench.stream(8, timeline=2)
    bench.pass_wal()
    assert missing(bench) == [Run(1, 3, 4), Run(2, 5, 7)]
    bench.accounts.compare(never)
    assert missing(bench) == [Run(1, 3, 4), Run(2, 5, 7)]
    history.unlink()
    bench.accounts.compare(never)
    assert bench.catalog.wal_gaps.branches("main") == []
    assert states(bench) == [(Run(1, 3, 4), GapState.OBSOLETE), (Run(2, 5, 7), GapState.OBSOLETE)]
    assert len(bench.events("WAL gap obsolete")) == 2


def test_a_history_with_another_content_renews_its_gaps(bench: Bench) -> None:
    archive(bench, 1, 2)
    history = branch_at(bench, 5)
    bench.stream(8, timeline=2)
    bench.pass_wal()
    history.write_text(f"1\t0/{4 * MB:X}\tno recovery target specified\n")
    bench.accounts.compare(never)
    assert bench.catalog.wal_gaps.branches("main") == [Branch(2, 1, 4)]
    assert missing(bench) == [Run(1, 3, 3), Run(2, 4, 7)]


def test_a_history_that_cannot_be_read_tells_of_no_branch(bench: Bench) -> None:
    archive(bench, 1, 2)
    branch_at(bench, 5).write_bytes(b"\xff\0")
    bench.accounts.compare(never)
    assert (bench.catalog.wal_gaps.branches("main"), missing(bench)) == ([], [])


def test_what_another_history_tells_to_be_missing_stays(bench: Bench) -> None:
    archive(bench, 1, 2)
    gone = branch_at(bench, 5)
    branch_at(bench, 5, timeline=3)
    gone.unlink()
    bench.accounts.compare(never)
    assert bench.catalog.wal_gaps.branches("main") == [Branch(3, 1, 5)]
    assert missing(bench) == [Run(1, 3, 4)]


def test_a_gap_of_its_own_stays_without_the_history(bench: Bench) -> None:
    archive(bench, 1, 2)
    history = branch_at(bench, 3)
    bench.stream(3, 5, timeline=2)
    bench.pass_wal()
    history.unlink()
    bench.accounts.compare(never)
    assert missing(bench) == [Run(2, 4, 4)]
