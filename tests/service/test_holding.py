"""What an operator stopped stays so, also in the daemon's next life."""

from pathlib import Path

from barmand.catalog.memory import open_catalog
from barmand.service.holding import Holding
from fakes import FakeClock


def test_the_last_word_counts_for_each_server_also_in_the_next_life(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "barmand.db")
    holding = Holding(catalog.events, FakeClock())
    assert not holding.is_held("main")
    holding.hold("main", "tester")
    holding.hold("other", "tester")
    holding.let_go("other", "tester")
    catalog.close()
    again = open_catalog(tmp_path / "barmand.db")
    try:
        found = Holding(again.events, FakeClock())
        assert [found.is_held(server) for server in ("main", "other", "new")] == [
            True,
            False,
            False,
        ]
        assert {event.actor for event in again.events.of_server("main")} == {"tester"}
    finally:
        again.close()
