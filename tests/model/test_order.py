"""What a request changes of the server's order, and what it cannot ask for."""

import pytest

from barmand.model.errors import UsageError
from barmand.model.order import MAX_RATE, MIN_RATE, Order, Wish

ORDER = Order(immediate_checkpoint=True, retry_times=3, retry_sleep=5.0, bandwidth_limit=4000)


def test_a_wish_that_says_nothing_changes_nothing() -> None:
    assert Wish().onto(ORDER) == ORDER


def test_a_wish_overrides_even_with_what_counts_as_false() -> None:
    wish = Wish(immediate_checkpoint=False, retry_times=0, retry_sleep=0.0, bandwidth_limit=100)
    assert wish.onto(ORDER) == Order(
        immediate_checkpoint=False, retry_times=0, retry_sleep=0.0, bandwidth_limit=100
    )


def test_a_limit_of_zero_lifts_the_servers() -> None:
    assert Wish(bandwidth_limit=0).onto(ORDER).bandwidth_limit is None


@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(reuse_backup="off"),
        Wish(manifest=True),
        Wish(jobs=8),
        Wish(bandwidth_limit=0),
        Wish(bandwidth_limit=MIN_RATE),
        Wish(bandwidth_limit=MAX_RATE),
    ],
)
def test_what_pg_basebackup_can_do_is_accepted(wish: Wish) -> None:
    wish.refuse_what_postgres_cannot()


@pytest.mark.parametrize(
    ("wish", "option"),
    [
        (Wish(reuse_backup="link"), "--reuse-backup"),
        (Wish(reuse_backup="copy"), "--reuse-backup"),
        (Wish(manifest=False), "--no-manifest"),
        (Wish(bandwidth_limit=MIN_RATE - 1), "--bwlimit 31"),
        (Wish(bandwidth_limit=MAX_RATE + 1), "--bwlimit 1048577"),
        (Wish(incremental="last"), "--incremental"),
    ],
)
def test_what_pg_basebackup_cannot_do_is_refused_by_its_option(wish: Wish, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        wish.refuse_what_postgres_cannot()


def test_more_jobs_than_one_are_said_to_be_ignored() -> None:
    assert Wish(jobs=4).ignored_by_postgres() == (
        "--jobs is ignored: pg_basebackup copies in one stream",
    )
    assert Wish(jobs=1).ignored_by_postgres() == ()
    assert Wish().ignored_by_postgres() == ()
