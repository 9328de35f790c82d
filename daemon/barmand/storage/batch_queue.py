"""Which worker copies what next: batches on one queue, tablespaces with a limit apart."""

import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator

from barmand.storage.survey import Batch


class BatchQueue:
    """Batches in their order, but one worker stays at each tablespace that has its own limit.

    More workers would make that no faster, and meanwhile nobody would copy the rest. When there is
    no rest any more, they help. And while some are at large files, one is at the many small ones:
    for two at those it is the interpreter that they wait for, not the disk.
    """

    def __init__(self, batches: Iterable[Batch], limited: Collection[str]) -> None:
        self._slow: dict[str, deque[Batch]] = {prefix: deque() for prefix in limited}
        self._rest: deque[Batch] = deque()
        for batch in batches:
            self._slow.get(batch.tree.prefix, self._rest).append(batch)
        self._at_work: Counter[str] = Counter()
        self._at_crowds = 0
        self._lock = threading.Lock()
        self.drained = threading.Event()
        """Nothing is left to begin with."""
        if self._next_queue() is None:
            self.drained.set()

    def batches(self) -> Iterator[Batch]:
        """For one worker; it ends when there is no more."""
        while (batch := self._take()) is not None:
            try:
                yield batch
            finally:
                with self._lock:
                    self._at_work[batch.tree.prefix] -= 1
                    self._at_crowds -= batch.is_crowd

    def _take(self) -> Batch | None:
        with self._lock:
            queue = self._next_queue()
            if queue is None:
                return None
            batch = queue.pop() if self._wants_crowd(queue) else queue.popleft()
            self._at_work[batch.tree.prefix] += 1
            self._at_crowds += batch.is_crowd
            if self._next_queue() is None:
                self.drained.set()
            return batch

    def _wants_crowd(self, queue: deque[Batch]) -> bool:
        """The largest come first, so crowds of small files are at the end."""
        is_alone = not self._at_work.total()
        return not is_alone and not self._at_crowds and queue[-1].is_crowd

    def _next_queue(self) -> deque[Batch] | None:
        slow = [prefix for prefix, queue in self._slow.items() if queue]
        alone = [prefix for prefix in slow if not self._at_work[prefix]]
        if alone:
            return self._slow[alone[0]]
        if self._rest:
            return self._rest
        return self._slow[slow[0]] if slow else None
