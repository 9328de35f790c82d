"""A WAL file rings the moment it is whole in its directory, and not before."""

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from barmand.service.watcher import Watcher

PATIENCE = 10
SEGMENT = "000000010000000000000001"


class Bench:
    """A watcher, what it rang, and a directory of a server of its own that ends a question."""

    def __init__(self, folder: Path) -> None:
        self.rings: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.watcher = Watcher(self.rings.put)
        self.sentinel = folder / "sentinel"
        self.sentinel.mkdir()

    def serve(self, **directories: tuple[Path, ...]) -> None:
        every = {**directories, "sentinel": (self.sentinel,)}
        self.watcher.serve(every)
        for server in every:
            self.watcher.renew(server)

    def rung_so_far(self) -> list[str]:
        """The kernel tells in order: what comes before the sentinel was all that there was.

        Twice, for of what it tells at once the watcher rings in any order.
        """
        rung: list[str] = []
        for _ in range(2):
            (self.sentinel / "file").write_text("x")
            while (ring := self.rings.get(timeout=PATIENCE)) != "sentinel":
                rung.append(ring)
        return rung

    def next_ring(self) -> str:
        return self.rings.get(timeout=PATIENCE)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.watcher.start()
    yield made
    made.watcher.stop()


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    (tmp_path / "incoming").mkdir()
    return tmp_path / "incoming"


@pytest.fixture
def streaming(tmp_path: Path) -> Path:
    (tmp_path / "streaming").mkdir()
    return tmp_path / "streaming"


def test_a_file_renamed_into_the_directory_rings(
    bench: Bench, incoming: Path, tmp_path: Path
) -> None:
    bench.serve(main=(incoming,))
    (tmp_path / "elsewhere").write_text("WAL")
    assert bench.rung_so_far() == []
    (tmp_path / "elsewhere").rename(incoming / SEGMENT)
    assert bench.next_ring() == "main"


def test_a_file_renamed_within_the_directory_rings(bench: Bench, streaming: Path) -> None:
    (streaming / f"{SEGMENT}.partial").write_text("WAL")
    bench.serve(main=(streaming,))
    (streaming / f"{SEGMENT}.partial").rename(streaming / SEGMENT)
    assert bench.next_ring() == "main"


def test_a_file_rings_once_its_writer_has_closed_it(bench: Bench, incoming: Path) -> None:
    bench.serve(main=(incoming,))
    with (incoming / SEGMENT).open("wb") as file:
        file.write(b"half of it")
        file.flush()
        os.fsync(file.fileno())
        assert bench.rung_so_far() == []
    assert bench.next_ring() == "main"


def test_reading_and_removing_do_not_ring(bench: Bench, incoming: Path) -> None:
    (incoming / SEGMENT).write_text("WAL")
    bench.serve(main=(incoming,))
    (incoming / SEGMENT).read_text()
    (incoming / SEGMENT).unlink()
    assert bench.rung_so_far() == []


def test_each_server_is_rung_for_its_own_directories(
    bench: Bench, incoming: Path, streaming: Path
) -> None:
    bench.serve(one=(incoming,), two=(streaming,))
    (streaming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "two"
    (incoming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "one"


def test_a_directory_that_comes_with_a_reload_is_watched_from_then_on(
    bench: Bench, incoming: Path, streaming: Path
) -> None:
    bench.serve(main=(incoming,))
    (streaming / SEGMENT).write_text("WAL")
    assert bench.rung_so_far() == []
    bench.serve(main=(incoming, streaming))
    (streaming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "main"


def test_a_directory_that_goes_with_a_reload_rings_no_more(
    bench: Bench, incoming: Path, streaming: Path
) -> None:
    bench.serve(main=(incoming,), other=(streaming,))
    bench.serve(other=(streaming,))
    (incoming / SEGMENT).write_text("WAL")
    (streaming / SEGMENT).write_text("WAL")
    assert bench.rung_so_far() == ["other"]


def test_a_directory_may_change_hands(bench: Bench, incoming: Path) -> None:
    bench.serve(old=(incoming,))
    bench.serve(new=(incoming,))
    (incoming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "new"


def test_a_directory_made_anew_is_watched_after_the_next_reload(
    bench: Bench, incoming: Path
) -> None:
    bench.serve(main=(incoming,))
    incoming.rmdir()
    incoming.mkdir()
    bench.serve(main=(incoming,))
    bench.rung_so_far()
    (incoming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "main"


def test_a_directory_that_was_removed_can_be_let_go(bench: Bench, incoming: Path) -> None:
    bench.serve(main=(incoming,))
    incoming.rmdir()
    bench.serve()
    assert bench.watcher.is_alive()
    bench.rung_so_far()


def test_a_directory_that_is_not_there_is_told_and_left_to_the_poll(
    bench: Bench, incoming: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no directory")
    with capture_logs() as logs:
        bench.serve(main=(tmp_path / "nowhere", tmp_path / "file", incoming))
    assert [(line["event"], line["error"]) for line in logs] == [
        ("directory not watched, only polled", "No such file or directory"),
        ("directory not watched, only polled", "Not a directory"),
    ]
    (incoming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "main"


def test_a_directory_that_comes_back_is_watched_again_and_both_are_told_once(
    bench: Bench, incoming: Path
) -> None:
    bench.serve(main=(incoming,))
    incoming.rename(incoming.with_name("unmounted"))
    with capture_logs() as logs:
        for _ in range(3):
            bench.watcher.renew("main")
        incoming.mkdir()
        for _ in range(3):
            bench.watcher.renew("main")
    assert [line["event"] for line in logs] == [
        "directory not watched, only polled",
        "directory watched again",
    ]
    bench.rung_so_far()
    (incoming / SEGMENT).write_text("WAL")
    assert bench.next_ring() == "main"


def test_a_queue_that_overflows_rings_for_all(incoming: Path, streaming: Path) -> None:
    held, let_go, heard = threading.Event(), threading.Event(), threading.Event()

    def note(server: str) -> None:
        if server == "quiet":
            heard.set()
        held.set()
        assert let_go.wait(60)

    watcher = Watcher(note)
    watcher.serve({"busy": (incoming,), "quiet": (streaming,)})
    watcher.renew("busy")
    watcher.renew("quiet")
    watcher.start()
    try:
        (incoming / "first").write_text("")
        assert held.wait(PATIENCE)  # from here on nobody reads the queue
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        names = [incoming / "a", incoming / "b"]
        for number in range(most + 10):
            os.close(os.open(names[number % 2], os.O_WRONLY | os.O_CREAT))
        (streaming / SEGMENT).write_text("lost by the queue")
        let_go.set()
        assert heard.wait(PATIENCE)
    finally:
        let_go.set()
        watcher.stop()


def test_a_watcher_lives_from_start_to_stop(tmp_path: Path) -> None:
    watcher = Watcher(lambda _server: None)
    assert not watcher.is_alive()
    watcher.serve({"main": (tmp_path,)})
    watcher.renew("main")
    watcher.start()
    assert watcher.is_alive()
    watcher.stop()
    assert not watcher.is_alive()
