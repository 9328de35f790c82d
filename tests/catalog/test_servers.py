"""Which cluster a server is, once it was spoken to."""

from datetime import UTC, datetime

from barmand.catalog.memory import Catalog

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


def test_a_server_nobody_told_of_is_unknown(catalog: Catalog) -> None:
    assert not catalog.servers.is_known("main")
    assert catalog.servers.system_id("main") is None


def test_a_server_may_be_known_before_it_was_spoken_to(catalog: Catalog) -> None:
    catalog.servers.know("main", now=NOW)
    assert catalog.servers.is_known("main")
    assert catalog.servers.system_id("main") is None


def test_what_is_learned_stays_when_nothing_new_is_said(catalog: Catalog) -> None:
    catalog.servers.know("main", now=NOW, system_id="7", version=150018)
    catalog.servers.know("main", now=NOW)
    catalog.servers.know("main", now=NOW, version=160003)
    assert catalog.servers.system_id("main") == "7"
    with catalog.database.reading() as connection:
        row = connection.exec_driver_sql("SELECT version FROM servers").scalar_one()
    assert row == 160003


def test_another_cluster_may_take_a_servers_place(catalog: Catalog) -> None:
    catalog.servers.know("main", now=NOW, system_id="7")
    catalog.servers.know("main", now=NOW, system_id="8")
    assert catalog.servers.system_id("main") == "8"


def test_a_queued_backup_makes_its_server_known(catalog: Catalog) -> None:
    catalog.backups.queue("main", method="postgres", name=None, requester="me", now=NOW)
    assert catalog.servers.is_known("main")
