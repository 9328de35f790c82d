"""Hands are few, and what hangs holds none."""

import threading
from concurrent.futures import ThreadPoolExecutor

from barmand.operations.hands import Hands

PATIENCE = 20


def test_no_more_are_at_work_than_there_are_hands() -> None:
    hands, lock = Hands(2), threading.Lock()
    at_once: list[int] = []
    now = 0

    def work() -> None:
        nonlocal now
        with hands.one():
            with lock:
                now += 1
                at_once.append(now)
            sum(number * number for number in range(200_000))
            with lock:
                now -= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work) for _ in range(16)]:
            done.result(PATIENCE)
    assert len(at_once) == 16
    assert max(at_once) <= 2


def test_who_hangs_holds_no_hand() -> None:
    hands, let_go = Hands(2), threading.Event()
    held = threading.Barrier(3)

    def hang() -> None:
        with hands.one():
            held.wait(PATIENCE)
            assert let_go.wait(PATIENCE)

    def work() -> None:
        with hands.one():
            pass

    with ThreadPoolExecutor(4) as pool:
        hung = [pool.submit(hang) for _ in range(2)]
        held.wait(PATIENCE)
        for _ in range(3):
            pool.submit(work).result(PATIENCE)
        let_go.set()
        for each in hung:
            each.result(PATIENCE)
