"""Now."""

from datetime import UTC, datetime

from barmand.outside.clock import local_now, monotonic


def test_the_moment_knows_its_zone() -> None:
    before = datetime.now(UTC)
    assert before <= local_now() <= datetime.now(UTC)
    assert local_now().utcoffset() == datetime.now().astimezone().utcoffset()


def test_durations_never_go_back() -> None:
    assert monotonic() <= monotonic()
