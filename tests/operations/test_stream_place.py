"""Halves in streaming/: gone only where the archive tells the same, kept wherever it does not."""

import gzip
from pathlib import Path

import pytest

from barmand.model.lineage import Lineage
from barmand.operations.quarantine import Quarantine
from barmand.operations.slots import SlotKeeper
from barmand.operations.stream_place import Here, StreamPlace
from barmand.outside.wal_source import Writing
from fakes import MB, SYSTEM, Bench, segment_name, wal_segment

WROTE = b"x" * 5000


def place(bench: Bench) -> StreamPlace:
    catalog = bench.catalog
    return StreamPlace(
        server="main",
        layout=bench.layout,
        wals=bench.wals,
        quarantine=Quarantine("main", bench.wals, catalog.events, bench.clock),
        wal_runs=catalog.wal_runs,
        keeper=SlotKeeper(
            server="main",
            source=bench.postgres,
            name=None,
            makes=False,
            events=catalog.events,
            now=bench.clock,
        ),
    )


def here(*left: tuple[int, int]) -> Here:
    current = left[-1][0] + 1 if left else 1
    writing = Writing(SYSTEM, 150_018, MB, "", lists_wal=True)
    return Here(writing, Lineage(current, left), 9 * MB)


def lay_half(bench: Bench, number: int, content: bytes) -> Path:
    path = bench.layout.streaming / f"{segment_name(number)}.partial"
    path.write_bytes(content.ljust(MB, b"\0"))
    return path


def aside(bench: Bench) -> list[str]:
    return [path.name.rpartition(".")[2] for path in bench.layout.errors.iterdir()]


def archive(bench: Bench, number: int, content: bytes, *, timeline: int = 1) -> Path:
    name = segment_name(number, timeline=timeline)
    (bench.layout.incoming / name).write_bytes(content)
    bench.pass_wal()
    return bench.layout.wal(name)


def filled(written: bytes, number: int = 7) -> bytes:
    """A half: the first page's header, `written` behind it, and zeros."""
    return (wal_segment(number)[:40] + written).ljust(MB, b"\0")


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_half_goes_where_the_archived_one_begins_as_it_does(
    bench: Bench, *, is_packed: bool
) -> None:
    path = archive(bench, 7, filled(WROTE + b"more"))
    if is_packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    half = lay_half(bench, 7, filled(WROTE))
    place(bench).prepare(here())
    assert not half.exists()
    assert aside(bench) == []


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_half_that_knows_more_than_the_archived_one_is_kept(
    bench: Bench, *, is_packed: bool
) -> None:
    path = archive(bench, 7, filled(WROTE))
    if is_packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    half = lay_half(bench, 7, filled(WROTE + b"more"))
    place(bench).prepare(here())
    assert not half.exists()
    (kept,) = bench.layout.errors.iterdir()
    assert kept.name.endswith(".differs")
    assert kept.read_bytes() == filled(WROTE + b"more")
    (told,) = [e for e in bench.catalog.events.of_server("main") if e.kind == "WAL file set aside"]
    assert "may be the wrong one" in str(told.facts["why"])


def test_a_half_is_kept_where_the_archived_one_is_gone_or_damaged(bench: Bench) -> None:
    archive(bench, 6, filled(WROTE, 6)).write_bytes(gzip.compress(filled(WROTE, 6))[:-9])
    archive(bench, 7, filled(WROTE)).unlink()
    lay_half(bench, 6, filled(WROTE, 6))
    lay_half(bench, 7, filled(WROTE))
    place(bench).prepare(here())
    assert aside(bench) == ["differs", "differs"]


def test_a_half_of_an_old_timeline_is_compared_up_to_where_it_was_left(bench: Bench) -> None:
    archive(bench, 7, filled(WROTE)[: 40 + 3000].ljust(MB, b"\0"), timeline=1)
    archive(bench, 8, filled(b"a" * 3000 + b"new", 8), timeline=2)
    lay_half(bench, 8, filled(b"a" * 3000, 8))
    place(bench).prepare(here((1, 8 * MB + 3040)))
    assert aside(bench) == []
    lay_half(bench, 8, filled(b"a" * 3000 + b"old", 8))
    place(bench).prepare(here((1, 8 * MB + 3040)))
    assert aside(bench) == ["forked"]
    lay_half(bench, 8, filled(b"b" * 3000, 8))
    place(bench).prepare(here((1, 8 * MB + 3040)))
    assert sorted(aside(bench)) == ["differs", "forked"]
