"""Batches go to whoever is free; a tablespace with a limit of its own keeps one worker."""

from pathlib import Path

from barmand.storage.batch_queue import BatchQueue
from barmand.storage.data_tree import Tree
from barmand.storage.survey import Batch

SLOW = Tree(Path("/slow"), Path("/copy/7"), "pg_tblspc/7/")
DATA = Tree(Path("/pg"), Path("/copy/data"))


def batches(*names: str) -> list[Batch]:
    return [Batch(SLOW if name[0] == "s" else DATA, "", name.encode(), 1) for name in names]


def taken(queue: BatchQueue, workers: int) -> list[str]:
    """What each of several workers gets in turn, who are all equally fast."""
    iterators = [queue.batches() for _ in range(workers)]
    names: list[str] = []
    while got := [batch for each in iterators if (batch := next(each, None)) is not None]:
        names += [batch.names[0] for batch in got]
    return names


def test_without_a_limit_the_order_is_that_of_the_batches() -> None:
    assert taken(BatchQueue(batches("s1", "d1", "s2", "d2"), ()), 2) == ["s1", "d1", "s2", "d2"]


def test_one_worker_stays_at_a_limited_tablespace_and_the_others_copy_the_rest() -> None:
    queue = BatchQueue(batches("s1", "s2", "s3", "d1", "d2"), {SLOW.prefix})
    assert taken(queue, 2) == ["s1", "d1", "s2", "d2", "s3"]


def test_while_others_are_at_large_files_one_worker_is_at_the_small_ones() -> None:
    found = [
        *batches("d1", "d2", "d3"),
        Batch(DATA, "", b"d4\0x", 1),
        Batch(DATA, "", b"d5\0x", 1),
        Batch(DATA, "", b"d6\0x", 1),
    ]
    assert taken(BatchQueue(found, ()), 1) == ["d1", "d2", "d3", "d4", "d5", "d6"]
    assert taken(BatchQueue(found, ()), 2) == ["d1", "d6", "d2", "d5", "d3", "d4"]
    assert taken(BatchQueue(found, ()), 3) == ["d1", "d6", "d2", "d3", "d5", "d4"]


def test_when_there_is_no_rest_the_others_help() -> None:
    queue = BatchQueue(batches("s1", "s2", "s3", "d1"), {SLOW.prefix})
    assert taken(queue, 3) == ["s1", "d1", "s2", "s3"]


def test_a_single_worker_copies_all() -> None:
    queue = BatchQueue(batches("d1", "s1", "d2"), {SLOW.prefix})
    assert sorted(taken(queue, 1)) == ["d1", "d2", "s1"]


def test_it_is_drained_when_the_last_batch_is_taken() -> None:
    queue = BatchQueue(batches("d1", "d2"), ())
    worker = queue.batches()
    next(worker)
    assert not queue.drained.is_set()
    next(worker)
    assert queue.drained.is_set()
    assert BatchQueue((), {SLOW.prefix}).drained.is_set()
