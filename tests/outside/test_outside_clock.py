"""Now."""

from datetime import UTC, datetime

from barmand.outside.clock import WallClock, local_now, monotonic


def test_the_moment_knows_its_zone() -> None:
    before = datetime.now(UTC)
    assert before <= local_now() <= datetime.now(UTC)
    assert local_now().utcoffset() == datetime.now().astimezone().utcoffset()


def test_durations_never_go_back() -> None:
    assert monotonic() <= monotonic()


def test_a_clock_that_is_set_is_noticed_once_and_one_that_is_slewed_is_not() -> None:
    wall, steady = [1000.0], [50.0]
    clock = WallClock(lambda: wall[0], lambda: steady[0])
    assert clock.jump() == 0
    wall[0] += 5.01
    steady[0] += 5
    assert clock.jump() == 0
    wall[0] -= 3600
    assert clock.jump() == -3600
    assert clock.jump() == 0
    wall[0] += 86_400
    assert clock.jump() == 86_400
