"""Backups that were removed behind our back count for nothing, and take no other along."""

import shutil

import pytest

from barmand.model.backup import Backup
from barmand.model.errors import Refused
from barmand.model.retention_policy import Redundancy
from barmand.model.verdict import Rules, Word
from barmand.storage import backup_info
from fakes import Bench, Stop, bench_over


def only_the_newest(bench: Bench, minimum_redundancy: int = 1) -> Bench:
    return bench_over(
        bench.catalog,
        bench.layout.home,
        clock=bench.clock,
        postgres=bench.postgres,
        minimum_redundancy=minimum_redundancy,
        rules=Rules(policy=Redundancy(1), minimum_redundancy=minimum_redundancy),
    )


def lose_copy(bench: Bench, backup: Backup) -> None:
    shutil.rmtree(bench.layout.backup(backup.id))


def lose_all(bench: Bench, backup: Backup) -> None:
    """As `barman delete` leaves it."""
    lose_copy(bench, backup)
    backup_info.forget(bench.layout, backup.id)


def ids(bench: Bench) -> list[str]:
    return [backup.id for backup in bench.catalog.backups.of_server("main")]


def finding(bench: Bench) -> str:
    (told,) = bench.take.check.backup_health.on_disk()
    return "" if told.is_ok else told.hint


@pytest.mark.parametrize("lose", [lose_copy, lose_all], ids=["its copy", "all of it"])
def test_a_backup_that_is_gone_makes_no_other_go(bench: Bench, lose: object) -> None:
    bench = only_the_newest(bench)
    older, newer = bench.done_backup(), bench.done_backup()
    assert callable(lose)
    lose(bench, newer)
    assert bench.pass_retention() == 0
    assert bench.layout.data(older.id).is_dir()
    verdicts = {each.backup.id: each for each in bench.expire.judging.verdicts()}
    assert (verdicts[older.id].word, verdicts[older.id].goes) == (Word.VALID, False)
    gone = verdicts[newer.id]
    assert (gone.word, gone.goes, gone.is_absent) == (Word.NONE, False, True)
    assert newer.id in finding(bench)


def test_what_somebody_else_has_deleted_is_forgotten_and_told(bench: Bench) -> None:
    first, second = bench.done_backup(), bench.done_backup()
    lose_all(bench, second)
    assert bench.rebuild.run() == 0
    assert ids(bench) == [first.id]
    (told,) = bench.events("backup deleted")
    assert (told.backup_id, told.facts["why"]) == (
        second.id,
        "neither its copy nor its facts are on disk",
    )
    assert finding(bench) == ""


def test_a_backup_with_facts_and_no_copy_is_not_forgotten(bench: Bench) -> None:
    first, second = bench.done_backup(), bench.done_backup()
    lose_copy(bench, second)
    bench.rebuild.run()
    assert ids(bench) == [first.id, second.id]
    assert second.id in finding(bench)


def test_all_that_are_gone_at_once_may_lie_on_a_disk_that_is_not_mounted(bench: Bench) -> None:
    both = [bench.done_backup(), bench.done_backup()]
    for backup in both:
        lose_all(bench, backup)
    bench.rebuild.run()
    assert ids(bench) == [backup.id for backup in both]


def test_a_home_that_is_not_the_known_one_forgets_nothing(bench: Bench) -> None:
    first, second = bench.done_backup(), bench.done_backup()
    lose_all(bench, second)
    bench.layout.identity.unlink()
    bench.rebuild.run()
    assert ids(bench) == [first.id, second.id]


def test_one_that_is_gone_is_none_of_those_that_redundancy_asks_for(bench: Bench) -> None:
    bench = only_the_newest(bench)
    older, newer = bench.done_backup(), bench.done_backup()
    lose_copy(bench, newer)
    with pytest.raises(Refused, match="without it 0 would be DONE"):
        bench.delete.run(older, actor="me", stop=Stop())
    bench.delete.run(newer, actor="me", stop=Stop())
    assert ids(bench) == [older.id]
