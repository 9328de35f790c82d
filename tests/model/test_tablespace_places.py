"""Each tablespace of a restore goes where an operator says, and the hint can be copied."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barmand.ctl import values
from barmand.model.backup import Tablespace
from barmand.model.errors import NotFound, Refused, UsageError
from barmand.model.tablespace_places import places_of

ODD = Tablespace("Odd Näme; 'x' = y:z, w", 16385, "/srv/old")
FAST = Tablespace("fast", 16386, "/srv/fast")

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
PIECES = st.text(st.sampled_from("a:/'\"\\ $`;=\n€"), min_size=1, max_size=8)


def hint_of(*spaces: Tablespace) -> str:
    with pytest.raises(Refused) as refused:
        places_of(spaces, {})
    assert refused.value.hint is not None
    return refused.value.hint.partition("place: ")[2]


def typed(hint: str) -> dict[str, str]:
    """What the client makes of the options when a shell has read them."""
    words = shlex.split(hint)
    assert set(words[::2]) == {"--tablespace"}
    return dict(values.tablespace(word) for word in words[1::2])


@given(names=st.lists(NAMES | PIECES, min_size=1, max_size=4, unique=True), place=PIECES)
def test_what_the_hint_prints_puts_each_tablespace_back(names: list[str], place: str) -> None:
    spaces = [Tablespace(name, 16385 + n, f"/{n}{place}") for n, name in enumerate(names)]
    assert places_of(spaces, typed(hint_of(*spaces))) == {each: each.location for each in spaces}


def test_the_hint_is_as_plain_as_it_can_be() -> None:
    assert hint_of(FAST) == "--tablespace fast:/srv/fast"
    assert hint_of(Tablespace(r"back\slash", 1, "/x")) == r"--tablespace 'back\slash:/x'"


@pytest.mark.parametrize("name", ["a:/b", "two\nlines", "secret", "my password"])
def test_a_name_that_would_not_come_through_is_told_by_its_oid(name: str) -> None:
    assert hint_of(Tablespace(name, 16385, "/srv/x y")) == "--tablespace '16385:/srv/x y'"


@pytest.mark.parametrize("word", [ODD.name, "16385"])
def test_a_tablespace_is_meant_by_its_name_and_by_its_oid(word: str) -> None:
    assert places_of([ODD, FAST], {word: "/new", "fast": "/f"}) == {ODD: "/new", FAST: "/f"}


def test_a_name_goes_before_an_oid() -> None:
    one, two = Tablespace("2", 1, "/one"), Tablespace("1", 2, "/two")
    assert places_of([one, two], {"2": "/a", "1": "/b"}) == {one: "/a", two: "/b"}


def test_a_tablespace_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="tablespace 'fast' has two locations: /a, /b"):
        places_of([FAST], {"fast": "/a", "16386": "/b"})


def test_the_one_without_a_place_is_named_as_it_is() -> None:
    with pytest.raises(Refused, match=r"^tablespace 'b\\s' needs a place") as refused:
        places_of([FAST, Tablespace(r"b\s", 1, "/x")], {"fast": "/f"})
    assert "fast" not in (refused.value.hint or "")


def test_a_word_that_is_none_is_told_which_there_are() -> None:
    with pytest.raises(NotFound, match="the backup has no tablespace 'a'") as unknown:
        places_of([Tablespace("a:/b", 16385, "/x")], {"a": "/b:/c"})
    assert unknown.value.hint == (
        "It has 'a:/b' (OID 16385). A name with :/ in it is given by its OID."
    )
    with pytest.raises(NotFound) as unknown:
        places_of([], {"a": "/b"})
    assert unknown.value.hint == "It has none: leave --tablespace out."
