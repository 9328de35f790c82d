"""Hooks around each event: their order, their word, and what they are told."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from barmand.catalog.hook_runs import HookRuns
from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Status
from barmand.model.errors import (
    CheckFailed,
    Failure,
    NotFound,
    Refused,
    Stopped,
    StorageFailed,
    ToolFailed,
)
from barmand.model.finding import Level
from barmand.model.hook import Outcome
from barmand.model.order import Order
from barmand.model.packing import Packer, packing_of
from barmand.model.progress import Phase
from barmand.model.recovery import Target
from barmand.model.retention_policy import Redundancy
from barmand.model.verdict import Rules
from barmand.operations.hook_runner import LAST_WORDS_SECONDS
from barmand.storage import backup_info
from fakes import Bench, Stop, Told, bench_over, lay_segment, segment_name

ALL_OF_BACKUP = [
    "pre_backup_script",
    "pre_backup_retry_script",
    "post_backup_retry_script",
    "post_backup_script",
]
Make = Callable[[Sequence[str]], Bench]


@pytest.fixture
def make(tmp_path: Path, new_catalog: Callable[[], Catalog]) -> Make:
    def made(hooks: Sequence[str]) -> Bench:
        return bench_over(new_catalog(), tmp_path / "home", hooks=hooks)

    return made


def outcomes(bench: Bench) -> list[tuple[str, int, Outcome]]:
    runs = reversed(bench.catalog.hook_runs.latest("main", None, 100))
    return [(run.hook, run.attempt, run.outcome) for run in runs]


def told(bench: Bench, name: str) -> dict[str, str]:
    return {
        key.removeprefix("BARMAN_"): value
        for key, value in bench.scripts.environment_of(name).items()
    }


def restore(bench: Bench, backup: Backup, place: Path, stop: Stop | None = None) -> None:
    plan = bench.restore.plan(backup, place, Target.IMMEDIATE, {})
    bench.restore.run(plan, stop=stop or Stop(), report=Told())


# ------------------------------------------------------------------------------------------ backup
def test_the_order_around_a_backup_and_what_each_is_told(make: Make) -> None:
    bench = make(ALL_OF_BACKUP)
    first = bench.done_backup("one")
    second = bench.copied_backup("two")
    assert bench.scripts.commands == ALL_OF_BACKUP * 2
    before, after = told(bench, "pre_backup_script"), told(bench, "post_backup_script")
    assert before == {
        "VERSION": before["VERSION"],
        "SERVER": "main",
        "CONFIGURATION": "/etc/barmand.conf",
        "HOOK": "backup_script",
        "PHASE": "pre",
        "RETRY": "0",
        "BACKUP_DIR": str(bench.layout.backup(second.id)),
        "BACKUP_INFO_PATH": str(bench.layout.info(second.id)),
        "BACKUP_ID": second.id,
        "PREVIOUS_ID": first.id,
        "NEXT_ID": "",
        "STATUS": "EMPTY",
        "ERROR": "",
    }
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"PHASE", "STATUS"}
    assert after["STATUS"] == "WAITING_FOR_WALS"


def test_hooks_after_see_done_when_its_wal_came_at_once(make: Make) -> None:
    bench = make(["post_backup_script"])
    taking = bench.queue()

    def arrives() -> None:
        bench.stream(*bench.needs(bench.now(taking)))
        bench.pass_wal()

    replace(bench.take, ring_archive=arrives).run(taking, Order(), stop=Stop(), report=Told())
    assert told(bench, "post_backup_script")["STATUS"] == "DONE"


def test_a_veto_fails_the_backup_before_anything_is_copied(make: Make) -> None:
    bench = make(ALL_OF_BACKUP)
    bench.scripts.codes["pre_backup_retry_script"] = [63]
    queued = bench.queue()
    with pytest.raises(Refused, match="pre_backup_retry_script forbids the backup of"):
        bench.run(queued)
    failed = bench.now(queued)
    assert failed.status is Status.FAILED
    assert failed.reason is not None
    assert "said by pre_backup_retry_script" in str(failed.reason.hint)
    assert bench.tool.attempts == []
    assert bench.scripts.commands == ALL_OF_BACKUP
    after = told(bench, "post_backup_script")
    assert after["STATUS"] == "FAILED"
    assert after["ERROR"].startswith("pre_backup_retry_script forbids the backup of")
    assert bench.events("hook kept backup from beginning")


@pytest.mark.parametrize("code", [1, 62, 63, 126, 127, None])
def test_a_standard_hook_changes_nothing(make: Make, code: int | None) -> None:
    bench = make(ALL_OF_BACKUP)
    bench.scripts.codes |= {"pre_backup_script": [code], "post_backup_script": [code]}
    with capture_logs() as logs:
        assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    warned = [line for line in logs if line["event"] == "hook failed"]
    assert {line["hook"] for line in warned} == {"pre_backup_script", "post_backup_script"}
    assert all(line["log_level"] == "warning" and line["output"] for line in warned)
    assert len(bench.scripts.commands) == 4


def test_62_goes_on_at_once(make: Make) -> None:
    bench = make(ALL_OF_BACKUP)
    bench.scripts.codes["pre_backup_retry_script"] = [62]
    assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    assert ("pre_backup_retry_script", 1, Outcome.GAVE_UP) in outcomes(bench)


def test_a_retry_hook_is_tried_again_with_growing_pauses(make: Make) -> None:
    bench = make(["pre_backup_retry_script"])
    bench.scripts.codes["pre_backup_retry_script"] = [1, None, 1, 0]
    stop = Stop()
    assert bench.run(bench.queue(), stop=stop).status is Status.WAITING_FOR_WALS
    assert stop.pauses == [2, 4, 8]
    name = "pre_backup_retry_script"
    assert outcomes(bench) == [
        (name, 1, Outcome.FAILED),
        (name, 2, Outcome.TIMED_OUT),
        (name, 3, Outcome.FAILED),
        (name, 4, Outcome.OK),
    ]


def test_without_0_or_62_there_is_no_backup(make: Make) -> None:
    bench = make(["pre_backup_retry_script"])
    bench.scripts.codes["pre_backup_retry_script"] = [1]
    queued = bench.queue()
    with pytest.raises(ToolFailed, match="did not agree to the backup of"):
        bench.run(queued)
    assert len(bench.scripts.commands) == 4
    assert bench.now(queued).status is Status.FAILED


@pytest.mark.parametrize("code", [126, 127])
def test_a_broken_hook_is_not_tried_again(make: Make, code: int) -> None:
    bench = make(["pre_backup_retry_script", "post_backup_retry_script"])
    bench.scripts.codes["pre_backup_retry_script"] = [code]
    with pytest.raises(ToolFailed, match=f"exit code {code}"):
        bench.run(bench.queue())
    assert bench.scripts.commands == ["pre_backup_retry_script", "post_backup_retry_script"]
    assert outcomes(bench)[0] == ("pre_backup_retry_script", 1, Outcome.BROKEN)


@pytest.mark.parametrize("code", [1, 63, 127, None])
def test_a_hook_after_the_copy_never_fails_the_backup(make: Make, code: int | None) -> None:
    bench = make(ALL_OF_BACKUP)
    bench.scripts.codes["post_backup_retry_script"] = [code]
    assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    assert bench.scripts.commands[-1] == "post_backup_script"


def test_hooks_hear_why_a_copy_failed(make: Make) -> None:
    bench = make(ALL_OF_BACKUP)
    bench.tool.troubles.append(ToolFailed("pg_basebackup broke", hint="Look."))
    with pytest.raises(ToolFailed):
        bench.run(bench.queue())
    for name in ("post_backup_retry_script", "post_backup_script"):
        assert told(bench, name)["ERROR"] == "pg_basebackup broke\nLook."
        assert told(bench, name)["STATUS"] == "FAILED"


def test_a_backup_that_never_began_has_no_hooks(make: Make) -> None:
    bench = make(ALL_OF_BACKUP)
    bench.postgres.silent.add("readiness")
    with pytest.raises(Failure):
        bench.run(bench.queue())
    assert bench.scripts.commands == []


def test_a_stop_in_a_hook_fails_the_backup_and_the_others_still_hear_of_it(make: Make) -> None:
    bench, stop = make(ALL_OF_BACKUP), Stop()

    def stopped() -> int:
        stop.set()
        return 0

    bench.scripts.codes["pre_backup_retry_script"] = [stopped]
    queued = bench.queue()
    with pytest.raises(Stopped, match="the test stopped it"):
        bench.run(queued, stop=stop)
    assert bench.now(queued).status is Status.FAILED
    assert told(bench, "post_backup_script")["ERROR"] == "the test stopped it"
    assert ("pre_backup_retry_script", 1, Outcome.STOPPED) in outcomes(bench)


def test_after_a_stop_hooks_have_a_few_seconds_all_together(make: Make) -> None:
    bench, stop = make(ALL_OF_BACKUP), Stop()
    bench.tool.during = stop.set

    def hangs() -> int:
        bench.clock.moment += timedelta(seconds=LAST_WORDS_SECONDS)
        return 1

    bench.scripts.codes["post_backup_retry_script"] = [hangs]
    with pytest.raises(Stopped):
        bench.run(bench.queue(), stop=stop)
    assert bench.scripts.commands == ALL_OF_BACKUP[:3]
    assert outcomes(bench)[-1] == ("post_backup_retry_script", 1, Outcome.STOPPED)


def test_a_stop_in_a_hook_after_the_copy_leaves_the_backup_whole(make: Make) -> None:
    bench, stop = make(ALL_OF_BACKUP), Stop()

    def stopped() -> int:
        stop.set()
        return 0

    bench.scripts.codes["post_backup_retry_script"] = [stopped]
    assert bench.run(bench.queue(), stop=stop).status is Status.WAITING_FOR_WALS
    assert bench.scripts.commands == ALL_OF_BACKUP[:3]


def test_who_follows_sees_that_hooks_run(make: Make) -> None:
    bench, report = make(ALL_OF_BACKUP), Told()
    bench.take.run(bench.queue(), Order(), stop=Stop(), report=report)
    assert report.phases[1:3] == [Phase.AGREEING, Phase.CHECKPOINT]
    assert report.phases[-1] is Phase.HOOKS


def test_a_backup_that_a_hook_reads_is_not_deleted_under_it(make: Make) -> None:
    bench = make(["post_backup_script"])
    refused = []

    def deletes() -> int:
        (backup,) = bench.catalog.backups.of_server("main")
        with pytest.raises(Refused, match="post_backup") as caught:
            bench.delete.run(backup, actor="tester", stop=Stop())
        refused.append(caught.value)
        return 0

    bench.scripts.codes["post_backup_script"] = [deletes]
    bench.copied_backup()
    assert refused
    assert bench.catalog.holds.of_server("main") == set()


# -------------------------------------------------------------------------------------------- done
def test_the_hook_of_done_is_owed_with_done_and_run_once(make: Make) -> None:
    bench = make(["post_backup_done_retry_script", "post_backup_done_script"])
    backup = bench.done_backup()
    assert bench.catalog.hook_runs.owed("main") == [backup.id]
    assert bench.scripts.commands == []
    bench.hooks.pay_done(stop=Stop())
    assert bench.scripts.commands == ["post_backup_done_retry_script", "post_backup_done_script"]
    environment = told(bench, "post_backup_done_script")
    assert (environment["STATUS"], environment["BACKUP_ID"]) == ("DONE", backup.id)
    assert (environment["HOOK"], environment["PHASE"]) == ("backup_done_script", "post")
    bench.hooks.pay_done(stop=Stop())
    assert len(bench.scripts.commands) == 2
    assert bench.catalog.hook_runs.owed("main") == []


def test_what_a_stop_ended_is_still_owed(make: Make) -> None:
    bench, stop = make(["post_backup_done_script"]), Stop()

    def stopped() -> int:
        stop.set()
        return 0

    bench.scripts.codes["post_backup_done_script"] = [stopped, 0]
    backup = bench.done_backup()
    bench.hooks.pay_done(stop=stop)
    assert bench.catalog.hook_runs.owed("main") == [backup.id]
    bench.hooks.pay_done(stop=Stop())
    assert bench.catalog.hook_runs.owed("main") == []


def test_one_that_fails_is_paid_all_the_same(make: Make) -> None:
    bench = make(["post_backup_done_retry_script"])
    bench.scripts.codes["post_backup_done_retry_script"] = [1]
    bench.done_backup()
    bench.hooks.pay_done(stop=Stop())
    assert len(bench.scripts.commands) == 4
    assert bench.catalog.hook_runs.owed("main") == []


def test_a_deleted_backup_is_owed_nothing(make: Make) -> None:
    bench = make(["post_backup_done_script"])
    backup = bench.done_backup()
    bench.delete.run(backup, actor="tester", stop=Stop())
    assert bench.catalog.hook_runs.owed("main") == []
    bench.hooks.pay_done(stop=Stop())
    assert bench.scripts.commands == []


def test_a_backup_that_was_adopted_from_disk_is_owed_nothing(
    make: Make, tmp_path: Path, new_catalog: Callable[[], Catalog]
) -> None:
    make([]).done_backup()
    again = bench_over(new_catalog(), tmp_path / "home", hooks=["post_backup_done_script"])
    assert again.rebuild.run() == 1
    assert [each.status for each in again.catalog.backups.of_server("main")] == [Status.DONE]
    assert again.catalog.hook_runs.owed("main") == []


# ------------------------------------------------------------------------------------------ delete
OF_DELETE = ["pre_delete_retry_script", "post_delete_script"]


def test_a_veto_before_a_deletion_is_final(make: Make) -> None:
    bench = make(OF_DELETE)
    backup = bench.done_backup()
    wals = bench.archived()
    bench.scripts.codes["pre_delete_retry_script"] = [63]
    with pytest.raises(Refused, match=f"forbids the delete of {backup.id}"):
        bench.delete.run(backup, actor="tester", stop=Stop())
    assert bench.now(backup) == backup
    assert not bench.layout.delete_mark(backup.id).exists()
    bench.restart.go_on("main", stop=Stop())
    bench.prune.run(stop=Stop())
    assert bench.now(backup).status is Status.DONE
    assert backup_info.load(bench.layout, backup.id) == backup
    assert bench.archived() == wals
    assert bench.scripts.commands == ["pre_delete_retry_script"]


def test_hooks_around_a_deletion(make: Make) -> None:
    bench = make(["pre_delete_script", *OF_DELETE])
    first, second, third = (bench.done_backup() for _ in range(3))
    bench.delete.run(second, actor="tester", stop=Stop())
    assert bench.scripts.commands == ["pre_delete_script", *OF_DELETE]
    for name in ("pre_delete_script", "post_delete_script"):
        environment = told(bench, name)
        assert environment["STATUS"] == "DONE"
        assert (environment["PREVIOUS_ID"], environment["NEXT_ID"]) == (first.id, third.id)
        assert environment["ERROR"] == ""


def test_a_deletion_that_hooks_never_agreed_to_is_not_begun(make: Make) -> None:
    bench = make(OF_DELETE)
    backup = bench.done_backup()
    bench.scripts.codes["pre_delete_retry_script"] = [127]
    with pytest.raises(ToolFailed):
        bench.delete.run(backup, actor="tester", stop=Stop())
    assert bench.now(backup) == backup


def test_what_changed_while_hooks_ran_is_heeded(make: Make) -> None:
    """The guard is free meanwhile: a keep or a restore may come."""
    bench = make(OF_DELETE)
    backup = bench.done_backup()

    def kept() -> int:
        bench.layout.keep_mark(backup.id).write_text("full")
        return 0

    bench.scripts.codes["pre_delete_retry_script"] = [kept]
    with pytest.raises(Refused, match="is kept"):
        bench.delete.run(backup, actor="tester", stop=Stop())
    assert bench.now(backup).status is Status.DONE
    assert bench.scripts.commands == ["pre_delete_retry_script"]


def test_no_lock_is_held_while_a_deletions_hooks_run(make: Make) -> None:
    bench = make(OF_DELETE)
    backup, other = bench.done_backup(), bench.done_backup()
    looked = []

    def looks() -> int:
        looked.append(bench.archive.look_at(other).status)
        return 0

    bench.scripts.codes |= {"pre_delete_retry_script": [looks], "post_delete_script": [looks]}
    bench.delete.run(backup, actor="tester", stop=Stop())
    assert looked == [Status.DONE, Status.DONE]


def test_hooks_hear_why_a_deletion_failed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make(OF_DELETE)
    backup = bench.done_backup()

    def refuses(*_: object) -> None:
        raise NotFound("the disk is gone")

    monkeypatch.setattr("barmand.operations.delete.remove_tree", refuses)
    with pytest.raises(NotFound):
        bench.delete.run(backup, actor="tester", stop=Stop())
    assert told(bench, "post_delete_script")["ERROR"] == "the disk is gone"
    assert told(bench, "post_delete_script")["STATUS"] == "DONE"
    monkeypatch.undo()
    bench.restart.go_on("main", stop=Stop())
    assert told(bench, "post_delete_script")["ERROR"] == ""
    assert bench.scripts.commands.count("pre_delete_retry_script") == 1
    assert bench.catalog.backups.of_server("main") == []


# ----------------------------------------------------------------------------------------- archive
OF_ARCHIVE = ["pre_archive_script", "pre_archive_retry_script", "post_archive_script"]


def test_hooks_around_each_file_that_is_archived(
    tmp_path: Path, new_catalog: Callable[[], Catalog]
) -> None:
    bench = bench_over(
        new_catalog(), tmp_path / "home", hooks=OF_ARCHIVE, packing=packing_of(Packer.GZIP, 1)
    )
    bench.done_backup()
    bench.scripts.told.clear()
    source = lay_segment(bench.layout.incoming, 8)
    size = source.stat().st_size
    bench.pass_wal()
    assert bench.scripts.commands == OF_ARCHIVE
    before, after = told(bench, "pre_archive_script"), told(bench, "post_archive_script")
    place = bench.layout.wal(segment_name(8))
    assert (before["SEGMENT"], before["FILE"]) == (segment_name(8), str(source))
    assert (before["SIZE"], before["COMPRESSION"]) == (str(size), "")
    assert (after["FILE"], after["SIZE"]) == (str(place), str(place.stat().st_size))
    assert after["COMPRESSION"] == "gzip"
    assert float(after["TIMESTAMP"]) == place.stat().st_mtime
    assert after["ERROR"] == before["ERROR"] == ""
    assert "BACKUP_ID" not in after
    assert set(bench.scripts.limits[-3:]) == {10}


@pytest.mark.parametrize("code", [63, 127, 1])
def test_a_segment_that_a_hook_forbids_stays_and_the_pass_ends(make: Make, code: int) -> None:
    bench = make(OF_ARCHIVE)
    bench.done_backup()
    bench.scripts.told.clear()
    files = [lay_segment(bench.layout.incoming, number) for number in (8, 9)]
    bench.scripts.codes["pre_archive_retry_script"] = [code]
    with pytest.raises(Refused if code == 63 else ToolFailed, match=segment_name(8)):
        bench.pass_wal()
    assert all(path.exists() for path in files)
    assert set(bench.scripts.commands) == set(OF_ARCHIVE[:2])
    assert all(facts["BARMAN_SEGMENT"] == segment_name(8) for _, facts in bench.scripts.told)
    (event,) = bench.events("hook kept archive from beginning")
    assert event.facts["of"] == segment_name(8)
    with pytest.raises(Failure):
        bench.pass_wal()
    assert len(bench.events("hook kept archive from beginning")) == 1
    bench.scripts.codes.clear()
    bench.pass_wal()
    assert [path.exists() for path in files] == [False, False]


def test_a_pass_that_a_hook_ends_still_settles_backups(make: Make) -> None:
    bench = make(OF_ARCHIVE)
    backup = bench.copied_backup()
    bench.stream(*bench.needs(backup), 9)

    def forbids_the_last() -> int:
        return 63 if told(bench, "pre_archive_retry_script")["SEGMENT"] == segment_name(9) else 0

    bench.scripts.codes["pre_archive_retry_script"] = [forbids_the_last]
    with pytest.raises(Refused):
        bench.pass_wal()
    assert bench.now(backup).status is Status.DONE


def test_the_hook_after_hears_of_a_duplicate(make: Make) -> None:
    bench = make(OF_ARCHIVE)
    bench.done_backup()
    lay_segment(bench.layout.incoming, 8)
    bench.pass_wal()
    lay_segment(bench.layout.incoming, 8, fill=b"x")
    bench.pass_wal()
    assert "another content" in told(bench, "post_archive_script")["ERROR"]
    assert len(list(bench.layout.errors.iterdir())) == 1


def test_what_is_no_wal_is_no_hooks_concern(make: Make) -> None:
    bench = make(OF_ARCHIVE)
    bench.done_backup()
    bench.scripts.told.clear()
    (bench.layout.incoming / "letter.txt").write_text("dear")
    bench.pass_wal()
    assert bench.scripts.commands == []
    assert len(list(bench.layout.errors.iterdir())) == 1


def test_without_hooks_files_are_taken_in_groups(make: Make) -> None:
    bench = make(["post_backup_script"])
    assert type(bench.archive.take_in).__name__ == "TakeIn"


# -------------------------------------------------------------------------------------- wal_delete
OF_REMOVAL = ["pre_wal_delete_retry_script", "post_wal_delete_script"]


def before_prune(bench: Bench) -> list[str]:
    """The names of what is not needed: all before the newest backup, once the older one is gone."""
    bench.done_backup()
    bench.stream(*range(4, 8))
    bench.pass_wal()
    bench.postgres.lsn = 8 * bench.postgres.segment_size + 0x28
    bench.done_backup()
    return bench.archived()


def test_each_file_that_goes_is_asked_for_and_told_of(make: Make) -> None:
    bench = make(OF_REMOVAL)
    everything = before_prune(bench)
    first = bench.catalog.backups.of_server("main")[0]
    bench.delete.run(first, actor="tester", stop=Stop())
    gone = sorted(set(everything) - set(bench.archived()))
    assert gone == [segment_name(number) for number in range(3, 8)]
    assert bench.scripts.commands == OF_REMOVAL * len(gone)
    asked = [facts["BARMAN_SEGMENT"] for _, facts in bench.scripts.told]
    assert asked == [name for name in gone for _ in range(2)]
    path = bench.layout.wal(gone[-1])
    environment = told(bench, "post_wal_delete_script")
    assert environment["FILE"] == str(path)
    assert environment["SIZE"] == str(bench.postgres.segment_size)
    assert bench.catalog.wal_runs.count("main") == len(bench.archived())
    (event,) = bench.events("WAL removed")
    assert event.facts["segments"] == 5
    assert bench.prune.run(stop=Stop()) is False
    assert len(bench.scripts.commands) == 2 * len(gone)


def test_a_file_that_a_hook_forbids_stays_and_the_others_go(make: Make) -> None:
    bench = make(OF_REMOVAL)
    before_prune(bench)
    first = bench.catalog.backups.of_server("main")[0]
    spared = segment_name(5)

    def forbids_one() -> int:
        return 63 if told(bench, "pre_wal_delete_retry_script")["SEGMENT"] == spared else 0

    bench.scripts.codes["pre_wal_delete_retry_script"] = [forbids_one]
    removed = bench.delete.run(first, actor="tester", stop=Stop())
    assert removed == 4
    assert [name for name in bench.archived() if name < segment_name(8)] == [spared]
    assert bench.catalog.wal_runs.count("main") == len(bench.archived())
    assert len(bench.catalog.backups.of_server("main")) == 1
    bench.scripts.codes.clear()
    assert bench.prune.run(stop=Stop()) is False
    assert spared not in bench.archived()


def test_a_hook_that_is_broken_keeps_all_wal_but_not_the_deletion(make: Make) -> None:
    bench = make(OF_REMOVAL)
    everything = before_prune(bench)
    first = bench.catalog.backups.of_server("main")[0]
    bench.scripts.codes["pre_wal_delete_retry_script"] = [127]
    assert bench.delete.run(first, actor="tester", stop=Stop()) == 0
    assert bench.archived() == everything
    assert bench.scripts.commands == ["pre_wal_delete_retry_script"]
    assert len(bench.catalog.backups.of_server("main")) == 1


def test_what_became_needed_while_a_hook_ran_stays(make: Make) -> None:
    """The guard is free meanwhile, and a backup may begin."""
    bench = make(OF_REMOVAL)
    everything = before_prune(bench)
    first = bench.catalog.backups.of_server("main")[0]

    def begins() -> int:
        bench.queue()
        return 0

    bench.scripts.codes["pre_wal_delete_retry_script"] = [begins, 0]
    assert bench.delete.run(first, actor="tester", stop=Stop()) == 0
    assert bench.archived() == everything
    assert "post_wal_delete_script" not in bench.scripts.commands


def test_a_stop_in_such_a_hook_ends_the_pass(make: Make) -> None:
    bench, stop = make(OF_REMOVAL), Stop()
    before_prune(bench)
    first = bench.catalog.backups.of_server("main")[0]

    def stopped() -> int:
        stop.set()
        return 0

    bench.scripts.codes["pre_wal_delete_retry_script"] = [0, stopped, 0]
    with pytest.raises(Stopped):
        bench.delete.run(first, actor="tester", stop=stop)
    assert bench.now(first).status is Status.DELETING
    bench.restart.go_on("main", stop=Stop())
    assert len(bench.catalog.backups.of_server("main")) == 1
    assert bench.archived()[0] == segment_name(8)


# ---------------------------------------------------------------------------------------- recovery
OF_RECOVERY = ["pre_recovery_script", "pre_recovery_retry_script", "post_recovery_script"]


def test_hooks_around_a_restore(make: Make, tmp_path: Path) -> None:
    bench = make(OF_RECOVERY)
    backup = bench.done_backup()
    place = tmp_path / "restored"
    there = []
    bench.scripts.codes["pre_recovery_retry_script"] = [lambda: there.append(place.exists()) or 0]
    restore(bench, backup, place)
    assert there == [False]
    assert bench.scripts.commands == OF_RECOVERY
    environment = told(bench, "post_recovery_script")
    assert environment["DESTINATION_DIRECTORY"] == str(place)
    assert (environment["TABLESPACES"], environment["REMOTE_COMMAND"]) == ("", "")
    assert json.loads(environment["RECOVER_OPTIONS"]) == {"target_immediate": True}
    assert (environment["BACKUP_ID"], environment["ERROR"]) == (backup.id, "")


@pytest.mark.parametrize("code", [63, 127])
def test_a_restore_that_hooks_do_not_agree_to_touches_nothing(
    make: Make, tmp_path: Path, code: int
) -> None:
    bench = make(OF_RECOVERY)
    backup = bench.done_backup()
    bench.scripts.codes["pre_recovery_retry_script"] = [code]
    with pytest.raises((Refused, ToolFailed), match="recovery of"):
        restore(bench, backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    assert bench.scripts.commands == OF_RECOVERY[:2]
    assert bench.catalog.holds.of_server("main") == set()


def test_hooks_hear_why_a_restore_failed(make: Make, tmp_path: Path) -> None:
    bench = make(OF_RECOVERY)
    backup = bench.done_backup()
    place = tmp_path / "restored"

    def comes_between() -> int:
        place.mkdir()
        (place / "something").touch()
        return 0

    bench.scripts.codes["pre_recovery_retry_script"] = [comes_between]
    with pytest.raises(Refused, match="not empty any more"):
        restore(bench, backup, place)
    assert "not empty any more" in told(bench, "post_recovery_script")["ERROR"]


# --------------------------------------------------------------------------------------- in common
def test_success_is_told_at_debug(make: Make) -> None:
    bench = make(["pre_backup_script"])
    with capture_logs() as logs:
        bench.copied_backup()
    (line,) = [each for each in logs if each["event"] == "hook run"]
    assert (line["log_level"], line["output"]) == ("debug", "said by pre_backup_script")


def test_hooks_run_though_the_state_file_takes_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(ALL_OF_BACKUP)

    def full(*_: object, **__: object) -> int:
        raise StorageFailed("state database: full")

    monkeypatch.setattr(HookRuns, "begin", full)
    assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    assert bench.scripts.commands == ALL_OF_BACKUP


def names(bench: Bench, level: Level = Level.FAILED) -> set[str]:
    return {each.name for each in bench.check.report(Stop()) if each.level is level}


def test_the_check_tells_of_hooks_that_hold_wal_back_or_cannot_be_run(make: Make) -> None:
    bench = make([*OF_ARCHIVE, "pre_wal_delete_retry_script"])
    bench.scripts.codes["pre_archive_retry_script"] = [63, 0]
    backup = bench.copied_backup()
    bench.stream(*bench.needs(backup))
    assert names(bench) == set()
    with pytest.raises(Refused):
        bench.pass_wal()
    assert names(bench) == {"pre_archive_retry_script"}
    assert "WAL is held back" in str(bench.check.report(Stop()))
    bench.pass_wal()
    assert names(bench) == set()
    bench.scripts.doubts = dict.fromkeys(OF_ARCHIVE, "there is no file")
    assert names(bench) == {"pre_archive_retry_script"}
    assert names(bench, Level.WARNING) == {"pre_archive_script", "post_archive_script"}


def test_without_the_program_that_must_agree_no_backup_begins_and_the_check_says_so(
    make: Make,
) -> None:
    bench = make([*ALL_OF_BACKUP, "pre_delete_retry_script"])
    bench.scripts.doubts = dict.fromkeys(
        [*ALL_OF_BACKUP, "pre_delete_retry_script"], "there is no file /nowhere"
    )
    found = [each for each in bench.check.report(Stop()) if not each.is_ok]
    assert {each.name for each in found if each.level is Level.FAILED} == {
        "pre_backup_retry_script",
        "pre_delete_retry_script",
    }
    assert [each.name for each in found if each.keeps_from_backup] == ["pre_backup_retry_script"]
    with pytest.raises(CheckFailed, match="pre_backup_retry_script: there is no file /nowhere"):
        bench.run(bench.queue())
    assert bench.scripts.commands == []


def warning(bench: Bench, name: str) -> str | None:
    found = [each for each in bench.check.report(Stop()) if each.name == name and not each.is_ok]
    assert all(each.level is Level.WARNING for each in found)
    return found[0].hint if found else None


def test_the_check_counts_the_wal_that_a_hook_keeps(make: Make) -> None:
    name = "pre_wal_delete_retry_script"
    bench = make(OF_REMOVAL)
    everything = before_prune(bench)
    first = bench.catalog.backups.of_server("main")[0]
    bench.scripts.codes[name] = [63]
    bench.delete.run(first, actor="tester", stop=Stop())
    assert names(bench) == set()
    forbidden = bench.scripts.commands.count(name)
    assert forbidden > 1
    words = f"{forbidden} WAL segments that nobody needs stay because {name} forbids their removal"
    assert str(warning(bench, name)).startswith(words)
    bench.prune.run(stop=Stop())
    assert len(bench.events("WAL kept by a hook")) == 1
    assert bench.events("hook kept wal_delete from beginning") == []
    bench.scripts.codes[name] = [127]
    bench.prune.run(stop=Stop())
    assert "WAL that nobody needs is kept" in str(warning(bench, name))
    bench.scripts.codes[name] = [63, 0]
    bench.prune.run(stop=Stop())
    assert str(warning(bench, name)).startswith("1 WAL segment that nobody needs stays because")
    assert len(bench.archived()) < len(everything)
    bench.prune.run(stop=Stop())
    assert warning(bench, name) is None


def test_retention_asks_the_hook_before_each_deletion_and_again_the_next_time(
    tmp_path: Path, new_catalog: Callable[[], Catalog]
) -> None:
    bench = bench_over(
        new_catalog(),
        tmp_path / "home",
        hooks=OF_DELETE,
        rules=Rules(policy=Redundancy(1)),
    )
    bench.scripts.codes["pre_delete_retry_script"] = [63, 127, 0]
    first, second = bench.done_backup(), bench.done_backup()
    for passes in (1, 2):
        assert bench.pass_retention() == 0
        assert bench.now(first) == first
        assert bench.scripts.commands == ["pre_delete_retry_script"] * passes
    assert len(bench.events("backup not expired")) == 2
    assert bench.pass_retention() == 1
    assert bench.catalog.backups.of_server("main") == [second]
    assert bench.scripts.commands[-1] == "post_delete_script"
