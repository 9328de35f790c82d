"""One limit for all workers, and a wait that ends when the work does."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from barmand.storage.pace import EitherStop, Pace, Paces, Starts

KIB = 1024


class Flag(threading.Event):
    reason = "the test stopped it"


def test_three_workers_share_one_limit() -> None:
    limit, begun = 4000 * KIB, time.monotonic()
    pace, stop = Pace(limit), Flag()

    def work(size: int) -> int:
        total = 0
        while time.monotonic() - begun < 4:
            pace.take(size, stop)
            total += size
        return total

    with ThreadPoolExecutor(3) as pool:
        total = sum(pool.map(work, (8 * KIB, 64 * KIB, 300 * KIB)))
    rate = total / (time.monotonic() - begun)
    assert abs(rate - limit) < 0.1 * limit


def test_without_a_limit_nobody_waits() -> None:
    begun = time.monotonic()
    for _ in range(1000):
        Pace(None).take(1 << 40, Flag())
    assert time.monotonic() - begun < 1


def test_a_step_is_a_burst_of_whole_pages_at_most() -> None:
    most = 8192 * KIB
    assert Pace(None).piece(most) == most
    assert Pace(1 << 40).piece(most) == most
    assert Pace(1000 * KIB).piece(most) == 248 * KIB
    assert Pace(1).piece(most) == 8 * KIB
    paces = Paces(Pace(4000 * KIB), {"pg_tblspc/1/": Pace(100 * KIB)})
    assert paces.piece("pg_tblspc/1/", most) == 24 * KIB
    assert paces.piece("", most) == 1000 * KIB


def test_a_pause_is_not_made_up_for_by_a_rush() -> None:
    pace, stop = Pace(100 * KIB), Flag()
    pace.take(KIB, stop)
    stop.wait(1.5)
    begun = time.monotonic()
    for _ in range(100):
        pace.take(KIB, stop)
    assert time.monotonic() - begun > 0.7


def test_whoever_waits_hears_of_a_stop_and_of_another_end() -> None:
    for which in ("stop", "other"):
        stop, other = Flag(), threading.Event()
        timer = threading.Timer(0.1, stop.set if which == "stop" else other.set)
        timer.start()
        begun = time.monotonic()
        Pace(1).take(1000, EitherStop(stop, other))
        assert time.monotonic() - begun < 2
        timer.join()


def test_either_stop_tells_the_reason_and_waits_no_longer_than_asked() -> None:
    either = EitherStop(Flag(), threading.Event())
    assert (either.is_set(), either.wait(0.01), either.reason) == (
        False,
        False,
        "the test stopped it",
    )
    either.other.set()
    assert (either.is_set(), either.wait()) == (True, True)


def test_a_tablespace_has_a_limit_of_its_own_within_that_of_the_backup() -> None:
    paces, stop = Paces(Pace(400 * KIB), {"pg_tblspc/7/": Pace(100 * KIB)}), Flag()
    begun, totals = time.monotonic(), {"pg_tblspc/7/": 0, "": 0}

    def work(prefix: str) -> None:
        while time.monotonic() - begun < 3:
            paces.take(prefix, 8 * KIB, stop)
            totals[prefix] += 8 * KIB

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, totals))
    took = time.monotonic() - begun
    assert abs(totals["pg_tblspc/7/"] / took - 100 * KIB) < 15 * KIB
    assert abs(sum(totals.values()) / took - 400 * KIB) < 60 * KIB


def test_starts_are_limited_in_their_period() -> None:
    starts, begun = Starts(2, 0.4, Flag()), time.monotonic()
    moments = []
    for _ in range(5):
        starts.wait()
        moments.append(round(time.monotonic() - begun, 1))
    assert moments == [0.0, 0.0, 0.4, 0.4, 0.8]
