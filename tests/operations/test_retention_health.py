"""What a check says of a clock by which nothing is deleted."""

from datetime import timedelta

from barmand.model.finding import Finding, Level
from fakes import Bench, Stop

YEAR = timedelta(days=365)


def finding(bench: Bench) -> Finding:
    (found,) = [each for each in bench.check.report(Stop()) if each.name == "retention"]
    return found


def test_a_clock_that_is_believed_is_fine(bench: Bench) -> None:
    bench.done_backup()
    bench.pass_retention()
    assert finding(bench).level is Level.OK


def test_a_clock_that_went_ahead_is_told_with_the_way_out(bench: Bench) -> None:
    bench.done_backup()
    bench.pass_retention()
    bench.clock.jump(YEAR)
    found = finding(bench)
    assert (found.level, found.keeps_from_backup) == (Level.WARNING, False)
    assert "the clock went ahead by 365 days" in found.hint
    assert "`barmanctl trust-clock`" in found.hint
    bench.catalog.clock_watches.believe(bench.clock.reading())
    assert finding(bench).is_ok


def test_a_backup_from_the_future_is_told(bench: Bench) -> None:
    bench.pass_retention()
    backup = bench.done_backup()
    bench.clock.jump(-YEAR)
    assert f"backup {backup.id} ended at" in finding(bench).hint


def test_asking_settles_no_doubt_and_raises_none(bench: Bench) -> None:
    """What a question saw is not remembered: only the daemon's own passes are."""
    bench.done_backup()
    bench.pass_retention()
    known = bench.catalog.clock_watches.think(bench.clock.reading()).believed
    bench.clock.jump(YEAR)
    assert not finding(bench).is_ok
    bench.clock.jump(-YEAR)
    assert finding(bench).is_ok
    assert bench.catalog.clock_watches.think(bench.clock.reading()).believed.boot == known.boot


def test_a_disk_that_is_away_is_another_findings(bench: Bench) -> None:
    bench.done_backup()
    bench.layout.identity.unlink()
    found = {each.name: each for each in bench.check.report(Stop())}
    assert not found["directories"].is_ok
    assert found["retention"].is_ok
