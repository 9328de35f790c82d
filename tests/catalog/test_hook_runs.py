"""Runs of hooks: the latest of each are kept; what is owed is stored with DONE."""

from datetime import UTC, datetime

import pytest

from barmand.catalog.hook_runs import KEPT_RUNS, HookRun
from barmand.catalog.memory import Catalog
from barmand.model.hook import Outcome

NOW = datetime(2024, 5, 1, 2, 30, tzinfo=UTC)


def run(hook: str = "pre_archive_script", *, subject: str = "x", is_test: bool = False) -> HookRun:
    return HookRun(
        server="main",
        hook=hook,
        subject=subject,
        backup_id=subject if "backup" in hook else None,
        attempt=1,
        is_test=is_test,
        started_at=NOW,
    )


def end(catalog: Catalog, key: int, outcome: Outcome) -> None:
    catalog.hook_runs.end(
        key, outcome, seconds=1.5, exit_code=63, words="ended with exit code 63", output="no"
    )


def test_a_run_is_remembered_from_its_beginning_to_its_end(catalog: Catalog) -> None:
    key = catalog.hook_runs.begin(run())
    (begun,) = catalog.hook_runs.latest("main", None, 10)
    assert (begun.outcome, begun.seconds) == (Outcome.RUNNING, None)
    assert catalog.hook_runs.under_way("main") == [begun]
    end(catalog, key, Outcome.FORBADE)
    (ended,) = catalog.hook_runs.latest("main", "pre_archive_script", 10)
    assert (ended.outcome, ended.exit_code, ended.output) == (Outcome.FORBADE, 63, "no")
    assert (ended.started_at, ended.seconds, ended.words) == (NOW, 1.5, "ended with exit code 63")
    assert catalog.hook_runs.under_way("main") == []


def test_of_each_hook_so_many_are_kept(catalog: Catalog) -> None:
    catalog.hook_runs.begin(run("post_backup_script", subject="one"))
    for number in range(KEPT_RUNS + 5):
        end(catalog, catalog.hook_runs.begin(run(subject=str(number))), Outcome.OK)
    kept = catalog.hook_runs.latest("main", "pre_archive_script", 1000)
    assert [each.subject for each in kept] == [str(n) for n in range(KEPT_RUNS + 4, 4, -1)]
    assert len(catalog.hook_runs.latest("main", None, 1000)) == KEPT_RUNS + 1
    assert len(catalog.hook_runs.latest("main", None, 3)) == 3
    assert catalog.hook_runs.latest("other", None, 3) == []


def test_the_last_in_earnest_is_neither_a_test_nor_under_way(catalog: Catalog) -> None:
    runs = catalog.hook_runs
    assert runs.last_of("main", "pre_archive_script") is None
    end(catalog, runs.begin(run(subject="meant")), Outcome.FORBADE)
    end(catalog, runs.begin(run(subject="tried", is_test=True)), Outcome.OK)
    runs.begin(run(subject="now"))
    last = runs.last_of("main", "pre_archive_script")
    assert last is not None
    assert (last.subject, last.outcome) == ("meant", Outcome.FORBADE)


@pytest.mark.parametrize(
    ("outcome", "is_bad"),
    [(Outcome.OK, False), (Outcome.GAVE_UP, False), (Outcome.FAILED, True), (Outcome.BROKEN, True)],
)
def test_what_went_wrong_for_a_backup(catalog: Catalog, outcome: Outcome, *, is_bad: bool) -> None:
    end(catalog, catalog.hook_runs.begin(run("post_backup_script", subject="b")), outcome)
    found = catalog.hook_runs.bad_of("main", "b")
    assert bool(found) is is_bad
    assert catalog.hook_runs.bad_of("main", "c") == []


def test_no_run_goes_on_in_the_next_life(catalog: Catalog) -> None:
    catalog.hook_runs.begin(run())
    catalog.hook_runs.interrupt_all()
    (found,) = catalog.hook_runs.latest("main", None, 10)
    assert found.outcome is Outcome.INTERRUPTED
