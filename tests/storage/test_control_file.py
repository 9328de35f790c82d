"""pg_control by PostgreSQL itself, whole and torn."""

import os
import re
import struct
import threading
from pathlib import Path

import google_crc32c
import pytest

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage.control_file import READS, bring_whole, is_whole, recovery_needs
from fakes import Stop, control_file
from support.postgres import Clusters, run


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


# ------------------------------------------------------------------------------ what recovery needs


def test_what_recovery_needs_is_what_pg_controldata_tells(clusters: Clusters) -> None:
    cluster = clusters.make(
        max_connections=123,
        max_worker_processes=17,
        max_wal_senders=13,
        max_prepared_transactions=19,
        max_locks_per_transaction=77,
    )
    cluster.stop()
    told = run(cluster.bindir / "pg_controldata", cluster.data)
    settings = dict(re.findall(r"^(max_\w+) setting: +(\d+)$", told, re.MULTILINE))
    short = {"max_prepared_xacts": "max_prepared_transactions"}
    short["max_locks_per_xact"] = "max_locks_per_transaction"
    expected = {short.get(name, name): int(value) for name, value in settings.items()}
    assert len(expected) == 5
    needs = recovery_needs((cluster.data / "global/pg_control").read_bytes())
    assert needs == expected
    assert needs["max_locks_per_transaction"] == 77


def with_sum(content: bytes, end: int) -> bytes:
    """The same, its checksum at `end` made true again."""
    crc = google_crc32c.value(content[:end]).to_bytes(4, "little")
    return content[:end] + crc + content[end + 4 :]


def sum_place(content: bytes) -> int:
    return next(
        place
        for place in range(64, 512, 4)
        if google_crc32c.value(content[:place]).to_bytes(4, "little") == content[place : place + 4]
    )


@pytest.mark.parametrize("change", ["version", "number", "alignment", "value", "torn", "short"])
def test_what_is_not_found_for_sure_is_not_guessed(real: bytes, change: str) -> None:
    number = real.find(struct.pack("=d", 1234567.0))
    places = {"version": 8, "number": number, "alignment": number - 4, "value": number - 25}
    if change in ("torn", "short"):
        assert recovery_needs(real[:100] if change == "short" else b"x" + real[1:]) is None
        return
    place, end = places[change], sum_place(real)
    changed = real[:place] + b"\xff" + real[place + 1 :]
    assert is_whole(with_sum(changed, end))
    assert recovery_needs(with_sum(changed, end)) is None
    assert recovery_needs(with_sum(real, end)) is not None


def test_a_control_file_of_an_unknown_kind_tells_nothing() -> None:
    assert recovery_needs(control_file("73")) is None
