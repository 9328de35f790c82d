"""The slot of the WAL stream: made, dropped, given up by PostgreSQL; and what is lost then."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.pq import ExecStatus, PGconn

from daemon.asking import Json, ask, done, refusal, server_status, streaming
from support.daemon import Daemon
from support.postgres import Cluster
from support.waiting import eventually

MB = 1 << 20
SMALL = {"wal_segsize": 1, "min_wal_size": "2MB", "max_wal_size": "2MB"}


@pytest.fixture
def small(make_cluster: Callable[..., Cluster]) -> Cluster:
    """A cluster that removes its WAL soon."""
    return make_cluster(**SMALL)


def write(cluster: Cluster, segments: int) -> None:
    """So many segments, and a checkpoint that makes the older ones go."""
    for _ in range(segments):
        cluster.switch_wal()
    cluster.psql("CHECKPOINT")


def archived(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "wals").rglob("*") if len(path.name) == 24)


def comes(home: Path, name: str) -> None:
    eventually(lambda: name in archived(home), 20)


def flows(cluster: Cluster, home: Path) -> None:
    """What is written now arrives."""
    told = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    eventually(lambda: cluster.psql(told) == "1", 20)
    comes(home, cluster.switch_wal())


def number_of(name: str) -> int:
    return int(name[8:16], 16) * 4096 + int(name[16:], 16)


def name_of(number: int) -> str:
    return f"{1:08X}{number // 4096:08X}{number % 4096:08X}"


def receive_wal(daemon: Daemon, action: str, **more: object) -> Json:
    return ask(daemon, "receive-wal", server="main", action=action, **more)


def assert_gap_is_exact(home: Path, told: list[dict[str, object]]) -> None:
    """What is told lost is just what the archive does not hold."""
    held = {number_of(name) for name in archived(home)}
    missing = set(range(min(held), max(held))) - held
    assert missing
    assert len(told) == 1
    lost = told[0]
    first, last = min(missing), max(missing)
    assert missing == set(range(first, last + 1))
    assert (lost["timeline"], lost["count"]) == (1, len(missing))
    assert lost["first_lsn"] == f"0/{first * MB:X}"
    assert lost["last_lsn"] == f"0/{(last + 1) * MB:X}"
    names = lost["segments"]
    assert isinstance(names, list)
    assert names == [name_of(number) for number in range(first, first + len(names))]


@pytest.mark.parametrize("may_list", [True, False], ids=["listed by the server", "by the slot"])
def test_a_dropped_slot_is_made_again_and_the_gap_told_with_its_range(
    small: Cluster, daemon_for: Callable[..., Daemon], home: Path, *, may_list: bool
) -> None:
    small.psql("CREATE ROLE keeper LOGIN REPLICATION IN ROLE pg_read_all_settings")
    if may_list:
        small.psql("GRANT pg_monitor TO keeper")
    as_keeper = small.conninfo.replace("user=postgres", "user=keeper")
    daemon = streaming(daemon_for(small, wal_conninfo=as_keeper))
    comes(home, small.switch_wal())
    receive_wal(daemon, "stop")
    receive_wal(daemon, "drop-slot")
    daemon.expects("WAL lost")
    daemon.expects("replication slot in danger")
    write(small, 8)
    receive_wal(daemon, "start")
    flows(small, home)
    assert_gap_is_exact(home, daemon.log_records("WAL lost"))
    assert small.psql("SELECT slot_name, active FROM pg_replication_slots") == "barmand|t"


def test_a_slot_that_was_moved_back_to_removed_wal_does_not_end_the_stream_for_good(
    small: Cluster, daemon_for: Callable[..., Daemon], home: Path
) -> None:
    """A walsender takes any position that its client reports, and then believes that it has it."""
    small.psql("CREATE ROLE keeper LOGIN REPLICATION IN ROLE pg_read_all_settings")
    as_keeper = small.conninfo.replace("user=postgres", "user=keeper")
    daemon = streaming(daemon_for(small, wal_conninfo=as_keeper))
    comes(home, last := small.switch_wal())
    receive_wal(daemon, "stop")
    receive_wal(daemon, "drop-slot")
    daemon.expects("WAL lost")
    daemon.expects("replication slot in danger")
    daemon.expects("replication slot lost")
    write(small, 8)
    receive_wal(daemon, "create-slot")
    move_back(small, number_of(last) + 1)
    receive_wal(daemon, "start")
    flows(small, home)
    assert_gap_is_exact(home, daemon.log_records("WAL lost"))


def move_back(cluster: Cluster, number: int) -> None:
    """Report to PostgreSQL, as the receiver, that only so many segments are flushed."""
    begin = cluster.psql("SELECT restart_lsn FROM pg_replication_slots")
    receiver = PGconn.connect(f"{cluster.conninfo} replication=true".encode())
    try:
        answer = receiver.exec_(f"START_REPLICATION SLOT barmand PHYSICAL {begin}".encode())
        assert answer.status == ExecStatus.COPY_BOTH
        receiver.put_copy_data(struct.pack("!cQQQqB", b"r", *[number * MB] * 3, 0, 0))
        receiver.flush()
        eventually(
            lambda: (
                cluster.psql("SELECT restart_lsn FROM pg_replication_slots") == f"0/{number * MB:X}"
            )
        )
    finally:
        receiver.finish()
    eventually(lambda: cluster.psql("SELECT active FROM pg_replication_slots") == "f")


def test_a_slot_that_postgresql_gave_up_is_an_alarm_and_made_again(
    make_cluster: Callable[..., Cluster], daemon_for: Callable[..., Daemon], home: Path
) -> None:
    cluster = make_cluster(**SMALL, max_slot_wal_keep_size="3MB")
    daemon = streaming(daemon_for(cluster))
    comes(home, cluster.switch_wal())
    receive_wal(daemon, "stop")
    write(cluster, 10)
    eventually(lambda: cluster.psql("SELECT wal_status FROM pg_replication_slots") == "lost")
    found = {each["name"]: each for each in ask_check(daemon)}
    assert not found["replication slot"]["ok"]
    daemon.expects("WAL lost")
    daemon.expects("replication slot lost")
    receive_wal(daemon, "start")
    flows(cluster, home)
    assert daemon.log_records("replication slot lost: PostgreSQL keeps no WAL for it any more")
    assert_gap_is_exact(home, daemon.log_records("WAL lost"))
    assert done(daemon)["status"] == "DONE"


def ask_check(daemon: Daemon) -> list[Json]:
    findings: list[Json] = ask(daemon, "check", servers=["main"])["servers"][0]["findings"]
    return findings


def test_a_slot_dropped_for_a_moment_loses_nothing(
    cluster: Cluster, daemon: Daemon, home: Path
) -> None:
    comes(home, cluster.switch_wal())
    receive_wal(daemon, "stop")
    receive_wal(daemon, "drop-slot")
    cluster.switch_wal()
    receive_wal(daemon, "start")
    comes(home, cluster.switch_wal())
    held = [number_of(name) for name in archived(home)]
    assert held == list(range(held[0], held[-1] + 1))
    assert daemon.log_records("WAL lost") == []


def test_the_check_alarms_while_the_server_keeps_wal_that_nobody_fetches(
    make_cluster: Callable[..., Cluster], daemon_for: Callable[..., Daemon], home: Path
) -> None:
    cluster = make_cluster(**SMALL)
    daemon = streaming(daemon_for(cluster))
    comes(home, cluster.switch_wal())
    assert [each for each in ask_check(daemon) if each["level"] == "FAILED"] == []
    receive_wal(daemon, "stop")
    write(cluster, 12)
    findings = {each["name"]: each for each in ask_check(daemon)}
    assert not findings["replication slot WAL"]["ok"]
    assert findings["replication slot WAL"]["hint"].startswith("extended, 1")
    assert not findings["receive-wal running"]["ok"]
    daemon.expects("replication slot in danger")
    receive_wal(daemon, "start")
    assert done(daemon)["status"] == "DONE"  # the alarm keeps no backup from being taken


def test_stopped_is_stopped_until_it_is_started_also_over_a_restart_of_the_daemon(
    cluster: Cluster, daemon: Daemon, home: Path
) -> None:
    told = receive_wal(daemon, "stop")
    assert (told["changed"], told["receiver"]["state"]) == (True, "stopped")
    assert receive_wal(daemon, "stop")["changed"] is False
    # PostgreSQL lets go of the slot when its own side of the connection has ended.
    eventually(lambda: receive_wal(daemon, "stop")["slot"]["active"] is False)
    daemon.stop()
    daemon.start()
    daemon.hup()
    assert server_status(daemon)["receiver"]["state"] == "stopped"
    assert receive_wal(daemon, "start")["changed"] is True
    streaming(daemon)
    comes(home, cluster.switch_wal())


def test_the_slot_is_dropped_only_while_nothing_is_received(daemon: Daemon) -> None:
    error = refusal(daemon, "receive-wal", server="main", action="drop-slot")
    assert (error["code"], error["hint"]) == (
        "Refused",
        "First `barmanctl receive-wal main --stop`.",
    )
    error = refusal(daemon, "receive-wal", server="main", action="create-slot")
    assert error["code"] == "PostgresFailed"
    told = receive_wal(daemon, "create-slot", if_not_exists=True)
    assert told["changed"] is False
    receive_wal(daemon, "stop")
    assert receive_wal(daemon, "drop-slot")["slot"]["exists"] is False
    error = refusal(daemon, "receive-wal", server="main", action="drop-slot")
    assert (error["code"], error["exit_code"]) == ("NotFound", 3)
    assert receive_wal(daemon, "create-slot")["slot"]["wal_status"] == "reserved"


def test_a_backup_makes_no_slot_for_a_receiver_that_was_stopped(daemon: Daemon) -> None:
    """It would keep WAL that nobody fetches, until the primary's disk is full."""
    receive_wal(daemon, "stop")
    receive_wal(daemon, "drop-slot")
    daemon.expects("backup failed")
    result = ask(daemon, "backup", servers=["main"], follow="done")
    assert "the receiver makes it, and is stopped" in str(result)
    assert receive_wal(daemon, "show")["slot"]["exists"] is False
    receive_wal(daemon, "start")
    streaming(daemon)
    done(daemon)


