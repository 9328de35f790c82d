"""A stop says why, and the first reason counts."""

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
