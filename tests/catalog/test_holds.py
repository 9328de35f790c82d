"""Who reads a backup keeps it from deletion, and only meanwhile."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from barmand.catalog import rows
from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Reason
from barmand.model.errors import Refused

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


@pytest.fixture
def failed(catalog: Catalog) -> Backup:
    queued = catalog.backups.queue("main", method="postgres", name=None, requester="me", now=NOW)
    return catalog.backups.move(queued, queued.failed(NOW, Reason("Bug", "x")), now=NOW)


def holders(catalog: Catalog) -> list[str]:
    with catalog.database.reading() as connection:
        return list(connection.scalars(select(rows.holds.c.holder).order_by(rows.holds.c.id)))


def read_and_fail(catalog: Catalog, backup: Backup) -> None:
    with catalog.holds.held(backup, holder="a restore", now=NOW):
        assert holders(catalog) == ["a restore"]
        raise ZeroDivisionError


def test_a_hold_ends_with_the_reading_however_it_ends(catalog: Catalog, failed: Backup) -> None:
    with pytest.raises(ZeroDivisionError):
        read_and_fail(catalog, failed)
    assert holders(catalog) == []


def test_who_is_held_is_told_by_server(catalog: Catalog, failed: Backup) -> None:
    with catalog.holds.held(failed, holder="a restore", now=NOW):
        assert catalog.holds.of_server(failed.server) == {failed.id}
        assert catalog.holds.of_server("another") == set()
    assert catalog.holds.of_server(failed.server) == set()


def test_two_readers_hold_it_until_the_last_has_gone(catalog: Catalog, failed: Backup) -> None:
    with catalog.holds.held(failed, holder="one", now=NOW):
        with catalog.holds.held(failed, holder="two", now=NOW):
            assert holders(catalog) == ["one", "two"]
        with pytest.raises(Refused, match="in use: one"):
            catalog.backups.move(failed, failed.deleting(), now=NOW)
    catalog.backups.move(failed, failed.deleting(), now=NOW)


def test_a_backup_that_is_being_deleted_cannot_be_held(catalog: Catalog, failed: Backup) -> None:
    deleting = catalog.backups.move(failed, failed.deleting(), now=NOW)
    with pytest.raises(Refused, match="is being deleted"):  # noqa: SIM117 - what raises is the inner one
        with catalog.holds.held(deleting, holder="late", now=NOW):
            pytest.fail("it was held")


def test_a_backup_that_is_gone_cannot_be_held(catalog: Catalog, failed: Backup) -> None:
    deleting = catalog.backups.move(failed, failed.deleting(), now=NOW)
    catalog.backups.remove(deleting, now=NOW, facts={})
    with pytest.raises(Refused, match="is being deleted"):  # noqa: SIM117 - what raises is the inner one
        with catalog.holds.held(failed, holder="late", now=NOW):
            pytest.fail("it was held")


def test_holds_of_an_earlier_life_are_released_at_start(catalog: Catalog, failed: Backup) -> None:
    with catalog.holds.held(failed, holder="a restore", now=NOW):
        catalog.holds.release_all()
        assert holders(catalog) == []
        catalog.backups.move(failed, failed.deleting(), now=NOW)
