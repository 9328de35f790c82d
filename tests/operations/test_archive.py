"""WAL that arrives: taken in once and whole, and the backups that it makes safe."""

import os

import pytest

from barmand.model.backup import Backup, Status
from barmand.model.errors import NotFound
from barmand.model.wal import Run
from barmand.operations.archive import names_of
from fakes import MB, Bench, Stop, lay_segment, segment_name, wal_segment

FOREIGN = "7399999999999999999"
HISTORY = "00000002.history"


def arrivals(bench: Bench) -> list[str]:
    folders = (bench.layout.incoming, bench.layout.streaming)
    return sorted(path.name for folder in folders for path in folder.iterdir())


def set_aside(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.layout.errors.iterdir())


def runs(bench: Bench) -> list[Run]:
    return list(bench.catalog.wal_runs.of_server("main"))


def store(bench: Bench, number: int, *, timeline: int = 1, size: int = MB) -> None:
    """A segment in the archive of which no row tells: its daemon died too early."""
    name = segment_name(number, timeline=timeline, size=size)
    folder = bench.layout.wal(name).parent
    folder.mkdir(exist_ok=True)
    lay_segment(folder, number, timeline=timeline, size=size)


@pytest.fixture
def waiting(bench: Bench) -> Backup:
    """It needs the segments 3, 4 and 5."""
    bench.tool.during = lambda: bench.postgres.write(2 * MB)
    backup = bench.copied_backup()
    assert bench.needs(backup) == [3, 4, 5]
    return backup


# ----------------------------------------------------------------------------------------- segments


@pytest.mark.parametrize("folder", ["incoming", "streaming"])
def test_a_segment_goes_into_the_archive(bench: Bench, folder: str) -> None:
    lay_segment(bench.layout.home / folder, 7)
    bench.pass_wal()
    assert bench.layout.wal(segment_name(7)).read_bytes() == wal_segment(7)
    assert arrivals(bench) == []
    assert runs(bench) == [Run(1, 7, 7)]


def test_segments_of_any_size_are_counted_right(bench: Bench) -> None:
    lay_segment(bench.layout.incoming, 300, size=MB)
    lay_segment(bench.layout.incoming, 301, size=MB)
    bench.pass_wal()
    assert runs(bench) == [Run(1, 300, 301)]
    assert bench.catalog.wal_runs.segment_size("main") == MB


