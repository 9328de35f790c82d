"""The copy: attempts, pauses, and where the backup really begins and ends."""

from pathlib import Path

import pytest

from barmand.model.backup import Backup, Copied, Tablespace
from barmand.model.errors import PostgresFailed, Stopped, StorageFailed, ToolFailed
from barmand.model.order import Checksums, Order
from barmand.model.progress import Phase
from fakes import MB, Bench, Stop, Told

TWICE_MORE = Order(retry_times=2, retry_sleep=30.0)


def begun(bench: Bench) -> Backup:
    queued = bench.queue()
    return bench.record.move(queued, queued.begun(bench.clock(), bench.postgres.facts()))


def taken(
    bench: Bench, order: Order | None = None, stop: Stop | None = None, told: Told | None = None
) -> Copied:
    return bench.take.method.take(
        begun(bench), order or Order(), stop=stop or Stop(), report=told or Told()
    )


def data_of(bench: Bench) -> Path:
    return bench.layout.data(bench.catalog.backups.of_server("main")[-1].id)


def test_the_positions_are_those_of_the_label_and_of_the_manifest(bench: Bench) -> None:
    bench.postgres.lsn = 5 * MB - 0x80
    copied = taken(bench)
    assert (copied.begin_lsn, copied.end_lsn) == (5 * MB - 0x80, 5 * MB + 0x80)
    assert copied.backup_label.startswith("START WAL LOCATION: 0/4FFF80")


def test_the_timeline_is_the_one_the_label_names(bench: Bench) -> None:
    bench.postgres.timeline = 0x1F
    assert taken(bench).timeline == 0x1F


def test_without_a_manifest_the_tool_tells_the_end(bench: Bench) -> None:
    bench.tool.has_manifest = False
    copied = taken(bench)
    assert copied.end_lsn == copied.begin_lsn + 0x100


def test_an_end_that_nobody_tells_is_a_failure(bench: Bench) -> None:
    bench.tool.has_manifest = bench.tool.tells_end = False
    with pytest.raises(ToolFailed, match="where the backup ends"):
        taken(bench)


def test_a_promotion_in_mid_copy_fails_it(bench: Bench) -> None:
    bench.tool.timelines = (1, 2)
    with pytest.raises(ToolFailed, match=r"promoted during the backup.*1 and 2"):
        taken(bench)


def test_a_promotion_is_worth_another_attempt(bench: Bench) -> None:
    bench.tool.timelines = (1, 2)

    def come_to_rest() -> None:
        if len(bench.tool.attempts) == 2:
            bench.tool.timelines = ()

    bench.tool.during = come_to_rest
    assert taken(bench, TWICE_MORE).timeline == 1


def test_an_attempt_that_failed_is_wiped_and_another_follows(bench: Bench) -> None:
    leftover = "left by the first attempt"

    def leave_something() -> None:
        if len(bench.tool.attempts) == 1:
            (data_of(bench) / leftover).touch()

    bench.tool.during = leave_something
    bench.tool.troubles = [ToolFailed("one"), ToolFailed("two")]
    stop, told = Stop(), Told()
    taken(bench, TWICE_MORE, stop, told)
    assert len(bench.tool.attempts) == 3
    assert stop.pauses == [30.0, 30.0]
    assert told.phases.count(Phase.RETRYING) == 2
    assert not (data_of(bench) / leftover).exists()
    assert (data_of(bench) / "global/pg_control").is_file()


def test_the_last_failure_is_the_one_that_is_told(bench: Bench) -> None:
    bench.tool.troubles = [ToolFailed("one"), ToolFailed("two"), ToolFailed("three")]
    with pytest.raises(ToolFailed, match="three"):
        taken(bench, TWICE_MORE)


def test_without_retries_the_first_failure_ends_it(bench: Bench) -> None:
    bench.tool.troubles = [ToolFailed("one")]
    with pytest.raises(ToolFailed, match="one"):
        taken(bench)
    assert len(bench.tool.attempts) == 1


def test_a_stop_cuts_the_pause_between_attempts(bench: Bench) -> None:
    stop, told = Stop(), Told()
    told.also = lambda phase: stop.set() if phase is Phase.RETRYING else None
    bench.tool.troubles = [ToolFailed("one")]
    with pytest.raises(Stopped, match="the test stopped it"):
        taken(bench, TWICE_MORE, stop, told)
    assert len(bench.tool.attempts) == 1


@pytest.mark.parametrize("error", [Stopped("cancelled"), PostgresFailed("gone")])
def test_only_a_failure_of_the_tool_is_tried_again(bench: Bench, error: Exception) -> None:
    bench.tool.troubles = [error]
    with pytest.raises(type(error)):
        taken(bench, TWICE_MORE)
    assert len(bench.tool.attempts) == 1


def test_a_copy_without_a_label_is_no_backup(bench: Bench) -> None:
    told = Told()
    bench.tool.has_manifest = True
    told.also = lambda _phase: (data_of(bench) / "backup_label").unlink(missing_ok=True)
    with pytest.raises(StorageFailed, match="backup_label"):
        taken(bench, told=told)


def test_tablespaces_lie_beside_the_data_and_count_in_its_size(bench: Bench) -> None:
    plain = taken(bench)
    bench.catalog.backups.move(
        (backup := bench.catalog.backups.of_server("main")[-1]),
        backup.with_copy(bench.clock(), plain),
        now=bench.clock(),
    )
    bench.postgres.tablespaces = (Tablespace("fast", 16385, "/srv/fast"),)
    with_space = taken(bench)
    assert (data_of(bench).parent / "16385/PG_15_202209061/5/16390").is_file()
    assert with_space.size == plain.size + len(b"in a tablespace")


def test_a_tablespace_made_while_the_backup_began_fails_it(bench: Bench) -> None:
    backup = begun(bench)
    links = data_of(bench) / "pg_tblspc"

    def late() -> None:
        links.mkdir(parents=True, exist_ok=True)
        (links / "16385").symlink_to("/somewhere")

    bench.tool.during = late
    with pytest.raises(PostgresFailed, match=r"main got a new tablespace \(oid 16385\)"):
        bench.take.method.take(backup, Order(), stop=Stop(), report=Told())


@pytest.mark.parametrize(
    ("version", "told"), [(150_018, Checksums.SHA256), (120_022, Checksums.CRC32C)]
)
def test_a_server_that_makes_no_manifest_is_not_told_how_to_sum_it(
    bench: Bench, version: int, told: Checksums
) -> None:
    bench.postgres.version = version
    taken(bench, Order(manifest_checksums=Checksums.SHA256))
    assert [order.manifest_checksums for order in bench.tool.orders] == [told]


def test_the_label_names_server_and_backup(bench: Bench) -> None:
    taken(bench)
    assert bench.tool.attempts == [f"barmand backup main {data_of(bench).parent.name}"]
