"""From QUEUED to WAITING_FOR_WALS, or to FAILED with the reason."""

import json
from dataclasses import replace

import pytest

from barmand.model.backup import Status, Tablespace
from barmand.model.errors import CheckFailed, Refused, Stopped, ToolFailed
from barmand.model.order import Order
from barmand.model.progress import Phase
from barmand.storage import backup_info
from fakes import MB, Bench, FakePostgres, Stop, Told


def test_a_backup_is_copied_and_waits_for_its_wal(bench: Bench) -> None:
    backup = bench.run(bench.queue("nightly"))
    assert backup.status is Status.WAITING_FOR_WALS
    assert backup == bench.now(backup) == backup_info.load(bench.layout, backup.id)
    assert (bench.layout.data(backup.id) / "global/pg_control").is_file()
    assert bench.rung == ["archive"]


def test_its_facts_are_those_of_the_server_and_of_the_copy(bench: Bench) -> None:
    backup = bench.run(bench.queue())
    assert backup.cluster == bench.postgres.facts()
    assert backup.copied is not None
    assert backup.copied.begin_lsn == 3 * MB + 0x28
    assert backup.copied.end_lsn == 3 * MB + 0x128
    assert backup.copied.timeline == 1
    assert backup.copied.size > 0
    assert backup.copied.copy_seconds > 0
    assert backup.copied.begin_time < backup.copied.end_time
    assert backup.started_at is not None
    assert backup.copied_at is not None


def test_every_phase_is_told_in_order(bench: Bench) -> None:
    told = Told()
    bench.take.run(bench.queue(), Order(), stop=Stop(), report=told)
    assert told.phases == [
        Phase.CHECKING,
        Phase.CHECKPOINT,
        Phase.COPYING,
        Phase.SYNCING,
        Phase.CLOSING,
    ]


def test_each_status_leaves_an_event(bench: Bench) -> None:
    backup = bench.done_backup()
    kinds = [event.kind for event in bench.catalog.events.of_server("main")]
    assert kinds == [f"backup {status}" for status in (*Status,)[:4]]
    assert backup.status is Status.DONE


def test_the_first_backup_marks_the_home_with_its_cluster(bench: Bench) -> None:
    bench.copied_backup()
    assert backup_info.load_identity(bench.layout) == (bench.postgres.system_id, 150_000)
    assert bench.catalog.servers.system_id("main") == bench.postgres.system_id


def test_an_identity_that_is_there_is_not_written_again(bench: Bench) -> None:
    text = json.dumps({"systemid": bench.postgres.system_id, "version": "14"})
    bench.layout.identity.write_text(text)
    bench.copied_backup()
    assert bench.layout.identity.read_text() == text


def test_the_last_segment_of_an_idle_server_is_closed(bench: Bench) -> None:
    bench.tool.closes_segment = False
    backup = bench.copied_backup()
    assert bench.postgres.closed == bench.needs(backup)[-1:]


def test_a_segment_that_the_backup_closed_is_not_closed_again(bench: Bench) -> None:
    bench.copied_backup()
    bench.copied_backup()
    assert bench.postgres.closed == []


def test_a_standby_cannot_close_segments_and_is_not_asked_to(bench: Bench) -> None:
    bench.postgres.is_standby = True
    bench.tool.closes_segment = False
    assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    assert bench.postgres.closed == []


def test_a_server_that_is_not_ready_fails_the_backup_with_every_finding(bench: Bench) -> None:
    bench.postgres.wal_level = "minimal"
    bench.tool.major = 12
    queued = bench.queue()
    with pytest.raises(
        CheckFailed, match="wal_level: minimal; pg_basebackup compatible: version 12"
    ):
        bench.run(queued)
    failed = bench.now(queued)
    assert failed.status is Status.FAILED
    assert failed.reason is not None
    assert failed.reason.code == "CheckFailed"
    assert backup_info.load(bench.layout, queued.id) is None
    assert not bench.layout.backup(queued.id).exists()


def test_a_copy_that_fails_is_told_in_the_row_and_beside_the_backup(bench: Bench) -> None:
    bench.tool.troubles = [ToolFailed("connection lost", hint="its last words")]
    queued = bench.queue()
    with pytest.raises(ToolFailed, match="connection lost"):
        bench.run(queued)
    failed = bench.now(queued)
    assert failed.status is Status.FAILED
    assert failed.reason is not None
    assert (failed.reason.message, failed.reason.hint) == ("connection lost", "its last words")
    assert backup_info.load(bench.layout, queued.id) == failed
    assert bench.rung == []


