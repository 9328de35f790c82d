"""Whose chore is next: nobody waits behind one that hangs, and one server does not take all."""

from hypothesis import given
from hypothesis import strategies as st

from barmand.model.turns import Chore, Places, due

KINDS = st.sampled_from(["archive", "prune", "check"])
CHORES = st.builds(Chore, KINDS, st.text("abcd", max_size=1))


def chores(*names: str) -> list[Chore]:
    return [Chore.named(name) for name in names]


def test_a_name_is_a_kind_and_a_server_and_comes_back() -> None:
    for name in ("archive main", "prune my server", "poll"):
        assert str(Chore.named(name)) == name
    assert Chore.named("poll").server == ""


def test_as_many_begin_as_there_are_places_in_the_order_asked_for() -> None:
    asked = chores("prune c", "prune a", "prune b")
    assert due(asked, {}, Places(2)) == asked[:2]


def test_the_archive_has_places_of_its_own() -> None:
    under_way = dict.fromkeys(chores("check a", "prune b"), 0.0)
    asked = chores("compare c", "archive d")
    assert due(asked, under_way, Places(2)) == chores("archive d")


def test_what_takes_long_gives_its_place_up() -> None:
    (hung,) = chores("archive dead")
    asked = chores("archive main")
    assert due(asked, {hung: 1.9}, Places(1, patience_seconds=2)) == []
    assert due(asked, {hung: 2.0}, Places(1, patience_seconds=2)) == asked


def test_a_server_that_is_busy_lets_the_others_pass() -> None:
    (hung,) = chores("prune dead")
    asked = chores("check dead", "compare dead", "check a")
    assert due(asked, {hung: 99}, Places(1)) == chores("check a")
    assert due(asked, {}, Places(2)) == chores("check dead", "check a")


@given(st.lists(CHORES, unique=True), st.lists(CHORES, unique=True), st.integers(1, 5))
def test_no_place_stays_empty_while_a_chore_waits(
    waiting: list[Chore], busy: list[Chore], count: int
) -> None:
    waiting = [chore for chore in waiting if chore not in busy]
    begun = due(waiting, dict.fromkeys(busy, 0.0), Places(count))
    assert len(set(begun)) == len(begun)
    assert set(begun) <= set(waiting)
    for sort in (True, False):
        held = [chore for chore in busy if chore.is_archive is sort]
        wanted = [chore for chore in waiting if chore.is_archive is sort]
        now = [chore for chore in begun if chore.is_archive is sort]
        assert len(now) == min(len(wanted), max(0, count - len(held)))
