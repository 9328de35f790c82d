"""What was read lately, for as long as nothing is written: most questions are asked again."""

from collections.abc import Callable
from typing import Generic, TypeVar

from barmand.catalog.database import Doorbell

T = TypeVar("T")


class Lately(Generic[T]):
    def __init__(self) -> None:
        self._known: dict[str, tuple[int, T]] = {}

    def get(self, bell: Doorbell, key: str, read: Callable[[], T]) -> T:
        """As `read` told it, asked again once the bell has rung since.

        The rings are counted before it is read, so it may be newer than they say, never older.
        """
        rung = bell.count
        known = self._known.get(key)
        if known is None or known[0] != rung:
            known = self._known[key] = (rung, read())
        return known[1]
