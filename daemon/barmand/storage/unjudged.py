"""Pages of small files that wait to be judged together: a call for each file would cost more."""

from typing import Generic, TypeVar

from barmand.storage.pages import WrongPage, wrong_pages_each

ENOUGH_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


class Unjudged(Generic[T]):
    """One worker's. A `T` is what its owner needs to go on with a file whose pages are judged."""

    def __init__(self) -> None:
        self._owners: list[T] = []
        self._pages: list[tuple[bytes, int]] = []
        self._bytes = 0

    @property
    def is_enough(self) -> bool:
        return self._bytes >= ENOUGH_BYTES

    def add(self, owner: T, pages: bytes, first_block: int) -> None:
        self._owners.append(owner)
        self._pages.append((pages, first_block))
        self._bytes += len(pages)

    def judge(self) -> list[tuple[T, list[WrongPage]]]:
        """Each that waited, with its pages that are wrong; none waits any more."""
        judged = list(zip(self._owners, wrong_pages_each(self._pages), strict=True))
        self._owners, self._pages, self._bytes = [], [], 0
        return judged