def test_a_reset_names_what_is_lost_and_goes_on_at_the_slot(
    small: Cluster, daemon_for: Callable[..., Daemon], home: Path
) -> None:
    daemon = streaming(daemon_for(small))
    comes(home, small.switch_wal())
    receive_wal(daemon, "stop")
    receive_wal(daemon, "drop-slot")
    for _ in range(4):
        small.switch_wal()
    small.psql("CHECKPOINT")
    receive_wal(daemon, "create-slot")
    daemon.expects("WAL lost")
    told = receive_wal(daemon, "reset")
    assert told["lost_segments"] > 0
    assert told["receiver"]["state"] == "stopped"
    receive_wal(daemon, "start")
    flows(small, home)
    assert told["begins_at"] in archived(home)
    assert_gap_is_exact(home, daemon.log_records("WAL lost"))


def test_an_idle_servers_backup_is_done_in_a_moment(daemon: Daemon) -> None:
    """No traffic, streaming only: its closing switch brings the last segment."""
    for _ in range(2):
        view = done(daemon)
        assert view["missing_wals"] == []
    done_lines = daemon.log_records("backup done")
    assert len(done_lines) == 2
    assert all(line["waited_seconds"] < 2 for line in done_lines)


def test_many_segments_in_a_row_never_end_the_stream(
    small: Cluster, daemon_for: Callable[..., Daemon], home: Path
) -> None:
    """The archive leaves a segment alone until pg_receivewal has closed it."""
    daemon = streaming(daemon_for(small))
    first = small.switch_wal()
    for _ in range(60):
        last = small.switch_wal()
    comes(home, last)
    held = [number_of(name) for name in archived(home)]
    assert held == list(range(number_of(first), number_of(last) + 1))
    assert server_status(daemon)["receiver"]["restarts"] == 0
