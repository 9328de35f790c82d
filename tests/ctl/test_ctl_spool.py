"""The spool: what was fetched ahead is delivered whole, if it is still what barmand has."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from barmand.ctl import prefetch
from barmand.ctl.spool import Spool
from barmand.model.errors import StorageFailed
from barmand.wire.door_messages import GetWal
from ctl.test_ctl_doors import WalDaemon, ctl, wal
from support.waiting import eventually

__all__ = ["wal"]
NAMES = [f"00000001000000000000000{digit}" for digit in "123456"]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir(0o700)
    return folder


@pytest.fixture
def filled(wal: WalDaemon) -> WalDaemon:
    wal.files |= {name: name.encode() * 1000 for name in NAMES}
    return wal


def get(wal: WalDaemon, top: Path, name: str, prefetch: int = 3) -> bytes:
    """Through the real program, with prefetch; waits for that to end."""
    done = ctl(wal, "get-wal", "-p", str(prefetch), "--spool", str(top), "main", name)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def spooled(top: Path) -> list[str]:
    return sorted(
        path.name.split(".")[0] for path in (top / "main").iterdir() if path.name[0] != "."
    )


def fetch(wal: WalDaemon, top: Path, name: str, count: int = 3) -> None:
    """The prefetch alone, in a process of its own as always: its lock ends with it."""
    child = os.fork()
    if child == 0:
        try:
            prefetch.fetch(wal.path, "main", name, count, Spool.of("main", str(top)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_the_next_segments_are_fetched_ahead(filled: WalDaemon, top: Path) -> None:
    assert get(filled, top, NAMES[0]) == filled.files[NAMES[0]]
    eventually(lambda: spooled(top) == NAMES[1:4])
    for path in (top / "main").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_what_was_fetched_ahead_is_delivered_and_makes_room(filled: WalDaemon, top: Path) -> None:
    get(filled, top, NAMES[0])
    eventually(lambda: spooled(top) == NAMES[1:4])
    filled.asked.clear()
    assert get(filled, top, NAMES[1]) == filled.files[NAMES[1]]
    (asked,) = [each for each in filled.asked if isinstance(each, GetWal)][:1]
    assert asked.held is not None
    eventually(lambda: spooled(top) == NAMES[2:5])


def test_what_has_changed_since_is_fetched_again(filled: WalDaemon, top: Path) -> None:
    fetch(filled, top, NAMES[0])
    assert spooled(top) == NAMES[1:4]
    filled.files[NAMES[1]] = b"another content"
    assert get(filled, top, NAMES[1]) == b"another content"


def test_what_barmand_has_no_more_is_not_delivered(filled: WalDaemon, top: Path) -> None:
    fetch(filled, top, NAMES[0])
    del filled.files[NAMES[1]]
    done = ctl(filled, "get-wal", "--spool", str(top), "main", NAMES[1])
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_daemon_that_is_down_stops_postgresql_whatever_the_spool_has(
    filled: WalDaemon, top: Path
) -> None:
    fetch(filled, top, NAMES[0])
    done = ctl("/nowhere", "get-wal", "--spool", str(top), "main", NAMES[1])
    assert (done.returncode, done.stdout) == (210, b"")


def test_a_short_file_of_the_spool_is_not_delivered(filled: WalDaemon, top: Path) -> None:
    fetch(filled, top, NAMES[0])
    (short,) = (top / "main").glob(f"{NAMES[1]}.*")
    os.truncate(short, 10)
    assert get(filled, top, NAMES[1]) == filled.files[NAMES[1]]


def test_what_is_passed_goes_from_the_spool_and_so_does_what_died_half_done(
    filled: WalDaemon, top: Path
) -> None:
    fetch(filled, top, NAMES[0])
    (top / "main" / ".barmanctl-0123.tmp").write_bytes(b"half")
    fetch(filled, top, NAMES[3])
    assert sorted(path.name.split(".")[0] for path in (top / "main").iterdir()) == [
        "",
        *NAMES[4:],
    ]


def test_servers_do_not_share(filled: WalDaemon, top: Path) -> None:
    fetch(filled, top, NAMES[0])
    assert Spool.of("other", str(top)).find(NAMES[1]) is None
    assert Spool.of("../main", str(top)).folder == f"{top}/-2e--2e--2f-main"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_of_others_too_is_no_spool(filled: WalDaemon, top: Path, mode: int) -> None:
    top.chmod(mode)
    done = ctl(filled, "get-wal", "-p", "1", "--spool", str(top), "main", NAMES[0])
    assert (done.returncode, done.stdout) == (208, b"")
    assert b"is no safe spool" in done.stderr


def test_a_link_is_no_spool(top: Path) -> None:
    (top / "main").symlink_to(top)
    with pytest.raises(StorageFailed, match="no safe spool"):
        Spool.of("main", str(top))


def test_one_prefetch_at_a_time(filled: WalDaemon, top: Path) -> None:
    assert Spool.of("main", str(top)).lock()
    fetch(filled, top, NAMES[0])
    assert spooled(top) == []


def test_postgresql_does_not_wait_for_the_prefetch(filled: WalDaemon, top: Path) -> None:
    """Neither for its end nor for its pipes."""
    slow = threading.Event()
    filled.wait_before = lambda name: name == NAMES[0] or slow.wait(20)
    try:
        assert get(filled, top, NAMES[0]) == filled.files[NAMES[0]]
        assert spooled(top) == []
    finally:
        slow.set()
    eventually(lambda: spooled(top) == NAMES[1:4])


def test_a_prefetch_that_hangs_is_ended_by_the_kernel(
    filled: WalDaemon, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "PREFETCH_SECONDS", 1)
    monkeypatch.setattr(os, "fork", _forked(ended := []))
    never = threading.Event()
    filled.wait_before = lambda _name: never.wait(20)
    try:
        prefetch.prefetch(filled.path, "main", NAMES[0], 1, Spool.of("main", str(top)))
        _, status = os.waitpid(ended[0], 0)
        assert os.WTERMSIG(status) == 14
    finally:
        never.set()


def _forked(children: list[int]) -> Callable[[], int]:
    fork = os.fork

    def forked() -> int:
        child = fork()
        if child:
            children.append(child)
        return child

    return forked
