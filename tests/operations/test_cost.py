"""One more segment costs the same, however much is archived."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import event

from barmand.catalog.memory import Catalog
from barmand.model.wal import Run
from fakes import MB, Bench, bench_over, lay_segment


def with_past(bench: Bench, *, segments: int, backups: int) -> int:
    """So many archived segments and DONE backups; the number of the next segment."""
    done = bench.done_backup()
    for number in range(backups):
        older = replace(done, id=f"2024{number:04d}T000000", name=None)
        bench.catalog.backups.adopt(older, bench.clock())
    first = 10_000
    run = Run(1, first, first + segments - 1)
    bench.catalog.wal_runs.adopt("main", [(run, segments * MB)], segment_size=MB, now=bench.clock())
    return first + segments


def rows_read(bench: Bench, number: int) -> list[str]:
    """The statements of a pass over one segment."""
    lay_segment(bench.layout.incoming, number)
    statements: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    engine = bench.catalog.database.engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        assert bench.archive.run(lambda: False).archived == 1
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    return statements


def test_a_pass_asks_the_same_with_a_million_segments(
    tmp_path: Path, new_catalog: Callable[[], Catalog]
) -> None:
    asked: list[list[str]] = []
    for name, segments, backups in (("small", 1000, 1), ("large", 1_000_000, 1000)):
        bench = bench_over(new_catalog(), tmp_path / name)
        number = with_past(bench, segments=segments, backups=backups)
        asked.append(rows_read(bench, number))
        assert bench.catalog.wal_runs.near("main", Run(1, number, number)) == [
            Run(1, 10_000, number)
        ]
    assert asked[0] == asked[1]
    assert len(asked[0]) < 20