def test_a_bug_fails_the_backup_too_and_goes_on_upward(bench: Bench) -> None:
    bench.tool.troubles = [ZeroDivisionError("oh")]
    queued = bench.queue()
    with pytest.raises(ZeroDivisionError):
        bench.run(queued)
    reason = bench.now(queued).reason
    assert reason is not None
    assert reason.code == "Bug"
    assert "ZeroDivisionError" in reason.message


def test_a_stop_in_mid_copy_is_the_reason(bench: Bench) -> None:
    stop = Stop()
    bench.tool.during = stop.set
    queued = bench.queue()
    with pytest.raises(Stopped):
        bench.run(queued, stop=stop)
    reason = bench.now(queued).reason
    assert reason is not None
    assert (reason.code, reason.message) == ("Stopped", "the test stopped it")


def test_a_stop_that_comes_after_the_copy_stops_all_the_same(bench: Bench) -> None:
    stop, told = Stop(), Told()
    told.also = lambda phase: stop.set() if phase is Phase.SYNCING else None
    queued = bench.queue()
    with pytest.raises(Stopped):
        bench.take.run(queued, Order(), stop=stop, report=told)
    assert bench.now(queued).status is Status.FAILED
    assert bench.postgres.closed == []


def test_a_segment_that_cannot_be_closed_leaves_a_whole_copy_waiting(bench: Bench) -> None:
    bench.postgres.silent = {"close_segment"}
    bench.tool.closes_segment = False
    backup = bench.copied_backup()
    assert backup.status is Status.WAITING_FOR_WALS
    (event,) = bench.events("last segment not closed")
    assert event.backup_id == backup.id
    assert "was not closed on main: connection to main: nobody answers" in str(event.facts["error"])
    assert "pg_switch_wal()" in str(event.facts["hint"])
    bench.postgres.switch()
    bench.stream(*bench.needs(backup))
    bench.pass_wal()
    assert bench.now(backup).status is Status.DONE


def with_primary(bench: Bench) -> tuple[Bench, FakePostgres]:
    """Its server is a standby of this primary."""
    bench.postgres.is_standby = True
    bench.tool.closes_segment = False
    primary = FakePostgres()
    closing = replace(bench.take.closing, primary=primary)
    return replace(bench, take=replace(bench.take, closing=closing)), primary


def test_the_last_segment_of_a_standby_is_closed_by_its_primary(bench: Bench) -> None:
    bench, primary = with_primary(bench)
    assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    assert (len(primary.closed), bench.postgres.closed) == (1, [])


def test_a_primary_that_is_away_is_named_as_such(bench: Bench) -> None:
    bench, primary = with_primary(bench)
    primary.silent = {"close_segment"}
    assert bench.copied_backup().status is Status.WAITING_FOR_WALS
    (event,) = bench.events("last segment not closed")
    assert "was not closed on the primary of main" in str(event.facts["error"])


def test_a_standby_whose_primary_is_not_known_waits_with_a_hint(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.postgres.is_standby = True
    told = Told()
    tell = bench.take.closing.heeding(bench.copied_backup(), told)
    tell(Phase.WAITING_FOR_WAL, None, None)
    assert told.phases == [Phase.WAITING_FOR_WAL]
    assert "primary_conninfo" in capsys.readouterr().out


def test_the_primary_switches_while_a_standby_waits_for_its_own_archive(bench: Bench) -> None:
    bench, primary = with_primary(bench)
    told = Told()
    tell = bench.take.closing.heeding(bench.copied_backup(), told)
    before = len(primary.closed)
    tell(Phase.COPYING, 1, 2)
    assert len(primary.closed) == before
    primary.write()
    tell(Phase.WAITING_FOR_WAL, None, None)
    assert len(primary.closed) == before + 1
    assert told.phases == [Phase.COPYING, Phase.WAITING_FOR_WAL]


def test_a_second_backup_is_refused_while_one_is_under_way(bench: Bench) -> None:
    def second() -> None:
        with pytest.raises(Refused, match="already STARTED"):
            bench.queue()

    bench.tool.during = second
    bench.run(bench.queue())
    assert len(bench.catalog.backups.of_server("main")) == 1


def test_after_a_failure_the_next_backup_is_taken(bench: Bench) -> None:
    bench.tool.troubles = [ToolFailed("once")]
    with pytest.raises(ToolFailed):
        bench.run(bench.queue())
    assert bench.done_backup().status is Status.DONE


def test_a_tablespace_without_a_place_of_its_own_is_refused_by_name(bench: Bench) -> None:
    bench.postgres.tablespaces = (
        Tablespace("fine", 76, "/srv/fine"),
        Tablespace("odd", 77, "pg_tblspc/77"),
    )
    queued = bench.queue()
    with pytest.raises(Refused, match="tablespace 'odd' has no place of its own"):
        bench.run(queued)
    assert bench.now(queued).status is Status.FAILED
    assert not bench.layout.backup(queued.id).exists()
