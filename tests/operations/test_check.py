"""Is the server ready? Every finding, failing one by one; and never an exception."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from barmand.model.errors import CheckFailed, ToolFailed
from barmand.model.finding import Finding, demand
from barmand.model.order import Order
from barmand.operations.check import Check
from barmand.outside.postgres import Slot
from fakes import Bench, FakePostgres, FakeProgram

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
SLOT = "barman"


def failing(check: Check) -> list[str]:
    return [finding.name for finding in check.findings() if not finding.is_ok]


def finding(check: Check, name: str) -> Finding:
    (found,) = (finding for finding in check.findings() if finding.name == name)
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


def test_a_server_that_is_ready_fails_nothing(
    bench: Bench, streaming: Check, pushing: Check
) -> None:
    assert failing(bench.check) == failing(streaming) == failing(pushing) == []


def test_each_way_of_wal_has_its_own_findings(streaming: Check, pushing: Check) -> None:
    common = [
        "directories",
        "PostgreSQL",
        "PostgreSQL streaming",
        "system identifier",
        "PostgreSQL version",
        "wal_level",
        "reads settings",
        "switches WAL",
        "pg_basebackup",
    ]
    assert [each.name for each in pushing.findings()] == [*common, "archive_mode"]
    assert [each.name for each in streaming.findings()] == [
        *common,
        "pg_receivewal",
        "receive-wal running",
        "replication slot",
        "replication slot WAL",
    ]


def test_what_does_not_keep_from_a_backup_is_only_reported(streaming: Check) -> None:
    names = [each.name for each in streaming.findings()]
    assert [each.name for each in streaming.report()] == [
        *names,
        "WAL gaps",
        "WAL set aside",
        "free space",
    ]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"version": 120_022}, "PostgreSQL version", "120022, of at least 130000"),
        ({"wal_level": "minimal"}, "wal_level", "minimal"),
        (
            {"switches_wal": False},
            "switches WAL",
            "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO barman",
        ),
        ({"streaming_system_id": "666"}, "system identifier", "not one cluster"),
        ({"version": 160_001}, "pg_basebackup", "version 15, server version 16: too old"),
    ],
)
def test_what_the_server_lacks_is_one_finding(
    bench: Bench, pushing: Check, change: dict[str, object], name: str, words: str
) -> None:
    for field, value in change.items():
        setattr(bench.postgres, field, value)
    assert failing(pushing) == [name]
    assert words in finding(pushing, name).hint


def test_a_role_that_reads_no_settings_is_told_the_grant(bench: Bench, pushing: Check) -> None:
    bench.postgres.reads_settings = False
    assert "reads settings" in failing(pushing)
    assert "GRANT pg_read_all_settings TO barman" in finding(pushing, "reads settings").hint


@pytest.mark.parametrize(("mode", "is_ok"), [("on", True), ("always", True), ("off", False)])
def test_archive_mode_counts_where_wal_is_pushed(
    bench: Bench, pushing: Check, streaming: Check, *, mode: str, is_ok: bool
) -> None:
    bench.postgres.archive_mode = mode
    assert finding(pushing, "archive_mode").is_ok is is_ok
    assert failing(streaming) == []


def test_a_standby_need_not_switch_wal(bench: Bench, pushing: Check) -> None:
    bench.postgres.is_standby = True
    bench.postgres.switches_wal = False
    assert failing(pushing) == []


@pytest.mark.parametrize("program", ["pg_basebackup", "pg_receivewal"])
def test_a_missing_program_is_a_finding_with_its_hint(
    bench: Bench, streaming: Check, program: str
) -> None:
    gone = ToolFailed(f"program not found: {program}", hint="Install it.")
    if program == "pg_basebackup":
        bench.tool.major = gone
        check = streaming
    else:
        check = replace(streaming, receiver=FakeProgram(gone))
    assert failing(check) == [program]
    assert finding(check, program).hint == f"program not found: {program} (Install it.)"


def test_a_newer_program_is_fine(bench: Bench, streaming: Check) -> None:
    bench.tool.major = 17
    assert failing(streaming) == []


def test_a_backup_may_say_how_long_its_check_waits(bench: Bench) -> None:
    bench.run(bench.queue(), Order(check_seconds=7))
    assert set(bench.postgres.patience) == {7}


def test_a_missing_slot_is_a_finding(bench: Bench, streaming: Check) -> None:
    bench.postgres.slots.clear()
    assert failing(streaming) == ["replication slot"]
    assert "does not exist" in finding(streaming, "replication slot").hint


def test_the_slot_is_looked_for_where_wal_comes_from(bench: Bench, streaming: Check) -> None:
    """With a backup of the standby and WAL of the primary, that is the primary."""
    bench.postgres.slots.clear()
    primary = FakePostgres(slots={SLOT: Slot(is_active=True, has_reserved_wal=True)})
    assert failing(replace(streaming, wal_server=primary)) == []


def test_a_slot_that_reserves_no_wal_is_a_finding(bench: Bench, streaming: Check) -> None:
    bench.postgres.slots[SLOT] = Slot(is_active=False, has_reserved_wal=False)
    assert failing(streaming) == ["replication slot"]
    assert "reserves no WAL" in finding(streaming, "replication slot").hint


def test_a_slot_that_nobody_reads_is_told_but_fine(bench: Bench, streaming: Check) -> None:
    bench.postgres.slots[SLOT] = Slot(is_active=False, has_reserved_wal=True)
    assert finding(streaming, "replication slot") == Finding(
        "replication slot", "barman is not active"
    )


MIB = 1 << 20
ACTIVE = True


def kept(is_active: bool, wal_status: str, held: int, safe: int | None = None) -> Slot:
    return Slot(
        is_active, has_reserved_wal=True, wal_status=wal_status, held_bytes=held, safe_bytes=safe
    )


@pytest.mark.parametrize(
    ("slot", "is_ok", "words"),
    [
        (kept(ACTIVE, "reserved", 3 * MIB), True, "reserved, 3 MiB kept for it"),
        (kept(not ACTIVE, "reserved", -5), True, "reserved, 0 MiB kept for it"),
        (kept(ACTIVE, "extended", 900 * MIB), True, "extended, 900 MiB kept for it"),
        (kept(not ACTIVE, "extended", 900 * MIB), False, "nobody fetches"),
        (kept(ACTIVE, "unreserved", 900 * MIB, -MIB), False, "lost after -1 MiB more"),
        (kept(ACTIVE, "extended", 85 * MIB, 15 * MIB), False, "lost after 15 MiB more"),
        (kept(not ACTIVE, "extended", 50 * MIB, 50 * MIB), True, "lost after 50 MiB more"),
    ],
)
def test_what_the_slot_keeps_is_an_alarm_before_it_is_a_danger(
    bench: Bench, streaming: Check, slot: Slot, *, is_ok: bool, words: str
) -> None:
    bench.postgres.slots[SLOT] = slot
    found = finding(streaming, "replication slot WAL")
    assert (found.is_ok, found.is_vital) == (is_ok, False)
    assert words in found.hint


def test_a_stream_that_rests_is_an_alarm_but_keeps_no_backup_from_being_taken(
    bench: Bench, streaming: Check
) -> None:
    check = replace(streaming, receiving=lambda: (False, "pausing: it was cut"))
    assert failing(check) == ["receive-wal running"]
    assert finding(check, "receive-wal running").hint == "pausing: it was cut"
    demand("main", check.findings())
    assert bench.queue()


def test_without_a_slot_wal_must_flow_now(bench: Bench) -> None:
    check = replace(bench.check, receiving=lambda: (False, "pausing: it was cut"))
    assert failing(check) == ["receive-wal running"]
    with pytest.raises(CheckFailed):
        demand("main", check.findings())


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("readiness", ["PostgreSQL"]),
        ("identify", ["PostgreSQL streaming"]),
        ("facts", ["system identifier"]),
        ("slot", ["replication slot"]),
    ],
)
def test_a_question_that_nobody_answers_is_a_finding(
    bench: Bench, streaming: Check, question: str, names: list[str]
) -> None:
    bench.postgres.silent = {question}
    assert failing(streaming) == names


def test_a_home_of_another_cluster_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.layout.identity.write_text(json.dumps({"systemid": "666", "version": "15"}))
    assert failing(pushing) == ["system identifier"]
    assert f"{bench.layout.identity} says 666" in finding(pushing, "system identifier").hint


def test_a_catalogue_that_knows_another_cluster_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.layout.identity.write_text(
        json.dumps({"systemid": bench.postgres.system_id, "version": "15"})
    )
    bench.catalog.servers.know("main", now=bench.clock(), system_id="666")
    assert failing(pushing) == ["system identifier"]
    assert "the catalogue says 666" in finding(pushing, "system identifier").hint


def test_a_home_that_is_not_mounted_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.done_backup()
    shutil.rmtree(bench.layout.home)
    bench.layout.home.mkdir()
    assert failing(pushing) == ["directories"]
    assert "is its file system mounted?" in finding(pushing, "directories").hint


def test_a_damaged_identity_is_a_finding(bench: Bench, pushing: Check) -> None:
    bench.layout.identity.write_text("{")
    assert failing(pushing) == ["system identifier"]
    assert "is damaged" in finding(pushing, "system identifier").hint


@as_user
def test_a_home_that_cannot_be_looked_at_is_a_finding(
    bench: Bench, pushing: Check, request: pytest.FixtureRequest
) -> None:
    bench.layout.home.chmod(0)
    request.addfinalizer(unlock(bench))
    assert "directories" in failing(pushing)


def unlock(bench: Bench) -> Callable[[], None]:
    return lambda: bench.layout.home.chmod(0o700)


def test_everything_at_once_is_everything_told(bench: Bench, pushing: Check) -> None:
    shutil.rmtree(bench.layout.home)
    bench.postgres.silent = {"readiness", "identify", "facts"}
    assert failing(pushing) == ["directories", "PostgreSQL", "PostgreSQL streaming"]


def test_a_failing_archive_command_keeps_from_a_backup_only_where_it_is_waited_for(
    bench: Bench, streaming: Check, pushing: Check
) -> None:
    bench.postgres.archiving_fails = True
    bench.postgres.archive_mode = "on"

    class ByFiles:
        """A method that copies over no replication connection."""

        needs_replication = False
        stored_compression = None

        def findings(self, *_: object) -> list[Finding]:
            return []

    for check, is_ok in (
        (streaming, False),
        (pushing, False),
        (replace(streaming, method=ByFiles()), True),
    ):
        (found,) = [each for each in check.findings() if each.name == "archive_command"]
        assert found.is_ok is is_ok
