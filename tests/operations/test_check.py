"""Is the server ready? Every finding, failing one by one; and never an exception."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from barmand.model.errors import CheckFailed, Stopped, ToolFailed
from barmand.model.finding import Finding, Level, demand, failed, passed
from barmand.model.order import Order
from barmand.operations.check import Check
from barmand.operations.flow import Flow, Pulse
from barmand.operations.inquiry import SILENT
from barmand.outside.postgres import Slot
from barmand.outside.readiness import Readiness
from fakes import Bench, FakePostgres, FakeProgram, Stop, segment_name

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
SLOT = "barman"
PAUSING = Flow(Pulse.TRYING, "pausing: it was cut")
BEGINNING = Flow(Pulse.BEGINNING, "starting")
STOPPED = Flow(Pulse.STOPPED, "stopped")
FLOWING = Flow(Pulse.FLOWING, "streaming")


def obstacles(check: Check) -> list[str]:
    """What keeps a backup from being taken."""
    return [each.name for each in check.obstacles(Stop()) if each.keeps_from_backup]


def amiss(check: Check) -> dict[str, Level]:
    """Everything that is not OK, and how bad it is."""
    return {each.name: each.level for each in check.report(Stop()) if not each.is_ok}


def finding(check: Check, name: str) -> Finding:
    (found,) = (finding for finding in check.report(Stop()) if finding.name == name)
    return found


@pytest.fixture
def streaming(bench: Bench) -> Check:
    """A server whose WAL is streamed with a slot."""
    bench.postgres.slots[SLOT] = Slot(is_active=True, has_reserved_wal=True)
    return replace(bench.check, slot_name=SLOT, receiver=FakeProgram())


@pytest.fixture
def pushing(bench: Bench) -> Check:
    """A server that pushes its WAL."""
    return replace(bench.check, receiver=None)


OK, WARNING, FAILED = Level


@pytest.fixture(autouse=True)
def fresh(bench: Bench) -> None:
    """The archive holds something, as that of every server that has been at work for a while."""
    bench.stream(0)
    bench.pass_wal()


def test_a_server_that_is_ready_fails_nothing(
    bench: Bench, streaming: Check, pushing: Check
) -> None:
    assert amiss(bench.check) == amiss(streaming) == amiss(pushing) == {}
    assert obstacles(bench.check) == obstacles(streaming) == obstacles(pushing) == []


def test_each_way_of_wal_has_its_own_findings(streaming: Check, pushing: Check) -> None:
    server = [
        "directories",
        "PostgreSQL",
        "superuser or standard user with backup privileges",
        "PostgreSQL version",
        "wal_level",
        "data checksums",
        "clock",
    ]
    tools = ["systemid coherence", "pg_basebackup", "pg_basebackup compatible"]
    archiving = ["archive_command", "continuous archiving", "max_wal_senders"]
    assert [each.name for each in pushing.obstacles(Stop())] == [
        *server,
        "archive_mode",
        *archiving,
        "PostgreSQL streaming",
        *tools,
    ]
    assert [each.name for each in streaming.obstacles(Stop())] == [
        *server,
        *archiving,
        "PostgreSQL streaming",
        "receive-wal running",
        "replication slot",
        "replication slot WAL",
        *tools,
        "pg_receivexlog",
        "pg_receivexlog compatible",
    ]


def test_what_keeps_no_backup_from_being_taken_is_only_reported(streaming: Check) -> None:
    names = {each.name for each in streaming.obstacles(Stop())}
    assert [each.name for each in streaming.report(Stop()) if each.name not in names] == [
        "free space",
        "backups on disk",
        "archiver errors",
        "backup maximum age",
        "minimum redundancy requirements",
        "retention policy settings",
        "damaged backups",
        "failed backups",
        "waiting backups",
        "retention",
        "WAL archive",
        "WAL gaps",
    ]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"version": 120_022}, "PostgreSQL version", "120022, of at least 130000"),
        ({"wal_level": "minimal"}, "wal_level", "minimal"),
        (
            {"switches_wal": False},
            "privilege pg_switch_wal",
            "in database postgres run: GRANT EXECUTE ON FUNCTION pg_switch_wal() TO barman",
        ),
        (
            {"reads_settings": False},
            "privilege pg_read_all_settings",
            "run: GRANT pg_read_all_settings TO barman",
        ),
        ({"streaming_system_id": "666"}, "systemid coherence", "streaming_conninfo says 666"),
        ({"version": 160_001}, "pg_basebackup compatible", "version 15, server version 16: too"),
        ({"archive_mode": "off"}, "archive_mode", "it is off"),
        ({"archive_command": ""}, "archive_command", "until its disk is full"),
        ({"archive_command": "(disabled)"}, "archive_command", "until its disk is full"),
        ({"archive_command": "/bin/true"}, "archive_command", "nobody has it"),
        ({"archiving_fails": True}, "continuous archiving", f"fails at {segment_name(3)}"),
    ],
)
def test_what_the_server_lacks_keeps_a_backup_from_being_taken(
    bench: Bench, pushing: Check, change: dict[str, object], name: str, words: str
) -> None:
    for option, value in change.items():
        setattr(bench.postgres, option, value)
    assert obstacles(pushing) == [name]
    assert amiss(pushing) == {name: FAILED}
    assert words in finding(pushing, name).hint


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (
            {"reads_stats": False},
            "privilege pg_read_all_stats",
            "GRANT pg_read_all_stats TO barman",
        ),
        ({"checkpoints": False}, "privilege pg_checkpoint", "GRANT pg_checkpoint TO barman"),
        ({"lists_wal": False}, "privilege pg_ls_waldir", "FUNCTION pg_ls_waldir() TO barman"),
        ({"archive_command": "true"}, "archive_command", "takes its WAL for archived"),
        ({"most_senders": 3, "senders": 3}, "max_wal_senders", "0 of 3 free, 1 needed"),
    ],
)
def test_what_is_not_needed_for_a_backup_is_a_warning(
    bench: Bench, streaming: Check, change: dict[str, object], name: str, words: str
) -> None:
    for option, value in change.items():
        setattr(bench.postgres, option, value)
    assert amiss(streaming) == {name: WARNING}
    assert obstacles(streaming) == []
    assert words in finding(streaming, name).hint


def test_rights_that_this_server_is_not_asked_for_are_not_missed(
    bench: Bench, pushing: Check
) -> None:
    bench.postgres.starts_backups = bench.postgres.lists_wal = False
    bench.postgres.checkpoints = None  # as before PostgreSQL 15
    assert amiss(pushing) == {}


def test_without_checksums_is_a_note(bench: Bench, streaming: Check) -> None:
    bench.postgres.data_checksums = "off"
    assert amiss(streaming) == {}
    assert "cannot be told" in finding(streaming, "data checksums").hint


@pytest.mark.parametrize(("mode", "is_ok"), [("on", True), ("always", True), ("off", False)])
def test_archive_mode_counts_where_wal_is_only_pushed(
    bench: Bench, pushing: Check, streaming: Check, *, mode: str, is_ok: bool
) -> None:
    bench.postgres.archive_mode = mode
    assert finding(pushing, "archive_mode").is_ok is is_ok
    assert amiss(streaming) == {}


def test_a_standby_is_a_note_and_need_not_switch_wal(bench: Bench, pushing: Check) -> None:
    bench.postgres.is_standby = True
    bench.postgres.switches_wal = False
    bench.postgres.checkpoints = False
    assert amiss(pushing) == {}
    assert finding(pushing, "PostgreSQL server is standby").is_ok


@pytest.mark.parametrize(
    ("seconds", "level", "words"),
    [
        (0, OK, "as ours"),
        (20, OK, "apart from ours"),
        (-20, OK, "apart from ours"),
        (3600, WARNING, "s ahead of ours, of at most 30"),
        (-3600, WARNING, "s behind ours, of at most 30"),
    ],
)
def test_the_clocks_are_compared(
    bench: Bench, streaming: Check, seconds: int, level: Level, words: str
) -> None:
    bench.postgres.shown = lambda: bench.clock.moment + timedelta(seconds=seconds)
    found = finding(streaming, "clock")
    assert found.level is level
    assert words in found.hint


@pytest.mark.parametrize(
    ("program", "name"), [("tool", "pg_basebackup"), ("receiver", "pg_receivexlog")]
)
def test_a_missing_program_is_a_finding_with_its_hint(
    bench: Bench, streaming: Check, program: str, name: str
) -> None:
    gone = ToolFailed(f"program not found: {program}", hint="Install it.")
    check = streaming
    if program == "tool":
        bench.tool.major = gone
    else:
        check = replace(streaming, receiver=FakeProgram(gone))
    assert obstacles(check) == [name]
    assert finding(check, name).hint == f"program not found: {program} (Install it.)"


def test_a_newer_program_is_fine(bench: Bench, streaming: Check) -> None:
    bench.tool.major = 17
    assert amiss(streaming) == {}


def test_a_backup_may_say_how_long_its_check_waits(bench: Bench) -> None:
    bench.run(bench.queue(), Order(check_seconds=7))
    assert set(bench.postgres.patience) == {7}


# ---------------------------------------------------------------------------------- the WAL stream


def test_a_missing_slot_is_a_finding(bench: Bench, streaming: Check) -> None:
    bench.postgres.slots.clear()
    assert obstacles(streaming) == ["replication slot"]
    assert "does not exist" in finding(streaming, "replication slot").hint


def test_a_missing_slot_for_which_there_is_no_room(bench: Bench, streaming: Check) -> None:
    bench.postgres.slots.clear()
    bench.postgres.most_slots = 0
    assert amiss(streaming) == {"replication slot": FAILED, "max_replication_slots": FAILED}


def test_the_slot_is_looked_for_where_wal_comes_from(bench: Bench, streaming: Check) -> None:
    """With a backup of the standby and WAL of the primary, that is the primary."""
    bench.postgres.slots.clear()
    source = FakePostgres(slots={SLOT: Slot(is_active=True, has_reserved_wal=True)})
    assert obstacles(replace(streaming, wal_server=source)) == []


def test_wal_of_another_cluster_is_a_finding(streaming: Check) -> None:
    source = FakePostgres(
        system_id="666", slots={SLOT: Slot(is_active=True, has_reserved_wal=True)}
    )
    check = replace(streaming, wal_server=source)
    assert obstacles(check) == ["systemid coherence"]
    assert "wal_conninfo says 666" in finding(check, "systemid coherence").hint


def test_rights_are_looked_for_where_they_are_needed(bench: Bench, streaming: Check) -> None:
    bench.postgres.lists_wal = False
    source = FakePostgres(
        lists_wal=False, slots={SLOT: Slot(is_active=True, has_reserved_wal=True)}
    )
    check = replace(streaming, wal_server=source)
    assert amiss(check) | {"clock": WARNING} == {
        "privilege pg_ls_waldir": WARNING,
        "clock": WARNING,
    }
    assert finding(check, "privilege pg_ls_waldir").hint.startswith("wal_conninfo: ")


def test_a_slot_that_reserves_no_wal_is_a_finding(bench: Bench, streaming: Check) -> None:
    bench.postgres.slots[SLOT] = Slot(is_active=False, has_reserved_wal=False, wal_status="lost")
    assert obstacles(streaming) == ["replication slot"]
    assert "reserves no WAL (lost)" in finding(streaming, "replication slot").hint


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (STOPPED, "nobody fetches from it; `barmanctl receive-wal main --start`"),
        (PAUSING, "the receiver does not stream yet; `receive-wal running` says why"),
        (FLOWING, "`barmanctl receive-wal main` tells"),
    ],
)
def test_a_slot_that_nobody_reads_is_a_warning(
    bench: Bench, streaming: Check, flow: Flow, words: str
) -> None:
    bench.postgres.slots[SLOT] = Slot(is_active=False, has_reserved_wal=True)
    found = finding(replace(streaming, receiving=lambda: flow), "replication slot")
    assert found.level is WARNING
    assert found.hint.startswith("barman is not active: ")
    assert words in found.hint


@pytest.mark.parametrize(
    ("makes", "flow", "words"),
    [
        (True, STOPPED, "is stopped; `barmanctl receive-wal main --start` starts it"),
        (True, PAUSING, "when it begins; `barmanctl receive-wal main --create-slot` does so now"),
        (False, STOPPED, ": `barmanctl receive-wal main --create-slot` makes it"),
    ],
)
def test_a_missing_slot_has_a_way_out(
    bench: Bench, streaming: Check, makes: bool, flow: Flow, words: str
) -> None:
    bench.postgres.slots.clear()
    check = replace(streaming, makes_slot=makes, receiving=lambda: flow)
    found = finding(check, "replication slot")
    assert (found.level, found.keeps_from_backup) == (FAILED, True)
    assert words in found.hint


def test_a_receiver_that_begins_is_no_alarm(bench: Bench, streaming: Check) -> None:
    check = replace(streaming, receiving=lambda: BEGINNING)
    assert amiss(check) == {"receive-wal running": WARNING}
    check = replace(bench.check, receiving=lambda: BEGINNING)
    assert amiss(check) == {"receive-wal running": WARNING}
    assert obstacles(check) == ["receive-wal running"]  # for no slot keeps what it misses


MIB = 1 << 20
GIB = 1 << 30
ACTIVE = True


def kept(is_active: bool, wal_status: str, held: int, safe: int | None = None) -> Slot:
    return Slot(
        is_active, has_reserved_wal=True, wal_status=wal_status, held_bytes=held, safe_bytes=safe
    )


@pytest.mark.parametrize(
    ("slot", "level", "words"),
    [
        (kept(ACTIVE, "reserved", 3 * MIB), OK, "reserved, 3 MiB kept for it"),
        (kept(not ACTIVE, "reserved", -5), OK, "reserved, 0 MiB kept for it"),
        (kept(ACTIVE, "extended", 7 * GIB), OK, "extended, 7168 MiB kept for it"),
        (kept(ACTIVE, "extended", 9 * GIB), WARNING, "more than half of what it may keep"),
        (kept(ACTIVE, "extended", 14 * GIB), FAILED, "nobody fetches"),
        (kept(not ACTIVE, "extended", 900 * MIB), FAILED, "nobody fetches"),
        (kept(ACTIVE, "unreserved", 900 * MIB, -MIB), FAILED, "lost after -1 MiB more"),
        (kept(ACTIVE, "extended", 85 * MIB, 15 * MIB), FAILED, "lost after 15 MiB more"),
        (kept(ACTIVE, "extended", 55 * MIB, 45 * MIB), WARNING, "lost after 45 MiB more"),
        (kept(not ACTIVE, "extended", 50 * MIB, 50 * MIB), OK, "lost after 50 MiB more"),
    ],
)
def test_what_the_slot_keeps_is_an_alarm_before_it_is_a_danger(
    bench: Bench, streaming: Check, slot: Slot, level: Level, words: str
) -> None:
    bench.postgres.slots[SLOT] = slot
    found = finding(streaming, "replication slot WAL")
    assert (found.level, found.keeps_from_backup) == (level, False)
    assert words in found.hint
    assert found.measure is not None
    assert found.measure.value == max(0, slot.held_bytes or 0)


def test_a_stream_that_rests_is_an_alarm_but_keeps_no_backup_from_being_taken(
    bench: Bench, streaming: Check
) -> None:
    check = replace(streaming, receiving=lambda: PAUSING)
    assert amiss(check) == {"receive-wal running": FAILED}
    assert finding(check, "receive-wal running").hint == "pausing: it was cut"
    demand("main", check.obstacles(Stop()))
    assert bench.queue()


def test_a_stream_that_rests_needs_room_to_come_back(bench: Bench, streaming: Check) -> None:
    bench.postgres.most_senders, bench.postgres.senders = 5, 4
    assert amiss(streaming) == {}
    check = replace(streaming, receiving=lambda: PAUSING)
    assert amiss(check) == {"receive-wal running": FAILED, "max_wal_senders": WARNING}


def test_without_a_slot_wal_must_flow_now(bench: Bench) -> None:
    check = replace(bench.check, receiving=lambda: PAUSING)
    assert obstacles(check) == ["receive-wal running"]
    with pytest.raises(CheckFailed, match="receive-wal running: pausing"):
        demand("main", check.obstacles(Stop()))


# ------------------------------------------------------------------------------ a standby's primary


def test_the_primary_must_be_one_and_of_the_same_cluster(bench: Bench, streaming: Check) -> None:
    bench.postgres.is_standby = True
    check = replace(streaming, primary=bench.postgres)
    assert amiss(check) == {"primary is not standby": WARNING}
    check = replace(streaming, primary=FakePostgres(system_id="666"))
    assert obstacles(check) == ["systemid coherence"]
    assert "primary_conninfo says 666" in finding(check, "systemid coherence").hint
    assert amiss(replace(streaming, primary=FakePostgres())) == {}


def test_a_primary_that_cannot_be_asked_keeps_no_backup_from_being_taken(streaming: Check) -> None:
    for primary, name in (
        (FakePostgres(silent={"readiness"}), "primary_conninfo"),
        (FakePostgres(switches_wal=False), "privilege pg_switch_wal"),
    ):
        check = replace(streaming, primary=primary)
        assert amiss(check) == {name: FAILED}
        assert obstacles(check) == []


# --------------------------------------------------------------------------------- nobody answers


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("readiness", ["PostgreSQL"]),
        ("identify", ["PostgreSQL streaming"]),
        ("slot", ["replication slot"]),
    ],
)
def test_a_question_that_nobody_answers_is_a_finding(
    bench: Bench, streaming: Check, question: str, names: list[str]
) -> None:
    bench.postgres.silent = {question}
    assert obstacles(streaming) == list(amiss(streaming)) == names


@dataclass
class Frozen(FakePostgres):
    """It takes every question, and answers none until it is thawed."""

    thawed: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def readiness(self) -> Readiness:
        self.asked.append("readiness")
        self.thawed.wait()
        return FakePostgres.readiness(self)


@pytest.fixture
def frozen() -> Iterator[Frozen]:
    server = Frozen()
    yield server
    server.thawed.set()


def test_a_server_that_is_frozen_fails_its_own_item_and_the_rest_goes_on(
    streaming: Check, frozen: Frozen
) -> None:
    check = replace(streaming, postgres=frozen, slot_name=None, seconds=1)
    assert amiss(check) == {"PostgreSQL": FAILED}
    found = finding(check, "PostgreSQL")
    assert found == failed("PostgreSQL", f"timed out after 1 s: {SILENT}", keeps_from_backup=True)
    assert len(frozen.asked) == 1, "who comes later waits in line, and asks nothing"


def test_a_server_that_thaws_is_asked_again(streaming: Check, frozen: Frozen) -> None:
    check = replace(streaming, postgres=frozen, slot_name=None, seconds=1)
    assert obstacles(check) == ["PostgreSQL"]
    frozen.thawed.set()
    assert obstacles(replace(check, seconds=60)) == []


def test_what_stands_in_line_behind_a_dead_disk_is_named(
    streaming: Check, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    dead = threading.Event()
    request.addfinalizer(dead.set)
    monkeypatch.setattr(
        "barmand.operations.check.complaint", lambda *_args, **_more: dead.wait() and None
    )
    check = replace(streaming, seconds=1)
    found = {each.name: each.hint for each in check.report(Stop()) if not each.is_ok}
    later = "not looked at, for directories gave no answer"
    assert found == {
        "directories": f"timed out after 1 s: {SILENT}",
        "free space": later,
        "backups on disk": later,
        "archiver errors": later,
        "incoming WALs directory": later,
    }
    assert finding(check, "PostgreSQL").is_ok


def test_a_check_that_is_stopped_waits_for_nobody(streaming: Check, frozen: Frozen) -> None:
    with pytest.raises(Stopped, match="the test stopped it"):
        replace(streaming, postgres=frozen).report(Stop(after=1))


def test_an_item_that_we_cannot_judge_costs_only_itself(
    bench: Bench, streaming: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(bench.wals.layout), "identity", property(lambda _self: 1 / 0))
    assert amiss(streaming) == {"directories": FAILED}
    assert "a fault of barmand" in finding(streaming, "directories").hint


# --------------------------------------------------------------------------- one and the same disk


def test_a_home_of_another_cluster_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.layout.identity.write_text(json.dumps({"systemid": "666", "version": "15"}))
    assert obstacles(pushing) == ["systemid coherence"]
    assert f"{bench.layout.identity} says 666" in finding(pushing, "systemid coherence").hint


def test_a_catalogue_that_knows_another_cluster_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.layout.identity.write_text(
        json.dumps({"systemid": bench.postgres.system_id, "version": "15"})
    )
    bench.catalog.servers.know("main", now=bench.clock(), system_id="666")
    assert obstacles(pushing) == ["systemid coherence"]
    assert "the catalogue says 666" in finding(pushing, "systemid coherence").hint


def test_a_home_that_is_not_mounted_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.done_backup()
    shutil.rmtree(bench.layout.home)
    bench.layout.home.mkdir()
    assert obstacles(pushing) == ["directories"]
    assert "is its file system mounted?" in finding(pushing, "directories").hint
    assert list(bench.layout.home.iterdir()) == [], "nothing grows on a bare mount point"


def test_a_damaged_identity_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.layout.identity.write_text("{")
    assert obstacles(pushing) == ["directories"]
    assert "is damaged" in finding(pushing, "directories").hint


@as_user
def test_a_home_that_cannot_be_looked_at_is_a_finding(
    bench: Bench, pushing: Check, request: pytest.FixtureRequest
) -> None:
    bench.layout.home.chmod(0)
    request.addfinalizer(unlock(bench))
    assert "directories" in obstacles(pushing)


def unlock(bench: Bench) -> Callable[[], None]:
    return lambda: bench.layout.home.chmod(0o700)


def test_everything_at_once_is_everything_told(bench: Bench, pushing: Check) -> None:
    shutil.rmtree(bench.layout.home)
    bench.postgres.silent = {"readiness", "identify"}
    assert obstacles(pushing) == ["directories", "PostgreSQL", "PostgreSQL streaming"]
    with pytest.raises(CheckFailed, match=r"directories: .*; PostgreSQL: .*; PostgreSQL stream"):
        demand("main", pushing.obstacles(Stop()))


def test_a_failing_archive_command_keeps_from_a_backup_only_where_it_is_waited_for(
    bench: Bench, streaming: Check, pushing: Check
) -> None:
    bench.postgres.archiving_fails = True

    class ByFiles:
        """A method that copies over no replication connection."""

        needs_replication = False
        stored_compression = None

        def findings(self, *_: object, **__: object) -> list[Finding]:
            return []

    for check, level in (
        (streaming, FAILED),
        (pushing, FAILED),
        (replace(streaming, method=ByFiles()), WARNING),
    ):
        found = finding(check, "continuous archiving")
        assert (found.level, found.keeps_from_backup) == (level, level is FAILED)


def test_a_copy_by_files_needs_its_two_functions(bench: Bench, streaming: Check) -> None:
    class ByFiles:
        needs_replication = False
        stored_compression = None

        def findings(self, *_: object, **__: object) -> list[Finding]:
            return [passed("local PGDATA")]

    bench.postgres.starts_backups = False
    check = replace(streaming, method=ByFiles())
    assert obstacles(check) == ["privilege pg_backup_start", "privilege pg_backup_stop"]
    hint = finding(check, "privilege pg_backup_stop").hint
    assert hint.endswith("GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO barman")
