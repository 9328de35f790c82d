"""What happened is told in order, word by word, and a repeated finding once."""

from datetime import UTC, datetime, timedelta, timezone

from barmand.catalog.memory import Catalog
from barmand.model.event import Event

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


def happened(kind: str = "segment missing", **facts: object) -> Event:
    return Event(at=NOW, kind=kind, server="main", backup_id="20240501T023000", facts=facts)


def test_an_event_comes_back_as_it_was(catalog: Catalog) -> None:
    event = Event(
        at=NOW,
        kind="backup FAILED",
        server="main",
        backup_id="20240501T023000",
        actor="alice (uid 1000)",
        facts={"words": "naïve\n'\"\0", "many": [1, 2.5, None, {"deep": True}]},
    )
    catalog.events.add(event)
    assert catalog.events.of_server("main") == [event]


def test_events_are_told_in_the_order_in_which_they_happened_to_us(catalog: Catalog) -> None:
    for hours in (3, 1, 2):  # a clock that was set back does not change the order
        catalog.events.add(Event(at=NOW + timedelta(hours=hours), kind=str(hours), server="main"))
    catalog.events.add(Event(at=NOW, kind="elsewhere", server="other"))
    catalog.events.add(Event(at=NOW, kind="of no server"))
    assert [event.kind for event in catalog.events.of_server("main")] == ["3", "1", "2"]
    assert [event.kind for event in catalog.events.of_server("other")] == ["elsewhere"]


def test_a_moment_is_kept_whatever_zone_it_is_told_in(catalog: Catalog) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    catalog.events.add(Event(at=local, kind="x", server="main"))
    with catalog.database.reading() as connection:
        stored = connection.exec_driver_sql("SELECT at FROM events").scalar_one()
    assert stored == "2024-05-01T02:30:00.000000+00:00"
    assert catalog.events.of_server("main")[0].at == local


def test_a_finding_that_did_not_change_is_told_once(catalog: Catalog) -> None:
    assert catalog.events.add_once(happened(missing=["A", "B"]))
    assert not catalog.events.add_once(happened(missing=["A", "B"]))
    assert len(catalog.events.of_server("main")) == 1


def test_a_finding_that_changed_is_told_again(catalog: Catalog) -> None:
    findings = (["A", "B"], ["B"], ["A", "B"])
    assert all(catalog.events.add_once(happened(missing=missing)) for missing in findings)
    assert [event.facts["missing"] for event in catalog.events.of_server("main")] == [*findings]


def test_another_kind_of_event_in_between_does_not_count(catalog: Catalog) -> None:
    catalog.events.add_once(happened(missing=["A"]))
    catalog.events.add(happened("backup DONE"))
    assert not catalog.events.add_once(happened(missing=["A"]))


def test_the_last_event_of_a_kind_about_a_backup_is_found(catalog: Catalog) -> None:
    told = happened(missing=["A"])
    assert catalog.events.find_last(told.kind, "main", str(told.backup_id)) is None
    for event in (told, happened(missing=["B"]), happened("backup DONE")):
        catalog.events.add(event)
    assert catalog.events.find_last(told.kind, "main", str(told.backup_id)) == {"missing": ["B"]}
    assert catalog.events.find_last(told.kind, "main", "20240502T000000") is None


def test_another_backup_is_another_story(catalog: Catalog) -> None:
    catalog.events.add_once(happened(missing=["A"]))
    other = Event(
        at=NOW,
        kind="segment missing",
        server="main",
        backup_id="20240502T000000",
        facts={"missing": ["A"]},
    )
    assert catalog.events.add_once(other)


def test_a_finding_about_a_whole_server_is_told_once_too(catalog: Catalog) -> None:
    about_all = Event(at=NOW, kind="another cluster", server="main", facts={"system_id": "7"})
    assert catalog.events.add_once(about_all)
    assert not catalog.events.add_once(about_all)
