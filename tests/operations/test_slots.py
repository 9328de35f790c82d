"""The slot of a stream: made where it is missing, made anew where PostgreSQL gave it up."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from barmand.model.errors import PostgresFailed
from barmand.operations.slots import SlotKeeper
from barmand.outside.postgres import Slot
from fakes import Bench

NAME = "barman"
LOST = Slot(is_active=False, has_reserved_wal=False, wal_status="lost")


@pytest.fixture
def keeper(bench: Bench) -> SlotKeeper:
    return SlotKeeper(
        server="main",
        source=bench.postgres,
        name=NAME,
        makes=True,
        events=bench.catalog.events,
        now=bench.clock,
    )


def kinds(bench: Bench) -> list[str]:
    return [event.kind for event in bench.catalog.events.of_server("main")]


def test_a_missing_slot_is_made_once(bench: Bench, keeper: SlotKeeper) -> None:
    keeper.demand()
    keeper.demand()
    assert list(bench.postgres.slots) == [NAME]
    assert kinds(bench) == ["replication slot made"]


@pytest.mark.parametrize("change", [{"makes": False}, {"name": None}])
def test_none_is_made_that_is_not_ours_to_make(
    bench: Bench, keeper: SlotKeeper, change: dict[str, object]
) -> None:
    replace(keeper, **change).demand()  # type: ignore[arg-type]
    assert bench.postgres.slots == {}


def test_one_that_another_makes_at_the_same_time_is_fine(bench: Bench, keeper: SlotKeeper) -> None:
    race = replace(keeper, source=_Racing(bench))
    assert race.create(is_fine_if_there=True) is False
    assert kinds(bench) == []


def test_one_that_is_there_is_told_to_who_asked_for_a_new_one(keeper: SlotKeeper) -> None:
    assert keeper.create(is_fine_if_there=False)
    with pytest.raises(PostgresFailed, match="already exists"):
        keeper.create(is_fine_if_there=False)
    assert keeper.create(is_fine_if_there=True) is False


def test_a_lost_slot_is_told_and_made_anew(bench: Bench, keeper: SlotKeeper) -> None:
    bench.postgres.slots[NAME] = LOST
    keeper.demand()
    assert bench.postgres.slots[NAME].has_reserved_wal
    assert kinds(bench) == [
        "replication slot lost",
        "replication slot dropped",
        "replication slot made",
    ]


def test_a_lost_slot_that_is_not_ours_to_make_is_a_failure_with_the_way_out(
    bench: Bench, keeper: SlotKeeper
) -> None:
    bench.postgres.slots[NAME] = LOST
    with pytest.raises(PostgresFailed, match="is lost") as failure:
        replace(keeper, makes=False).demand()
    assert "receive-wal main --create-slot" in (failure.value.hint or "")
    assert bench.postgres.slots[NAME] is LOST


def test_one_that_keeps_too_much_is_told_once(bench: Bench, keeper: SlotKeeper) -> None:
    bench.postgres.slots[NAME] = Slot(
        is_active=False, has_reserved_wal=True, wal_status="extended", held_bytes=1 << 30
    )
    keeper.demand()
    keeper.demand()
    assert kinds(bench) == ["replication slot in danger"]


@pytest.mark.parametrize(
    "act", [SlotKeeper.drop, lambda keeper: keeper.create(is_fine_if_there=True)]
)
def test_without_a_name_there_is_nothing_to_make_or_drop(
    keeper: SlotKeeper, act: Callable[[SlotKeeper], object]
) -> None:
    with pytest.raises(PostgresFailed, match="without a slot"):
        act(replace(keeper, name=None))


class _Racing:
    """Somebody makes the slot between our look and our making."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.looks = 0

    def slot(self, name: str) -> Slot | None:
        self.looks += 1
        return None if self.looks == 1 else self.bench.postgres.slot(name)

    def create_slot(self, name: str) -> None:
        self.bench.postgres.create_slot(name)
        self.bench.postgres.create_slot(name)

    def drop_slot(self, name: str) -> None:
        raise AssertionError(f"nobody asked to drop {name}")
