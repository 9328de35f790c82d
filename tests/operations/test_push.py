"""WAL that is pushed: durable before it is acknowledged, judged, and never over another content."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from barmand.model.errors import Failure, Refused, StorageFailed, UsageError
from fakes import MB, Bench, lay_segment, segment_name, wal_segment
from storage.test_durable import files_limited_to

NAME = segment_name(7)
HISTORY = b"1\t0/5000000\tno recovery target specified\n"


@contextmanager
def opened(content: bytes, folder: Path) -> Iterator[int]:
    path = folder / "from PostgreSQL"
    path.write_bytes(content)
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


def push(bench: Bench, tmp_path: Path, name: str = NAME, content: bytes | None = None) -> bool:
    with opened(wal_segment(7) if content is None else content, tmp_path) as file:
        return bench.push.run(name, file)


def refusal(
    bench: Bench, tmp_path: Path, name: str = NAME, content: bytes | None = None
) -> Failure:
    with pytest.raises(Failure) as refused:
        push(bench, tmp_path, name, content)
    return refused.value


def arrived(bench: Bench) -> list[str]:
    """Also that no half of a push is left."""
    stage = bench.layout.incoming / ".barmand-push"
    assert not [path for path in stage.rglob("*") if not path.is_dir()]
    return sorted(path.name for path in bench.layout.incoming.iterdir() if path != stage)


def aside(bench: Bench) -> list[Path]:
    return sorted(bench.layout.errors.iterdir())


def test_a_push_is_ready_only_where_its_folders_are(bench: Bench) -> None:
    bench.push.demand_ready()
    bench.layout.incoming.chmod(0o500)
    with pytest.raises(StorageFailed, match=f"{bench.layout.incoming} cannot be written"):
        bench.push.demand_ready()
    bench.layout.incoming.rmdir()
    with pytest.raises(StorageFailed, match=f"{bench.layout.incoming} is missing"):
        bench.push.demand_ready()


def test_a_push_lies_in_incoming_under_its_own_name(bench: Bench, tmp_path: Path) -> None:
    assert push(bench, tmp_path) is True
    assert arrived(bench) == [NAME]
    assert (bench.layout.incoming / NAME).read_bytes() == wal_segment(7)
    bench.pass_wal()
    assert bench.archived() == [NAME]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("00000002.history", HISTORY),
        (f"{NAME}.partial", wal_segment(7)),
    ],
)
def test_histories_and_partial_segments_are_taken(
    bench: Bench, tmp_path: Path, name: str, content: bytes
) -> None:
    assert push(bench, tmp_path, name, content) is True
    assert arrived(bench) == [name]


@pytest.mark.parametrize("is_archived", [False, True])
def test_the_same_again_is_a_success_and_changes_nothing(
    bench: Bench, tmp_path: Path, *, is_archived: bool
) -> None:
    push(bench, tmp_path)
    if is_archived:
        bench.pass_wal()
    assert push(bench, tmp_path) is False
    bench.pass_wal()
    assert (arrived(bench), bench.archived(), aside(bench)) == ([], [NAME], [])


@pytest.mark.parametrize("place", ["incoming", "wals", "streaming"])
def test_another_content_under_the_same_name_is_refused_kept_and_told_once(
    bench: Bench, tmp_path: Path, place: str
) -> None:
    folder = bench.layout.home / place
    if place == "wals":
        folder = bench.layout.wal(NAME).parent
        folder.mkdir()
    lay_segment(folder, 7, fill=b"x")
    for _ in range(3):  # as PostgreSQL does
        failure = refusal(bench, tmp_path)
        assert isinstance(failure, Refused)
        assert "holds another content under its name" in failure.message
    assert (folder / NAME).read_bytes() == wal_segment(7, fill=b"x")
    (kept,) = aside(bench)
    assert kept.read_bytes() == wal_segment(7)
    assert kept.name.endswith(".duplicate")
    (event,) = bench.events("WAL file set aside")
    assert event.facts["file"] == NAME
    assert failure.hint == f"It is kept as {kept}."


def test_a_segment_of_another_cluster_is_refused_and_kept(bench: Bench, tmp_path: Path) -> None:
    bench.done_backup()
    foreign = wal_segment(7, system_id="7399999999999999999")
    assert (
        "it is WAL of system 7399999999999999999" in refusal(bench, tmp_path, NAME, foreign).message
    )
    assert arrived(bench) == []
    assert [path.name.rpartition(".")[2] for path in aside(bench)] == ["foreign"]


@pytest.mark.parametrize("content", [b"", b"short", wal_segment(7)[: MB // 2], b"\0" * MB])
def test_half_a_segment_is_refused_and_leaves_nothing(
    bench: Bench, tmp_path: Path, content: bytes
) -> None:
    assert f"{NAME} is not whole" in refusal(bench, tmp_path, NAME, content).message
    assert (arrived(bench), aside(bench)) == ([], [])


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/passwd",
        "0000000100000000000000ab",
        NAME[:23],
        f"{NAME}0",
        "",
        "x\n",
        f"{NAME}\n",
    ],
)
def test_a_name_that_is_no_wal_files_is_refused(bench: Bench, tmp_path: Path, name: str) -> None:
    assert isinstance(refusal(bench, tmp_path, name), UsageError)
    assert (arrived(bench), aside(bench)) == ([], [])


def test_what_is_not_a_regular_file_is_refused(bench: Bench) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(UsageError, match="is not a regular file"):
            bench.push.run(NAME, reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert arrived(bench) == []


def test_a_file_larger_than_any_segment_is_refused_before_it_is_read(
    bench: Bench, tmp_path: Path
) -> None:
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    with (tmp_path / "huge").open("rb") as huge, pytest.raises(UsageError, match="no WAL file has"):
        bench.push.run(NAME, huge.fileno())
    assert arrived(bench) == []


def test_half_a_file_in_incoming_makes_way_for_a_whole_one(bench: Bench, tmp_path: Path) -> None:
    (bench.layout.incoming / NAME).write_bytes(wal_segment(7)[:1000])
    assert push(bench, tmp_path) is True
    assert (bench.layout.incoming / NAME).read_bytes() == wal_segment(7)
    assert [path.read_bytes() for path in aside(bench)] == [wal_segment(7)[:1000]]


def test_a_damaged_segment_in_the_archive_is_replaced_by_a_pushed_one(
    bench: Bench, tmp_path: Path
) -> None:
    push(bench, tmp_path)
    bench.pass_wal()
    os.truncate(bench.layout.wal(NAME), 1000)
    assert push(bench, tmp_path) is True
    bench.pass_wal()
    assert bench.layout.wal(NAME).read_bytes() == wal_segment(7)


def test_a_push_and_the_stream_bring_one_copy(bench: Bench, tmp_path: Path) -> None:
    bench.stream(7)
    assert push(bench, tmp_path) is True
    bench.pass_wal()
    assert (arrived(bench), bench.archived(), aside(bench)) == ([], [NAME], [])
    assert bench.catalog.wal_runs.count("main") == 1


def test_a_disk_that_is_full_refuses_and_is_left_clean(bench: Bench, tmp_path: Path) -> None:
    with opened(wal_segment(7), tmp_path) as file:
        with files_limited_to(MB // 2), pytest.raises(StorageFailed, match="cannot write"):
            bench.push.run(NAME, file)
        assert arrived(bench) == []
        assert bench.push.run(NAME, file) is True  # PostgreSQL tries again


def test_nothing_is_pushed_onto_a_bare_mount_point(bench: Bench, tmp_path: Path) -> None:
    bench.done_backup()
    shutil.rmtree(bench.layout.home)
    bench.layout.incoming.mkdir(parents=True)
    assert isinstance(refusal(bench, tmp_path), StorageFailed)
    assert arrived(bench) == []


def test_what_a_killed_daemon_left_half_done_is_forgotten(bench: Bench) -> None:
    stage = bench.layout.incoming / ".barmand-push" / "123"
    stage.mkdir(parents=True)
    (stage / NAME).write_bytes(b"half")
    bench.pass_wal()
    assert bench.archived() == []
    bench.push.forget()
    assert list(bench.layout.incoming.iterdir()) == []


def test_the_senders_offset_does_not_count(bench: Bench, tmp_path: Path) -> None:
    with opened(wal_segment(7), tmp_path) as file:
        os.lseek(file, 1000, os.SEEK_SET)
        assert bench.push.run(NAME, file) is True
    assert (bench.layout.incoming / NAME).read_bytes() == wal_segment(7)


def test_a_server_that_only_streams_takes_no_push_and_says_the_way_out(
    bench: Bench, tmp_path: Path
) -> None:
    streams = replace(bench.push, takes_pushed=False)
    with opened(wal_segment(7), tmp_path) as file, pytest.raises(Refused) as refused:
        streams.run(NAME, file)
    assert "archiver is off" in refused.value.message
    assert "archiver = on" in (refused.value.hint or "")
    assert (arrived(bench), aside(bench)) == ([], [])
