"""A disk that does not answer costs who asks a moment, once, and one thread."""

import threading

import pytest

from barmand.model.errors import StorageFailed
from barmand.service.glances import Glances
from support.waiting import eventually

PATIENCE = 10


def test_what_is_seen_is_told() -> None:
    assert Glances().at("main", lambda: 3) == 3


def test_a_failure_is_the_lookers() -> None:
    def look() -> int:
        raise StorageFailed("no such directory")

    with pytest.raises(StorageFailed, match="no such directory"):
        Glances().at("main", look)


def test_one_that_hangs_is_left_behind_and_nobody_hangs_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("barmand.service.glances.GLANCE_SECONDS", 0.05)
    glances, may_end = Glances(), threading.Event()

    def hang() -> int:
        assert may_end.wait(PATIENCE)
        return 1

    assert glances.at("main", hang) is None
    assert glances.at("main", lambda: pytest.fail("one more would hang")) is None
    assert glances.at("other", lambda: 2) == 2
    may_end.set()
    eventually(lambda: glances.at("main", lambda: 3) == 3, PATIENCE)
