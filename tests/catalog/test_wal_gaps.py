"""A gap is found at once, shrinks as WAL arrives, and says what has become of it."""

from datetime import UTC, datetime, timedelta

import pytest

from barmand.catalog.memory import Catalog
from barmand.catalog.wal_gaps import Found
from barmand.model.errors import NotFound, Refused
from barmand.model.gap import Branch, Gap, GapState
from barmand.model.wal import Run, Segment

SIZE = 16 * 1024 * 1024
NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


def arrive(catalog: Catalog, *numbers: int, timeline: int = 1) -> None:
    held = [(Segment(timeline, number), SIZE) for number in numbers]
    catalog.wal_runs.extend("main", held, segment_size=SIZE, now=NOW)


def missing(catalog: Catalog) -> list[Run]:
    return [gap.run for gap in catalog.wal_gaps.of_server("main")]


def of_state(catalog: Catalog, state: GapState) -> list[Gap]:
    return catalog.wal_gaps.of_server("main", (state,))


def test_what_is_jumped_over_is_missing_at_once(catalog: Catalog) -> None:
    arrive(catalog, 5, 6)
    assert missing(catalog) == []
    arrive(catalog, 9)
    (gap,) = catalog.wal_gaps.of_server("main")
    assert (gap.run, gap.count, gap.state, gap.found_at) == (Run(1, 7, 8), 2, GapState.OPEN, NOW)
    (event,) = [each for each in catalog.events.of_server("main") if each.kind == "WAL gap found"]
    assert event.facts["first"] == "000000010000000000000007"
    assert event.facts["segments"] == 2


def test_the_first_segment_of_a_server_leaves_nothing_missing(catalog: Catalog) -> None:
    arrive(catalog, 100)
    assert missing(catalog) == []


def test_a_late_arrival_makes_a_gap_smaller_or_two_and_at_last_heals_it(catalog: Catalog) -> None:
    arrive(catalog, 1, 7)
    arrive(catalog, 4)
    assert missing(catalog) == [Run(1, 2, 3), Run(1, 5, 6)]
    arrive(catalog, 2, 3, 6)
    assert missing(catalog) == [Run(1, 5, 5)]
    arrive(catalog, 5)
    assert missing(catalog) == []
    assert len(of_state(catalog, GapState.HEALED)) == 2
    kinds = [event.kind for event in catalog.events.of_server("main")]
    assert kinds.count("WAL gap healed") == 2


def test_segments_that_come_in_any_order_at_once_leave_no_gap(catalog: Catalog) -> None:
    arrive(catalog, 1, 4, 3, 2)
    assert missing(catalog) == []


def test_a_segment_that_comes_again_after_its_neighbours_went_is_no_gap(catalog: Catalog) -> None:
    arrive(catalog, *range(20))
    catalog.wal_runs.cut("main", [Run(1, 0, 14)], NOW)
    arrive(catalog, 5)
    assert missing(catalog) == []


def test_a_timeline_begins_where_it_left_its_parent(catalog: Catalog) -> None:
    arrive(catalog, 1, 2, 3)
    catalog.wal_gaps.branch("main", Branch(timeline=2, parent=1, first=3))
    arrive(catalog, 5, timeline=2)
    assert missing(catalog) == [Run(2, 3, 4)]


def test_a_timeline_of_unknown_origin_begins_where_it_begins(catalog: Catalog) -> None:
    arrive(catalog, 1, 2, 3)
    arrive(catalog, 9, timeline=2)
    catalog.wal_gaps.branch("main", Branch(timeline=4, parent=3, first=3))
    arrive(catalog, 9, timeline=4)
    assert missing(catalog) == [], "nothing is held of the parent: nobody comes from there"


def test_archived_wal_that_is_lost_is_a_gap(catalog: Catalog) -> None:
    arrive(catalog, 1, 2, 3, 4)
    catalog.wal_runs.lose("main", [Run(1, 2, 3)], segment_size=SIZE, why="gone", now=NOW)
    assert missing(catalog) == [Run(1, 2, 3)]
    assert catalog.wal_runs.of_server("main") == [Run(1, 1, 1), Run(1, 4, 4)]


def test_what_is_known_to_be_missing_is_not_found_twice(catalog: Catalog) -> None:
    arrive(catalog, 1)
    found = Found("main", SIZE, NOW, "the slot was dropped")
    catalog.wal_gaps.tell_missing(found, Run(1, 3, 4))
    arrive(catalog, 6)
    assert missing(catalog) == [Run(1, 2, 2), Run(1, 3, 4), Run(1, 5, 5)]


def test_a_gap_with_nothing_older_before_it_is_obsolete(catalog: Catalog) -> None:
    arrive(catalog, 1, 2, 5, 6, 9)
    catalog.wal_runs.cut("main", [Run(1, 1, 2)], NOW)
    assert missing(catalog) == [Run(1, 7, 8)]
    assert [gap.run for gap in of_state(catalog, GapState.OBSOLETE)] == [Run(1, 3, 4)]


def test_an_acknowledged_gap_tells_by_whom_and_why(catalog: Catalog) -> None:
    arrive(catalog, 1, 3)
    (gap,) = catalog.wal_gaps.of_server("main")
    later = NOW + timedelta(hours=1)
    told = catalog.wal_gaps.acknowledge("main", gap.id, reason="disk died", actor="anna", now=later)
    assert (told.state, told.actor, told.reason) == (GapState.ACKNOWLEDGED, "anna", "disk died")
    assert told.changed_at == later
    assert missing(catalog) == [Run(1, 2, 2)], "it is missing all the same"
    assert catalog.wal_gaps.count("main", GapState.OPEN) == 0
    arrive(catalog, 2)
    with pytest.raises(Refused, match="healed already"):
        catalog.wal_gaps.acknowledge("main", gap.id, reason="x", actor="anna", now=later)


def test_only_a_gap_of_that_server_can_be_acknowledged(catalog: Catalog) -> None:
    arrive(catalog, 1, 3)
    (gap,) = catalog.wal_gaps.of_server("main")
    for server, number in (("other", gap.id), ("main", gap.id + 1)):
        with pytest.raises(NotFound, match="no WAL gap"):
            catalog.wal_gaps.acknowledge(server, number, reason="x", actor="anna", now=NOW)


def test_arrivals_are_counted_by_the_hour(catalog: Catalog) -> None:
    arrive(catalog, 1, 2)
    arrive(catalog, 2, 3)
    catalog.wal_runs.extend(
        "main", [(Segment(1, 4), 1000)], segment_size=SIZE, now=NOW + timedelta(hours=2)
    )
    whole = catalog.wal_hours.since("main", NOW - timedelta(hours=3))
    assert (whole.segments, whole.bytes) == (4, 3 * SIZE + 1000)
    late = catalog.wal_hours.since("main", NOW + timedelta(hours=1))
    assert (late.segments, late.bytes) == (1, 1000)
    assert catalog.wal_hours.since("other", NOW).segments == 0


def test_hours_are_forgotten_after_a_week(catalog: Catalog) -> None:
    arrive(catalog, 1)
    catalog.wal_runs.extend(
        "main", [(Segment(1, 2), 1000)], segment_size=SIZE, now=NOW + timedelta(days=9)
    )
    assert catalog.wal_hours.since("main", NOW).segments == 1
