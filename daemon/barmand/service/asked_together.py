"""Several servers asked at the same time: one that hangs does not keep the others' answers back."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

TOGETHER = 8


def asked_together(
    servers: Iterable[str], ask: Callable[[str], T], *, seconds: float
) -> dict[str, T | None]:
    """What each answered; None where that took longer. `ask` does not raise."""
    pool = ThreadPoolExecutor(TOGETHER, thread_name_prefix="asking")
    try:
        asked: dict[str, Future[T]] = {name: pool.submit(ask, name) for name in servers}
        done, _ = wait(asked.values(), timeout=seconds)
        return {name: each.result() if each in done else None for name, each in asked.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
