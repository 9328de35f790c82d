"""What a request changes of the server's order, and what it cannot ask for."""

import pytest

from barmand.model.errors import UsageError
from barmand.model.order import MAX_RATE, MIN_RATE, Checksums, Order, Reuse, Wish

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


def test_who_says_how_a_manifest_is_summed_wants_one() -> None:
    order = Wish(manifest_checksums=Checksums.SHA256).onto(ORDER)
    assert (order.makes_manifest, order.manifest_checksums) == (True, Checksums.SHA256)
    assert not Wish(makes_manifest=False).onto(order).makes_manifest


@pytest.mark.parametrize("method", ["postgres", "local"])
def test_a_manifest_that_is_not_wanted_cannot_be_summed(method: str) -> None:
    with pytest.raises(UsageError, match="--manifest-checksums and --no-manifest"):
        Wish(makes_manifest=False, manifest_checksums=Checksums.CRC32C).refuse_for(method)


@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(manifest_checksums=Checksums.SHA256),
        Wish(reuse=Reuse.OFF),
        Wish(makes_manifest=True),
        Wish(jobs=8),
        Wish(bandwidth_limit=0),
        Wish(bandwidth_limit=MIN_RATE),
        Wish(bandwidth_limit=MAX_RATE),
    ],
)
def test_what_pg_basebackup_can_do_is_accepted(wish: Wish) -> None:
    wish.refuse_for("postgres")


@pytest.mark.parametrize(
    ("wish", "option"),
    [
        (Wish(reuse=Reuse.LINK), "--reuse-backup"),
        (Wish(reuse=Reuse.COPY), "--reuse-backup"),
        (Wish(makes_manifest=False), "--no-manifest"),
        (Wish(bandwidth_limit=MIN_RATE - 1), "--bwlimit 31"),
        (Wish(bandwidth_limit=MAX_RATE + 1), "--bwlimit 1048577"),
        (Wish(incremental="last"), "--incremental"),
    ],
)
def test_what_pg_basebackup_cannot_do_is_refused_by_its_option(wish: Wish, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        wish.refuse_for("postgres")


def test_more_jobs_than_one_are_said_to_be_ignored() -> None:
    assert Wish(jobs=4).ignored_by("postgres") == (
        "--jobs is ignored: pg_basebackup copies in one stream",
    )
    assert Wish(jobs=1).ignored_by("postgres") == ()
    assert Wish().ignored_by("postgres") == ()


@pytest.mark.parametrize("method", ["rsync", "local-rsync", "local"])
def test_the_file_methods_honour_all_but_block_increments(method: str) -> None:
    Wish(reuse=Reuse.LINK, makes_manifest=False, bandwidth_limit=1, jobs=9).refuse_for(method)
    with pytest.raises(UsageError, match="--incremental"):
        Wish(incremental="last").refuse_for(method)
    assert Wish(jobs=4).ignored_by(method) == ()


def test_a_local_copy_says_that_copying_from_the_last_backup_changes_nothing() -> None:
    (words,) = Wish(reuse=Reuse.COPY).ignored_by("local")
    assert "--reuse-backup copy" in words