def test_an_incomplete_segment_is_left_alone_until_it_is_whole(bench: Bench) -> None:
    path = lay_segment(bench.layout.incoming, 7)
    content = path.read_bytes()
    path.write_bytes(content[: MB // 2])
    bench.pass_wal()
    assert path.read_bytes() == content[: MB // 2]
    assert bench.archived() == []
    path.write_bytes(content)
    bench.pass_wal()
    assert bench.archived() == [path.name]


@pytest.mark.parametrize("content", [b"", b"\0" * MB, b"\0" * 100, b"short"])
def test_what_does_not_begin_as_a_segment_is_left_alone(bench: Bench, content: bytes) -> None:
    path = bench.layout.incoming / segment_name(7)
    path.write_bytes(content)
    bench.pass_wal()
    assert path.read_bytes() == content
    assert bench.archived() == []


def test_an_incomplete_segment_is_told_once(bench: Bench) -> None:
    for number in (7, 8):
        lay_segment(bench.layout.incoming, number).write_bytes(b"")
    for _ in range(3):
        bench.pass_wal()
    named = [segment_name(7), segment_name(8)]
    assert [event.facts for event in bench.events("WAL segment incomplete")] == [
        {"segments": named}
    ]


def test_the_others_do_not_wait_for_an_incomplete_segment(bench: Bench) -> None:
    lay_segment(bench.layout.incoming, 7).write_bytes(b"")
    lay_segment(bench.layout.incoming, 8)
    bench.pass_wal()
    assert bench.archived() == [segment_name(8)]


def test_a_partial_segment_belongs_to_its_receiver(bench: Bench) -> None:
    path = bench.layout.streaming / f"{segment_name(7)}.partial"
    path.write_bytes(wal_segment(7))
    bench.pass_wal()
    assert path.exists()
    assert bench.archived() == []


def test_the_same_segment_again_is_taken_and_nothing_changes(bench: Bench) -> None:
    for folder in (bench.layout.streaming, bench.layout.incoming):
        lay_segment(folder, 7)
        bench.pass_wal()
    assert (arrivals(bench), set_aside(bench)) == ([], [])
    assert bench.archived() == [segment_name(7)]
    assert runs(bench) == [Run(1, 7, 7)]


def test_another_content_under_the_same_name_is_set_aside_and_told(bench: Bench) -> None:
    bench.stream(7)
    bench.pass_wal()
    lay_segment(bench.layout.incoming, 7, fill=b"x")
    bench.pass_wal()
    assert bench.layout.wal(segment_name(7)).read_bytes() == wal_segment(7)
    assert arrivals(bench) == []
    (kept,) = set_aside(bench)
    assert kept.endswith(".duplicate")
    (event,) = bench.events("WAL file set aside")
    assert event.facts["file"] == segment_name(7)
    assert event.facts["kept"] == str(bench.layout.errors / kept)


def test_a_segment_of_another_cluster_is_set_aside(bench: Bench) -> None:
    bench.catalog.servers.know("main", now=bench.clock(), system_id=bench.postgres.system_id)
    lay_segment(bench.layout.incoming, 7, system_id=FOREIGN)
    bench.stream(8)
    bench.pass_wal()
    assert bench.archived() == [segment_name(8)]
    (kept,) = set_aside(bench)
    assert kept.endswith(".foreign")
    assert FOREIGN in str(bench.events("WAL file set aside")[0].facts["why"])


def test_a_file_that_is_no_wal_is_set_aside(bench: Bench) -> None:
    (bench.layout.incoming / "notes.txt").write_text("mine")
    bench.pass_wal()
    (kept,) = set_aside(bench)
    assert kept.startswith("notes.txt.")
    assert kept.endswith(".unknown")


def test_a_name_that_no_cluster_with_such_segments_writes_does_not_stop_the_others(
    bench: Bench,
) -> None:
    impossible = "0000000100000000FFFFFFFF"
    (bench.layout.incoming / impossible).write_bytes(wal_segment(0xFFF))
    bench.stream(7)
    lay_segment(bench.layout.incoming, 8)
    bench.pass_wal()
    assert not (bench.layout.incoming / impossible).exists()
    assert [name.split(".")[-1] for name in set_aside(bench)] == ["unknown"]
    bench.stream(9)
    bench.pass_wal()
    assert runs(bench) == [Run(1, 7, 9)]


LABEL = (
    f"START WAL LOCATION: 0/700028 (file {segment_name(7)})\n"
    f"STOP WAL LOCATION: 0/700100 (file {segment_name(7)})\n"
    "STOP TIME: 2025-06-01 12:00:00 UTC\nSTOP TIMELINE: 1\n"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (HISTORY, "1\t0/3000000\tno recovery target specified\n"),
        (f"{segment_name(7)}.00000028.backup", LABEL),
    ],
)
def test_histories_and_labels_go_into_the_archive(bench: Bench, name: str, text: str) -> None:
    (bench.layout.incoming / name).write_text(text)
    bench.pass_wal()
    assert bench.archived() == [name]
    assert runs(bench) == []


def test_another_history_of_the_same_timeline_is_set_aside(bench: Bench) -> None:
    for text in ("1\t0/3000000\tfirst\n", "1\t0/4000000\tsecond\n"):
        (bench.layout.incoming / HISTORY).write_text(text)
        bench.pass_wal()
    assert bench.layout.wal(HISTORY).read_text().endswith("first\n")
    assert len(set_aside(bench)) == 1


def test_a_pass_ends_between_two_files_when_it_is_over(bench: Bench) -> None:
    bench.stream(7, 8, 9)
    bench.archive.run(Stop(after=1).is_set)
    assert bench.archived() == [segment_name(7)]
    assert len(arrivals(bench)) == 2


# ------------------------------------------------------------------------------------------ backups


def test_the_last_segment_makes_a_backup_done(bench: Bench, waiting: Backup) -> None:
    bench.stream(3, 4)
    bench.pass_wal()
    assert bench.now(waiting).status is Status.WAITING_FOR_WALS
    bench.stream(5)
    bench.pass_wal()
    assert bench.now(waiting).status is Status.DONE


def test_segments_out_of_order_heal(bench: Bench, waiting: Backup) -> None:
    for number in (5, 3):
        bench.stream(number)
        bench.pass_wal()
        assert bench.now(waiting).status is Status.WAITING_FOR_WALS
    assert bench.archive.missing(waiting) == [Run(1, 4, 4)]
    bench.stream(4)
    bench.pass_wal()
    assert bench.now(waiting).status is Status.DONE
    assert bench.archive.missing(waiting) == []


def test_one_late_segment_makes_two_waiting_backups_done(bench: Bench, waiting: Backup) -> None:
    bench.tool.during = lambda: None
    bench.postgres.lsn = 4 * MB + 0x28  # a standby can begin in WAL that another backup needed
    second = bench.copied_backup()
    assert bench.needs(second) == [4]
    bench.stream(3, 5)
    bench.pass_wal()
    bench.stream(4)
    bench.pass_wal()
    assert bench.now(waiting).status is bench.now(second).status is Status.DONE


def test_what_is_missing_is_named_once(bench: Bench, waiting: Backup) -> None:
    bench.stream(4)
    for _ in range(3):
        bench.pass_wal()
    (event,) = bench.events("backup waits for WAL")
    assert event.backup_id == waiting.id
    assert event.facts == {"missing": 2, "segments": [segment_name(3), segment_name(5)]}


def test_what_is_missing_is_told_again_when_it_changes(bench: Bench, waiting: Backup) -> None:
    for number in (3, 4):
        bench.stream(number)
        bench.pass_wal()
    told = [event.facts["missing"] for event in bench.events("backup waits for WAL")]
    assert told == [2, 1]
    assert bench.now(waiting).status is Status.WAITING_FOR_WALS


def test_of_many_missing_segments_only_some_are_named() -> None:
    gaps = [Run(1, 1, 2), Run(1, 5, 1000)]
    assert names_of(gaps, MB, 3) == [segment_name(number) for number in (1, 2, 5)]
    assert names_of(gaps[:1], MB, 3) == [segment_name(number) for number in (1, 2)]


def test_wal_of_another_timeline_does_not_count(bench: Bench, waiting: Backup) -> None:
    bench.stream(3, 4, 5, timeline=2)
    bench.pass_wal()
    assert bench.now(waiting).status is Status.WAITING_FOR_WALS


def test_a_look_at_a_backup_settles_it(bench: Bench, waiting: Backup) -> None:
    assert bench.archive.look_at(waiting).status is Status.WAITING_FOR_WALS
    for number in (3, 4, 5):
        store(bench, number)
    assert bench.archive.look_at(waiting).status is Status.DONE
    assert bench.archive.look_at(waiting).status is Status.DONE


def test_a_look_at_a_failed_backup_changes_nothing(bench: Bench) -> None:
    failed = bench.failed_backup()
    assert bench.archive.look_at(failed) == failed
    assert bench.archive.missing(failed) == []


def test_a_look_at_a_backup_that_went_away_finds_nothing(bench: Bench) -> None:
    backup = bench.done_backup()
    bench.delete.run(backup, actor="tester", stop=Stop())
    with pytest.raises(NotFound):
        bench.archive.look_at(backup)


# ------------------------------------------------------------------------------------------ healing


def test_segments_on_disk_that_no_row_knows_are_taken_in(bench: Bench, waiting: Backup) -> None:
    for number in (3, 4, 5):
        store(bench, number)
    bench.archive.settle()
    assert bench.now(waiting).status is Status.DONE
    assert runs(bench) == [Run(1, 3, 5)]


def test_a_segment_whose_row_was_never_written_is_taken_in_at_start(bench: Bench) -> None:
    bench.stream(7)
    bench.pass_wal()
    store(bench, 8)
    store(bench, 9)
    bench.archive.heal()
    assert runs(bench) == [Run(1, 7, 9)]


@pytest.mark.parametrize(
    ("number", "timeline"), [(6, 1), (20, 1), (7, 2)], ids=["before", "apart", "new timeline"]
)
def test_wherever_it_lies_it_is_taken_in(bench: Bench, number: int, timeline: int) -> None:
    bench.stream(7)
    bench.pass_wal()
    store(bench, number, timeline=timeline)
    bench.archive.heal()
    assert any(run.timeline == timeline and run.first <= number <= run.last for run in runs(bench))
    assert bench.catalog.wal_runs.count("main") == 2


def test_healing_twice_changes_nothing(bench: Bench) -> None:
    bench.stream(7)
    bench.pass_wal()
    store(bench, 8)
    bench.archive.heal()
    bench.archive.heal()
    assert runs(bench) == [Run(1, 7, 8)]


def test_without_any_wal_there_is_nothing_to_heal(bench: Bench) -> None:
    bench.archive.heal()
    assert runs(bench) == []


def test_a_segment_that_came_back_after_a_crash_is_the_same(bench: Bench) -> None:
    store(bench, 7)
    lay_segment(bench.layout.incoming, 7)
    bench.pass_wal()
    assert arrivals(bench) == []
    assert runs(bench) == [Run(1, 7, 7)]


# --------------------------------------------------------------------- segments that are not right
def test_a_segment_under_its_neighbours_name_is_set_aside(bench: Bench) -> None:
    path = bench.layout.incoming / segment_name(9)
    path.write_bytes(wal_segment(8))
    bench.pass_wal()
    assert bench.archived() == []
    assert [kept.name.rpartition(".")[2] for kept in bench.layout.errors.iterdir()] == ["misnamed"]


def test_a_truncated_archived_segment_is_missing_again_and_heals(bench: Bench) -> None:
    backup = bench.done_backup()
    archived = bench.layout.wal(segment_name(3))
    whole = archived.read_bytes()
    os.truncate(archived, MB // 2)
    bench.archive.look_at(backup)
    assert bench.archive.missing(bench.now(backup)) == [Run(1, 3, 3)]
    (bench.layout.incoming / segment_name(3)).write_bytes(whole)
    bench.pass_wal()
    assert bench.archive.missing(bench.now(backup)) == []
    assert archived.read_bytes() == whole
    assert [kept.name.rpartition(".")[2] for kept in bench.layout.errors.iterdir()] == ["damaged"]


def test_what_is_not_whole_is_not_taken_in_at_start_either(bench: Bench) -> None:
    bench.done_backup()
    archived = bench.layout.wal(segment_name(9))
    archived.parent.mkdir(exist_ok=True)
    archived.write_bytes(wal_segment(9)[: MB // 2])
    bench.archive.heal()
    assert not any(
        9 in range(run.first, run.last + 1) for run in bench.catalog.wal_runs.of_server("main")
    )
