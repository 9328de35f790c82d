"""What came of each ring is remembered, and the last one is found."""

from datetime import UTC, datetime, timedelta

from barmand.catalog.memory import Catalog
from barmand.catalog.schedule_runs import ScheduleRun

DUE = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
RUN = ScheduleRun(
    server="main", schedule="30 2 * * *", due=DUE, at=DUE, outcome="started", backup_id="20240501"
)


def test_a_server_that_never_rang_has_no_last_run(catalog: Catalog) -> None:
    assert catalog.schedule_runs.last("main") is None


def test_a_run_comes_back_as_it_was(catalog: Catalog) -> None:
    catalog.schedule_runs.add(RUN)
    assert catalog.schedule_runs.last("main") == RUN


def test_the_last_run_is_the_one_written_last_whatever_the_clock_said(catalog: Catalog) -> None:
    earlier = DUE - timedelta(days=3)
    skipped = ScheduleRun(
        server="main", schedule="30 2 * * *", due=earlier, at=earlier, outcome="skipped"
    )
    catalog.schedule_runs.add(RUN)
    catalog.schedule_runs.add(skipped)
    assert catalog.schedule_runs.last("main") == skipped


def test_each_server_has_its_own_last_run(catalog: Catalog) -> None:
    catalog.schedule_runs.add(RUN)
    assert catalog.schedule_runs.last("other") is None
