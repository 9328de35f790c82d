"""A stop says why, and the first reason counts."""

import select
from concurrent.futures import ThreadPoolExecutor

from barmand.service.stopping import StopFlag


def test_a_stop_tells_its_reason() -> None:
    flag = StopFlag()
    assert not flag.is_set()
    flag.stop("cancelled by alice")
    assert flag.is_set()
    assert flag.reason == "cancelled by alice"


def test_the_first_reason_counts() -> None:
    flag = StopFlag()
    flag.stop("cancelled by alice")
    flag.stop("barmand was shut down")
    assert flag.reason == "cancelled by alice"


def test_a_flag_that_was_merely_set_has_a_reason_too() -> None:
    flag = StopFlag()
    flag.set()
    flag.stop("too late")
    assert flag.reason == "stopped"


def test_who_is_woken_knows_why() -> None:
    flag = StopFlag()

    def wait() -> str:
        flag.wait(10)
        return flag.reason

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(wait) for _ in range(4)]
        flag.stop("enough")
        assert [each.result(10) for each in waiting] == ["enough"] * 4


def test_a_stop_rings_every_bell_also_one_that_came_late() -> None:
    flag = StopFlag()
    with flag.bell() as early:
        assert select.select([early], [], [], 0)[0] == []
        flag.stop("cancelled by alice")
        with flag.bell() as late:
            assert select.select([early, late], [], [], 5)[0] == [early, late]
    flag.set()  # nobody listens any more, and nothing is open
