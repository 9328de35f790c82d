"""A real cluster copied within limits: of bandwidth, and of starts in a period."""

import os
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from barmand.model.progress import Phase
from barmand.operations.ports import FileCopier
from barmand.outside.rsync_files import RsyncFiles
from support.taking import Taking, Told

MIB = 1024 * 1024
EARLY = (Phase.CHECKPOINT, Phase.COPYING)


@pytest.mark.parametrize(
    ("copier", "jobs"), [("local", 3), ("local-rsync", 1), ("rsync", 3)], indirect=["copier"]
)
def test_the_bandwidth_is_that_of_the_whole_backup(
    apart: Taking, copier: FileCopier, jobs: int
) -> None:
    for number in range(12):
        (apart.cluster.data / f"large_{number}").write_bytes(os.urandom((number + 1) * MIB // 2))
    # Never more. In so few seconds all that starts counts: the half minute tells how near it comes.
    assert 0.6 < rate(apart, copier, jobs, limit=9 * 1024) / (9 * MIB) < 1.05


@pytest.mark.soak
@pytest.mark.parametrize("jobs", [1, 4])
def test_the_bandwidth_holds_for_half_a_minute(
    apart: Taking, copier: FileCopier, jobs: int
) -> None:
    for number in range(40):
        (apart.cluster.data / f"large_{number}").write_bytes(os.urandom((number + 1) * MIB // 3))
    assert rate(apart, copier, jobs, limit=9 * 1024) == pytest.approx(9 * MIB, rel=0.1)


def rate(taking: Taking, copier: FileCopier, jobs: int, limit: int) -> float:
    """Bytes a second, from when there were none to the last report of them."""
    told = Told()
    taking.take(copier, jobs=jobs, bandwidth_limit=limit, told=told)
    begin = max(at for at, phase, done in told.moments if not done and phase in EARLY)
    end, total = max((at, done) for at, _, done in told.moments if done)
    return total / (end - begin)


def test_a_tablespace_takes_no_more_than_its_own_limit(apart: Taking, folder: Path) -> None:
    for name in ("slow", "fast"):
        (folder / name).mkdir()
        apart.cluster.psql(f"CREATE TABLESPACE {name} LOCATION '{folder / name}'")
        apart.cluster.psql(
            f"CREATE TABLE of_{name} TABLESPACE {name} AS SELECT generate_series(1, 170000) AS n"
        )
    told = Told()
    with capture_logs() as said:
        apart.take(RsyncFiles(tablespace_limits={"slow": 2048}), jobs=2, told=told)
    limits = {line["source"]: line["kib_per_second"] for line in said if line.get("bytes")}
    places = str(folder / "slow"), str(folder / "fast"), str(apart.cluster.data)
    assert limits == dict(zip(places, (2048, None, None), strict=True))
    begin = min(at for at, phase, _ in told.moments if phase is Phase.COPYING)
    end = max(at for at, _, done in told.moments if done)
    size = int(apart.cluster.psql("SELECT pg_relation_size('of_slow')"))
    assert 0.9 < (end - begin) / (size / (2 * MIB)) < 1.5


def test_starts_are_dealt_out_over_their_period(taking: Taking) -> None:
    stamp = structlog.processors.TimeStamper(fmt=None)
    with capture_logs(processors=[stamp]) as said:
        taking.take(RsyncFiles(), jobs=4, jobs_start_batch_size=2, jobs_start_batch_period=1.0)
    starts = [line["timestamp"] for line in said if line["event"] == "rsync starts"]
    assert len(starts) >= 6  # the listing, four workers, pg_control
    assert all(third - first > 0.99 for first, third in zip(starts, starts[2:], strict=False))
