"""What a check says of what was scheduled."""

from dataclasses import replace
from datetime import timedelta

import pytest

from barmand.catalog.schedule_runs import ScheduleRun
from barmand.model.backup import Reason
from barmand.model.calendar import CronSchedule, Outcome, ScheduleLine
from barmand.model.finding import Finding, Level
from barmand.operations.schedule_health import ScheduleHealth
from barmand.service.due_times import latest_ready
from fakes import NOON, Bench, Stop

NIGHTLY = "0 3 * * *"
HOUR = timedelta(hours=1)
DUE = NOON - 9 * HOUR
OK, WARNING, FAILED = Level


def line(text: str) -> ScheduleLine:
    return ScheduleLine(text=text, times=CronSchedule.parse(f"{text} zone=UTC"))


KEY = line(NIGHTLY).key


@pytest.fixture
def health(bench: Bench) -> ScheduleHealth:
    note(bench, Outcome.ARMED, due=DUE - HOUR)
    wired = bench.check.schedule_health
    return replace(wired, lines=(line(NIGHTLY),), latest_ready=latest_ready)


def note(bench: Bench, outcome: Outcome, **facts: object) -> None:
    facts = {"due": DUE, "schedule": KEY} | facts
    bench.catalog.schedule_runs.add(
        ScheduleRun(server="main", at=NOON, outcome=outcome, **facts)  # type: ignore[arg-type] # named by the tests
    )


def finding(health: ScheduleHealth) -> Finding:
    (found,) = health.findings()
    return found


def test_what_is_not_scheduled_is_not_missed(bench: Bench) -> None:
    assert list(bench.check.schedule_health.findings()) == []


def test_a_due_time_of_which_nothing_came_is_an_alarm(health: ScheduleHealth) -> None:
    found = finding(health)
    assert (found.level, found.keeps_from_backup) == (FAILED, False)
    assert "nothing came of it" in found.hint


def test_a_ring_has_a_while_to_come(health: ScheduleHealth) -> None:
    soon = replace(health, now=lambda: DUE + timedelta(minutes=5))
    assert (finding(soon).level, "nothing was due yet" in finding(soon).hint) == (OK, True)


def test_a_schedule_that_is_new_says_so(bench: Bench, health: ScheduleHealth) -> None:
    other = replace(health, lines=(line("0 4 * * *"),))
    assert (finding(other).level, "not looked at yet" in finding(other).hint) == (OK, True)
    assert bench.events("check") == []


@pytest.mark.parametrize(
    ("outcome", "level"), [(Outcome.MISSED, FAILED), (Outcome.SKIPPED, WARNING)]
)
def test_a_run_that_was_none_is_told_until_a_backup_was_taken(
    bench: Bench, health: ScheduleHealth, outcome: Outcome, level: Level
) -> None:
    note(bench, outcome, why="another backup was under way")
    found = finding(health)
    assert found.level is level
    assert f"{outcome.value}: another backup was under way" in found.hint
    backup = bench.done_backup()
    found = finding(health)
    assert found.level is OK
    assert f"since then {backup.id} was taken" in found.hint


def test_a_scheduled_backup_that_failed_is_an_alarm(bench: Bench, health: ScheduleHealth) -> None:
    backup = bench.failed_backup()
    note(bench, Outcome.STARTED, backup_id=backup.id)
    found = finding(health)
    assert found.level is FAILED
    assert f"started, {backup.id}: it failed" in found.hint


def test_a_scheduled_backup_that_was_stopped_is_no_alarm(
    bench: Bench, health: ScheduleHealth
) -> None:
    backup = bench.record.fail(bench.queue(), Reason("Stopped", "cancelled by anna"))
    note(bench, Outcome.STARTED, backup_id=backup.id)
    found = finding(health)
    assert found.level is WARNING
    assert f"started, {backup.id}: cancelled by anna" in found.hint


def test_a_scheduled_backup_that_is_done_or_was_deleted_is_fine(
    bench: Bench, health: ScheduleHealth
) -> None:
    backup = bench.done_backup()
    note(bench, Outcome.MADE_UP, backup_id=backup.id)
    assert (finding(health).level, f"made up, {backup.id} DONE" in finding(health).hint) == (
        OK,
        True,
    )
    bench.done_backup()
    bench.delete.run(backup, actor="anna", stop=Stop())
    assert finding(health).level is OK


def test_the_worst_of_several_lines_is_told(bench: Bench, health: ScheduleHealth) -> None:
    note(bench, Outcome.STARTED)
    hourly = line("30 * * * *")
    note(bench, Outcome.MISSED, schedule=hourly.key, due=NOON - HOUR / 2, why="nobody rang")
    found = finding(replace(health, lines=(line(NIGHTLY), hourly)))
    assert found.level is FAILED
    assert found.hint.startswith(hourly.key)
    assert NIGHTLY not in found.hint
