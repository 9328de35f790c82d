"""A timeline's history, as PostgreSQL writes and reads it."""

import pytest

from barmand.model.history import Ancestor, parse_history

PROMOTED_TWICE = (
    "1\t0/3000000\tno recovery target specified\n\n2\t1/A0000D8\tbefore 2025-06-01 12:00:00+00\n"
)


def test_the_ancestors_are_told_oldest_first() -> None:
    assert parse_history(3, PROMOTED_TWICE) == (
        Ancestor(1, 0x300_0000),
        Ancestor(2, 0x1_0A00_00D8),
    )


def test_comments_and_empty_lines_say_nothing() -> None:
    text = "# made by hand\n\n1\t0/3000000\n"
    assert parse_history(2, text) == (Ancestor(1, 0x300_0000),)


@pytest.mark.parametrize(
    ("timeline", "text", "why"),
    [
        (3, "", "no timeline"),
        (3, "# nothing\n", "no timeline"),
        (3, "notes\n", "not a line"),
        (3, "1 3000000 reason\n", "not a line"),
        (3, "2\t0/1\tx\n1\t0/2\tx\n", "after a later"),
        (3, "1\t0/1\tx\n1\t0/2\tx\n", "after a later"),
        (3, "3\t0/1\tx\n", "cannot be before"),
        (3, "4\t0/1\tx\n", "cannot be before"),
    ],
)
def test_what_postgresql_would_not_read_is_refused(timeline: int, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_history(timeline, text)
