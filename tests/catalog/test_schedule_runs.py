"""What came of each ring is remembered, and the last one is found."""

from datetime import UTC, datetime, timedelta

from barmand.catalog.memory import Catalog
from barmand.catalog.schedule_runs import KEPT, ScheduleRun
from barmand.model.calendar import Outcome

DUE = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)
RUN = ScheduleRun(
    server="main",
    schedule="30 2 * * *",
    due=DUE,
    at=DUE,
    outcome=Outcome.STARTED,
    backup_id="20240501",
)


def test_a_server_that_never_rang_has_no_last_run(catalog: Catalog) -> None:
    assert catalog.schedule_runs.last("main") is None


def test_a_run_comes_back_as_it_was(catalog: Catalog) -> None:
    catalog.schedule_runs.add(RUN)
    assert catalog.schedule_runs.last("main") == RUN


def test_the_last_run_is_the_one_written_last_whatever_the_clock_said(catalog: Catalog) -> None:
    earlier = DUE - timedelta(days=3)
    skipped = ScheduleRun(
        server="main", schedule="30 2 * * *", due=earlier, at=earlier, outcome=Outcome.SKIPPED
    )
    catalog.schedule_runs.add(RUN)
    catalog.schedule_runs.add(skipped)
    assert catalog.schedule_runs.last("main") == skipped


def test_each_server_has_its_own_last_run(catalog: Catalog) -> None:
    catalog.schedule_runs.add(RUN)
    assert catalog.schedule_runs.last("other") is None


def run_at(due: datetime, outcome: Outcome) -> ScheduleRun:
    return ScheduleRun(server="main", schedule="@daily", due=due, at=DUE, outcome=outcome)


def test_what_the_clock_said_before_it_was_set_back_does_not_count_yet(catalog: Catalog) -> None:
    day = timedelta(days=1)
    catalog.schedule_runs.add(
        run_at(DUE - day, Outcome.ARMED), run_at(DUE + 365 * day, Outcome.STARTED)
    )
    accounted = catalog.schedule_runs.accounted
    assert accounted("main", "@daily", DUE) == DUE - day
    assert accounted("main", "@daily", DUE + 400 * day) == DUE + 365 * day
    assert accounted("main", "@daily", DUE - 2 * day) is None
    assert accounted("main", "@hourly", DUE) is None


def test_the_newest_row_of_each_schedule_is_told(catalog: Catalog) -> None:
    catalog.schedule_runs.add(RUN, run_at(DUE, Outcome.ARMED))
    catalog.schedule_runs.add(run_at(DUE, Outcome.OFF))
    newest = catalog.schedule_runs.newest()
    assert {key: run.outcome for key, run in newest.items()} == {
        ("main", "30 2 * * *"): Outcome.STARTED,
        ("main", "@daily"): Outcome.OFF,
    }
    assert catalog.schedule_runs.last_run("main", "@daily") is None
    assert catalog.schedule_runs.last_run("main", "30 2 * * *") == RUN


def test_old_rows_go(catalog: Catalog) -> None:
    catalog.schedule_runs.add(*(run_at(DUE, Outcome.STARTED) for _ in range(KEPT + 5)))
    catalog.schedule_runs.add(RUN)
    with catalog.database.reading() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM schedule_runs").scalar_one()
    assert count == KEPT + 1
