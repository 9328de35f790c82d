"""What is told of a receiver: whether WAL flows, since when it tries, and who must do something."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from barmand.operations.flow import Pulse
from barmand.outside.clock import monotonic
from barmand.service.receivers import Receiving, State
from barmand.service.views import flow_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
YOUNG = Receiving(since=NOON)


@pytest.mark.parametrize(
    ("receiving", "seconds", "pulse"),
    [
        (YOUNG, 0, Pulse.BEGINNING),
        (YOUNG, 119, Pulse.BEGINNING),
        (YOUNG, 121, Pulse.TRYING),
        (replace(YOUNG, restarts=1, last_error="it was cut"), 0, Pulse.TRYING),
        (replace(YOUNG, state=State.PAUSING), 0, Pulse.TRYING),
        (replace(YOUNG, state=State.STREAMING), 999, Pulse.FLOWING),
        (replace(YOUNG, state=State.STOPPED), 0, Pulse.STOPPED),
        (None, 0, Pulse.STOPPED),
    ],
)
def test_only_a_young_receiver_that_never_failed_is_beginning(
    receiving: Receiving | None, seconds: int, pulse: Pulse
) -> None:
    assert flow_of("main", receiving, NOON + timedelta(seconds=seconds)).pulse is pulse


def test_a_pause_tells_when_it_ends_and_why_it_is_one() -> None:
    pausing = replace(
        YOUNG, state=State.PAUSING, attempt_at=monotonic() + 3600, last_error="it was cut"
    )
    words = flow_of("main", pausing, NOON).words
    assert words.startswith("pausing, next attempt in 3")
    assert words.endswith(" s: it was cut")


def test_one_that_is_stopped_names_the_command_of_its_server() -> None:
    words = flow_of("k1", None, NOON).words
    assert words == "stopped; `barmanctl receive-wal k1 --start` starts it"
