"""A file is whole under its name, or not there; and it is never lost on the way."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from barmand.model.errors import StorageFailed
from barmand.storage import durable
from barmand.storage.disk import at_the_disk


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A disk that is full for us: writing more fails with EFBIG (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A directory on another file system than tmp_path."""
    directory = Path(f"/dev/shm/barmand-test-{os.getpid()}")  # noqa: S108 - the other file system
    directory.mkdir()
    yield directory
    durable.remove_tree(directory, None)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    durable.write_whole(tmp_path / "a", b"one")
    durable.write_whole(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert names(tmp_path) == {"a"}


def test_replacing_leaves_other_hard_links_alone(tmp_path: Path) -> None:
    durable.write_whole(tmp_path / "a", b"one")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    durable.write_whole(tmp_path / "a", b"two")
    assert (tmp_path / "b").read_bytes() == b"one"


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    durable.write_whole(tmp_path / "a", b"one")
    with files_limited_to(4096), pytest.raises(StorageFailed, match=f"cannot write {tmp_path}/a"):
        durable.write_whole(tmp_path / "a", b"x" * 10_000)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == {"a"}


def test_a_refusal_names_the_path_the_reason_and_the_way_out() -> None:
    with pytest.raises(StorageFailed) as told, at_the_disk("write", Path("/x/y")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert told.value.message == "cannot write /x/y: No space left on device"
    assert told.value.hint == "Free space on that file system, or make it larger."
    assert isinstance(told.value.__cause__, OSError)


def test_the_real_full_device_is_told_too() -> None:
    with pytest.raises(StorageFailed, match="No space left"), at_the_disk("fill", Path()):
        Path("/dev/full").write_bytes(b"x")


def test_a_move_within_a_file_system_keeps_the_file_and_its_links(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"wal")
    inode = source.stat().st_ino
    (tmp_path / "to").mkdir()
    assert durable.move_whole(source, tmp_path / "to" / "a") == 3
    assert (tmp_path / "to" / "a").stat().st_ino == inode
    assert not source.exists()


def test_a_move_between_file_systems_copies_and_removes(tmp_path: Path, other_disk: Path) -> None:
    source = other_disk / "in"
    source.write_bytes(b"wal" * 5_000)
    os.utime(source, ns=(10**18, 10**18 + 5))
    assert durable.move_whole(source, tmp_path / "a") == 15_000
    assert (tmp_path / "a").read_bytes() == b"wal" * 5_000
    assert (tmp_path / "a").stat().st_mtime_ns == 10**18 + 5
    assert not source.exists()
    assert names(tmp_path) == {"a"}


def test_a_move_between_file_systems_that_fails_keeps_the_source(
    tmp_path: Path, other_disk: Path
) -> None:
    source = other_disk / "in"
    source.write_bytes(b"x" * 10_000)
    with files_limited_to(4096), pytest.raises(StorageFailed):
        durable.move_whole(source, tmp_path / "a")
    assert source.stat().st_size == 10_000
    assert names(tmp_path) == set()


@pytest.mark.parametrize("verb", [durable.move_whole, durable.copy_whole])
def test_nothing_is_overwritten(tmp_path: Path, verb: object) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(StorageFailed, match="File exists"):
        verb(tmp_path / "a", tmp_path / "b")  # type: ignore[operator] # either of the two
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "b").read_bytes() == b"old"
    assert names(tmp_path) == {"a", "b"}


def test_a_move_between_file_systems_overwrites_nothing(tmp_path: Path, other_disk: Path) -> None:
    (other_disk / "a").write_bytes(b"new")
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(StorageFailed, match="File exists"):
        durable.move_whole(other_disk / "a", tmp_path / "a")
    assert (other_disk / "a").read_bytes() == b"new"
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_copy_leaves_its_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert durable.copy_whole(tmp_path / "a", tmp_path / "b") == 3
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"abc"


def test_what_is_not_a_file_is_not_moved(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "missing"):
        with pytest.raises(StorageFailed, match=f"cannot read {tmp_path}/{name}"):
            durable.move_whole(tmp_path / name, tmp_path / "to")
    assert names(tmp_path) == {"link", "pipe"}


def test_directories_are_made_with_their_parents(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "a" / "b" / "c")
    durable.make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_directory_may_lie_in_one_that_we_cannot_list(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o300)
    durable.make_directory(tmp_path / "a" / "b")
    (tmp_path / "a").chmod(0o700)


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(StorageFailed, match=f"{tmp_path}/a is in the way"):
        durable.make_directory(tmp_path / "a" / "b")


def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    durable.remove_file(tmp_path / "a")
    durable.remove_file(tmp_path / "a")
    durable.remove_file(tmp_path / "nowhere" / "a")
    assert names(tmp_path) == set()


def test_removing_a_directory_as_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=f"cannot remove {tmp_path}"):
        durable.remove_file(tmp_path)


def test_what_is_missing_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=f"cannot sync {tmp_path}/a"):
        durable.sync_directory(tmp_path / "a")
    with pytest.raises(StorageFailed, match=f"cannot read {tmp_path}/a"):
        durable.sync_file(tmp_path / "a")


def test_a_file_system_that_cannot_sync_directories_is_taken_as_it_is() -> None:
    durable.sync_directory(Path("/proc"))
