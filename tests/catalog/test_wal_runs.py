"""The few rows that tell which WAL we hold are always what a plain set would tell."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import exc

from barmand.catalog.memory import Catalog
from barmand.catalog.wal_runs import LastArchived, WalRuns
from barmand.model.wal import Run, Segment, runs_of

MB = 1024 * 1024
NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)

segments = st.builds(Segment, st.integers(1, 3), st.integers(0, 12))
runs = st.builds(
    lambda timeline, first, more: Run(timeline, first, first + more),
    st.integers(1, 3),
    st.integers(0, 12),
    st.integers(0, 5),
)
extensions = st.tuples(st.just("extend"), st.lists(segments, max_size=4))
cuts = st.tuples(st.just("cut"), st.lists(runs, max_size=2))


@dataclass
class PlainSet:
    """The same, said the long way."""

    held: set[Segment] = field(default_factory=set)

    def extend(self, more: list[Segment]) -> None:
        self.held |= set(more)

    def cut(self, gone: list[Run]) -> None:
        self.held -= {segment for run in gone for segment in run.segments()}

    @property
    def runs(self) -> list[Run]:
        return [run for run, _ in runs_of((segment, 1) for segment in sorted(self.held))]


def extend(wal_runs: WalRuns, server: str, more: list[Segment], now: datetime = NOW) -> None:
    wal_runs.extend(server, ((segment, MB) for segment in more), segment_size=MB, now=now)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), extensions | cuts), max_size=15))
def test_whatever_comes_and_goes_the_rows_tell_what_is_held(
    shared: Catalog,
    new_server: Callable[[], str],
    story: list[tuple[int, tuple[str, list[object]]]],
) -> None:
    wal_runs = shared.wal_runs
    servers = [(new_server(), PlainSet()), (new_server(), PlainSet())]
    for whose, (deed, what) in story:
        server, plain = servers[whose]
        if deed == "extend":
            extend(wal_runs, server, what)  # type: ignore[arg-type] # as drawn beside the word
        else:
            wal_runs.cut(server, what, NOW)  # type: ignore[arg-type] # as drawn beside the word
        getattr(plain, deed)(what)
        for each, expected in servers:
            assert wal_runs.of_server(each) == expected.runs
            assert wal_runs.count(each) == len(expected.held)


@settings(deadline=None, max_examples=30)
@given(st.permutations([Segment(1, number) for number in range(8)]))
def test_in_whatever_order_segments_come_they_end_as_one_run(
    shared: Catalog, new_server: Callable[[], str], order: list[Segment]
) -> None:
    server = new_server()
    for segment in order:
        extend(shared.wal_runs, server, [segment])
    assert shared.wal_runs.of_server(server) == [Run(1, 0, 7)]


def total_bytes(catalog: Catalog, server: str = "main") -> int:
    with catalog.database.reading() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT coalesce(sum(bytes), 0) FROM wal_runs WHERE server = ?", (server,)
            ).scalar_one()
        )


def test_a_run_knows_its_bytes(catalog: Catalog) -> None:
    held = [(Segment(1, 1), 10), (Segment(1, 3), 20), (Segment(1, 2), 30), (Segment(2, 9), 40)]
    catalog.wal_runs.extend("main", held, segment_size=MB, now=NOW)
    assert total_bytes(catalog) == 100
    catalog.wal_runs.cut("main", [Run(1, 2, 2)], NOW)
    assert total_bytes(catalog) == 80


def test_a_segment_that_is_held_already_changes_nothing(catalog: Catalog) -> None:
    extend(catalog.wal_runs, "main", [Segment(1, 5)])
    extend(catalog.wal_runs, "main", [Segment(1, 5)], NOW + timedelta(hours=1))
    assert total_bytes(catalog) == MB
    assert catalog.wal_runs.last_archived("main") == LastArchived(Segment(1, 5).name(MB), NOW)


def test_the_last_archived_is_the_end_of_the_run_that_grew_last(catalog: Catalog) -> None:
    wal_runs, hour = catalog.wal_runs, timedelta(hours=1)
    assert wal_runs.last_archived("main") is None
    extend(wal_runs, "main", [Segment(1, 5), Segment(1, 6)])
    extend(wal_runs, "main", [Segment(2, 7)], NOW + hour)
    extend(wal_runs, "other", [Segment(9, 9)], NOW + 3 * hour)
    assert wal_runs.last_archived("main") == LastArchived(Segment(2, 7).name(MB), NOW + hour)
    extend(wal_runs, "main", [Segment(1, 7)], NOW + 2 * hour)
    assert wal_runs.last_archived("main") == LastArchived(Segment(1, 7).name(MB), NOW + 2 * hour)


def test_of_two_timelines_that_grew_at_once_the_later_is_told(catalog: Catalog) -> None:
    extend(catalog.wal_runs, "main", [Segment(1, 50), Segment(2, 7)])
    last = catalog.wal_runs.last_archived("main")
    assert last == LastArchived(Segment(2, 7).name(MB), NOW)


def test_the_segment_size_is_the_one_last_archived(catalog: Catalog) -> None:
    wal_runs = catalog.wal_runs
    assert wal_runs.segment_size("main") is None
    extend(wal_runs, "main", [Segment(1, 5)])
    assert wal_runs.segment_size("main") == MB
    later = NOW + timedelta(hours=1)
    wal_runs.extend("main", [(Segment(2, 1), 9)], segment_size=64 * MB, now=later)
    assert wal_runs.segment_size("main") == 64 * MB


def test_runs_found_on_disk_are_taken_in_as_they_are(catalog: Catalog) -> None:
    found = [(Run(1, 3, 9), 700), (Run(2, 9, 9), 1)]
    catalog.wal_runs.adopt("main", found, segment_size=MB, now=NOW)
    assert catalog.wal_runs.of_server("main") == [Run(1, 3, 9), Run(2, 9, 9)]
    assert catalog.wal_runs.count("main") == 8
    assert total_bytes(catalog) == 701


def test_runs_are_adopted_whole_or_not_at_all(catalog: Catalog) -> None:
    twice = [(Run(1, 3, 9), 1), (Run(2, 1, 1), 1), (Run(1, 3, 4), 1)]
    with pytest.raises(exc.IntegrityError):
        catalog.wal_runs.adopt("main", twice, segment_size=MB, now=NOW)
    assert catalog.wal_runs.of_server("main") == []


def test_what_is_asked_of_an_unknown_server_is_nothing(catalog: Catalog) -> None:
    assert catalog.wal_runs.of_server("nobody") == []
    assert catalog.wal_runs.count("nobody") == 0


def test_the_sizes_of_all_segments_that_we_hold_are_told(catalog: Catalog) -> None:
    wal_runs = catalog.wal_runs
    assert wal_runs.segment_sizes("main") == set()
    wal_runs.adopt("main", [(Run(1, 1, 5), 5)], segment_size=MB, now=NOW)
    wal_runs.adopt("main", [(Run(2, 1, 5), 5)], segment_size=16 * MB, now=NOW)
    assert wal_runs.segment_sizes("main") == {MB, 16 * MB}
