"""Which server may be asked for what."""

from pathlib import Path
from typing import Any

import pytest

from barmand.model.errors import ConfigInvalid, NotFound, Refused
from barmand.service.house import House


def house_that_left(name: str, **more: Any) -> House:
    kit: Any = object()  # it is handed through, and never looked at
    facts: dict[str, Any] = {"kits": {}, "broken": {}, "problems": (), "warnings": (), **more}
    return House(config_file=Path("/etc/barmand.conf"), leaving={name: kit}, **facts)


def test_nothing_new_begins_for_a_server_that_is_leaving() -> None:
    house = house_that_left("s107")
    with pytest.raises(Refused, match="s107 is leaving"):
        house.working_kit("s107")
    assert house.wal_kit("s107") is house.known_kit("s107")
    with pytest.raises(NotFound):
        house.working_kit("s108")


def test_one_that_is_put_aside_says_so_though_it_is_leaving() -> None:
    with pytest.raises(ConfigInvalid, match="put aside"):
        house_that_left("s107", broken={"s107": ["no conninfo"]}).working_kit("s107")
