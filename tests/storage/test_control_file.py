"""pg_control by PostgreSQL itself, whole and torn."""

import os
import threading
from pathlib import Path

import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage.control_file import READS, bring_whole, is_whole
from fakes import Stop, control_file
from support.postgres import Clusters


@pytest.fixture
def real(clusters: Clusters) -> bytes:
    return (clusters.make(start=False).data / "global/pg_control").read_bytes()


def test_what_postgresql_wrote_is_whole(real: bytes) -> None:
    assert len(real) == 8192
    assert is_whole(real)


def test_each_flipped_bit_before_its_checksum_is_seen(real: bytes) -> None:
    for place in range(0, 280, 7):
        torn = bytearray(real)
        torn[place] ^= 1
        assert not is_whole(bytes(torn)), place


@pytest.mark.parametrize("length", [0, 8, 64, 200])
def test_what_ends_before_its_checksum_is_not_whole(real: bytes, length: int) -> None:
    assert not is_whole(real[:length])


@pytest.mark.parametrize("size", [224, 240, 288, 296, 304])
def test_the_layout_of_any_version_will_do(size: int) -> None:
    """So large are they in PostgreSQL 9.5 to 18, and some room."""
    assert is_whole(control_file("73", size))
    assert not is_whole(control_file("73", size).replace(b"c", b"x", 1))


def test_a_torn_copy_is_brought_again(tmp_path: Path) -> None:
    copy = tmp_path / "pg_control"
    whole, stop = control_file("73"), Stop()
    contents = iter([whole[:100] + bytes(8092), whole[:-1], whole])
    brought = []

    def bring() -> None:
        content = next(contents)
        brought.append(content)
        copy.write_bytes(content)

    bring_whole(bring, copy, stop)
    assert (len(brought), len(stop.pauses)) == (2, 1)


def test_one_that_stays_torn_is_told(tmp_path: Path) -> None:
    copy, stop, brought = tmp_path / "pg_control", Stop(), []
    with pytest.raises(StorageFailed, match=f"its own checksum, read {READS} times") as failed:
        bring_whole(lambda: brought.append(copy.write_bytes(bytes(8192))), copy, stop)
    assert "pg_controldata" in (failed.value.hint or "")
    assert len(brought) == READS
    assert len(stop.pauses) == READS - 1


def test_a_stop_ends_the_attempts(tmp_path: Path) -> None:
    copy, stop = tmp_path / "pg_control", Stop()
    stop.set()
    with pytest.raises(Stopped):
        bring_whole(lambda: copy.write_bytes(bytes(8192)) and None, copy, stop)


def test_a_file_that_is_written_all_the_time_comes_whole(tmp_path: Path) -> None:
    """Here a reader does see halves: the writer makes them."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    states = [control_file(str(number)) for number in (1, 2)]
    source.write_bytes(states[0])
    over = threading.Event()

    def write() -> None:
        with source.open("r+b", buffering=0) as file:
            for turn in range(10**9):
                for begin in (0, 200):
                    os.pwrite(file.fileno(), states[turn % 2][begin : begin + 200], begin)
                if over.wait(0.001):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            bring_whole(lambda: copy.write_bytes(source.read_bytes()) and None, copy, Stop())
            assert copy.read_bytes()[:8] in {state[:8] for state in states}
    finally:
        over.set()
        writer.join()
