"""The kernel's calls, and what is done where a file system lacks one."""

import errno
import os
from pathlib import Path

import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage import disk


def opened(path: Path, flags: int = os.O_RDONLY) -> int:
    return os.open(path, flags, 0o600)


def poured(source: Path, target: Path, step: int | None = None) -> list[int]:
    reading, writing = opened(source), opened(target, os.O_WRONLY | os.O_CREAT)
    try:
        if step is None:
            return list(disk.pour(reading, writing))
        return list(disk.pour_living(reading, writing, source.stat().st_size, step))
    finally:
        os.close(reading)
        os.close(writing)


def test_holes_stay_holes_and_count_as_bytes(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"middle")
        file.truncate(24 << 20)
    assert sum(poured(tmp_path / "a", tmp_path / "b")) == 24 << 20
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").stat().st_blocks <= (tmp_path / "a").stat().st_blocks + 16


@pytest.mark.parametrize("size", [5000, 3 << 20])
def test_files_are_copied_from_their_beginning_wherever_they_stand(
    tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    reading, writing = opened(tmp_path / "a"), opened(tmp_path / "b", os.O_WRONLY | os.O_CREAT)
    os.lseek(reading, 4096, os.SEEK_SET)
    os.lseek(writing, 100, os.SEEK_SET)
    assert sum(disk.pour(reading, writing)) == size
    os.close(reading)
    os.close(writing)
    assert (tmp_path / "b").read_bytes() == content


def test_steps_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(10_000))
    assert poured(tmp_path / "a", tmp_path / "b", 4096) == [4096, 4096, 1808]
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_an_empty_file_is_no_step(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert poured(tmp_path / "a", tmp_path / "b") == []
    assert (tmp_path / "b").exists()


def test_a_copy_of_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    reading, writing = opened(tmp_path / "a"), opened(tmp_path / "b", os.O_WRONLY | os.O_CREAT)
    disk._STEP_BYTES, before = 4096, disk._STEP_BYTES
    try:
        steps = disk.pour(reading, writing)
        next(steps)
        os.truncate(tmp_path / "a", 5000)
        with pytest.raises(OSError, match="changed its size"):
            list(steps)
    finally:
        disk._STEP_BYTES = before
        os.close(reading)
        os.close(writing)


def test_without_copy_file_range_bytes_go_through_memory(tmp_path: Path) -> None:
    """A pipe has no range to copy: the kernel says EINVAL."""
    (tmp_path / "a").write_bytes(b"hello")
    reading = opened(tmp_path / "a")
    out, into = os.pipe()
    assert disk._pour_step(reading, into, 100) == 5
    assert os.read(out, 10) == b"hello"
    for file in (reading, out, into):
        os.close(file)


def test_a_copy_onto_a_closed_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    reading = opened(tmp_path / "a")
    with pytest.raises(OSError, match="Bad file") as told:
        disk._pour_step(reading, reading, 100)
    assert told.value.errno == errno.EBADF
    os.close(reading)


def test_extents_of_what_cannot_seek_are_an_error() -> None:
    out, into = os.pipe()
    with pytest.raises(OSError, match="seek"):
        list(disk._extents(out, 100))
    os.close(out)
    os.close(into)


def test_where_the_kernel_cannot_refuse_we_look_first(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    disk._rename_after_a_look(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"new"
    (tmp_path / "a").write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        disk._rename_after_a_look(tmp_path / "a", tmp_path / "b")


def test_a_kernel_call_that_it_does_not_know_leads_to_the_look(tmp_path: Path) -> None:
    """A directory into itself is EINVAL, as on a file system without RENAME_NOREPLACE."""
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="Invalid"):
        disk.rename_new(tmp_path / "a", tmp_path / "a" / "b")


def test_a_file_system_is_synced_or_the_refusal_told(tmp_path: Path) -> None:
    with disk.held_open(tmp_path) as opened:
        disk.sync_file_system(opened)
    with pytest.raises(OSError, match="Bad file descriptor"):
        disk.sync_file_system(opened)
    with (
        pytest.raises(StorageFailed, match=r"cannot open .*missing"),
        disk.held_open(tmp_path / "missing"),
    ):
        pass


def test_what_was_forgotten_is_there_still(tmp_path: Path) -> None:
    file = opened(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    content = os.urandom(1 << 20)
    os.write(file, content)
    for count in (-5, 0, 4096, 1 << 20, 1 << 30):
        disk.forget(file, count)
    os.close(file)
    assert (tmp_path / "file").read_bytes() == content


def test_writing_may_begin_at_once_where_the_file_can(tmp_path: Path) -> None:
    file = opened(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(file, bytes(10_000))
    disk.start_writing(file, 0, 10_000)
    reading, writing = os.pipe()
    disk.start_writing(writing, 0, 10)  # a pipe knows of no disk: nothing to begin
    for each in (file, reading, writing):
        os.close(each)
    with pytest.raises(OSError, match="Bad file descriptor"):
        disk.start_writing(file, 0, 10)


def test_a_sync_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot sync"):
        disk.sync_directory(tmp_path / "missing")


def test_stop_is_heeded_where_there_is_one() -> None:
    class Now:
        def is_set(self) -> bool:
            return True

    disk.heed(None, "copying", Path("/a"))
    with pytest.raises(Stopped, match="stopped while copying /a"):
        disk.heed(Now(), "copying", Path("/a"))


def test_a_name_that_is_no_text_is_shown() -> None:
    strange = Path(os.fsdecode(b"/a\xff"))
    with pytest.raises(StorageFailed, match=r"/a\\xff"), disk.at_the_disk("read", strange):
        strange.read_bytes()
