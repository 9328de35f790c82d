"""One suite for PostgreSQL as the fake plays it and as it is; then what only the real one does."""

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from barmand.model.backup import Tablespace
from barmand.model.errors import ConfigInvalid, PostgresFailed
from barmand.model.secret import Conninfo
from barmand.model.wal import SEGMENT_SIZES, parse_lsn
from barmand.operations.ports import PostgresServer
from barmand.outside.postgres import Postgres, without_password
from fakes import FakePostgres
from support.postgres import Cluster, Clusters, Template, give_to_postgres
from support.processes import working_in
from support.waiting import eventually

SECRET = "s3cr3t"  # noqa: S105 - of a server that lives for a second
ROLES = f"""
CREATE ROLE barman LOGIN REPLICATION PASSWORD '{SECRET}';
GRANT pg_read_all_settings TO barman;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO barman;
CREATE ROLE blind LOGIN REPLICATION;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO blind;
CREATE ROLE still LOGIN REPLICATION;
GRANT pg_read_all_settings TO still;
"""


class Server(PostgresServer, Protocol):
    """The port, and what the receivers ask for besides."""

    def create_slot(self, name: str) -> None: ...


@dataclass
class Subject:
    """A server under test: the role of the README, roles that lack something, and its WAL."""

    server: Server
    blind: Server
    """May not read settings."""
    still: Server
    """May not switch WAL."""
    lsn: Callable[[], int]
    write: Callable[[], object]
    segment_size: int


# --------------------------------------------------------------------------------------------- both


def fake() -> Subject:
    server = FakePostgres()
    return Subject(
        server=server,
        blind=replace(server, reads_settings=False),
        still=replace(server, switches_wal=False),
        lsn=lambda: server.lsn,
        write=server.write,
        segment_size=server.segment_size,
    )


@pytest.fixture(scope="module")
def shared(session_folder: Path, bindir: Path) -> Iterator[Cluster]:
    """One real server for all tests that leave it as it was."""
    folder = Path(tempfile.mkdtemp(prefix="", dir=session_folder))
    folder.chmod(0o755)
    clusters = Clusters(Template(bindir, session_folder), folder)
    cluster = clusters.make(wal_segsize=1)
    cluster.psql(ROLES)
    yield cluster
    clusters.discard()
    shutil.rmtree(folder)


def conninfo(cluster: Cluster, role: str, **more: object) -> Conninfo:
    words = {"host": cluster.socket_directory, "port": cluster.port, "user": role, **more}
    words = {"dbname": "postgres", **words}
    return Conninfo(" ".join(f"{key}={value}" for key, value in words.items()))


def postgres(cluster: Cluster, role: str = "barman", **more: object) -> Postgres:
    return Postgres("main", conninfo(cluster, role, **more), conninfo(cluster, role, **more))


def real(cluster: Cluster) -> Subject:
    return Subject(
        server=postgres(cluster),
        blind=postgres(cluster, "blind"),
        still=postgres(cluster, "still"),
        lsn=lambda: parse_lsn(cluster.psql("SELECT pg_current_wal_insert_lsn()")),
        write=lambda: cluster.psql("SELECT pg_create_restore_point('write')"),
        segment_size=1 << 20,
    )


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Subject:
    return fake() if request.param == "fake" else real(request.getfixturevalue("shared"))


def boundary(subject: Subject) -> int:
    """Behind the segment that is written now."""
    return (subject.lsn() // subject.segment_size + 1) * subject.segment_size


def test_the_facts_are_a_whole_cluster(subject: Subject) -> None:
    facts = subject.server.facts()
    assert facts.system_id.isdecimal()
    assert facts.version >= 100_000
    assert facts.segment_size == subject.segment_size
    assert facts.segment_size in SEGMENT_SIZES
    assert Path(facts.pgdata).is_absolute()
    assert Path(facts.config_file or "").is_absolute()
    assert facts.is_standby is False
    assert facts.tablespaces == ()


def test_tablespaces_are_known_without_the_right_to_read_settings(subject: Subject) -> None:
    assert subject.server.known_tablespaces() == subject.server.facts().tablespaces
    assert subject.blind.known_tablespaces() == ()


def test_facts_need_the_right_to_read_settings(subject: Subject) -> None:
    with pytest.raises(PostgresFailed, match=r"main.*data_directory"):
        subject.blind.facts()


def test_the_role_of_the_readme_is_ready(subject: Subject) -> None:
    readiness = subject.server.readiness()
    assert readiness.version == subject.server.facts().version
    assert readiness.reads_settings
    assert "pg_switch_wal()" not in readiness.forbidden
    assert readiness.system_id == subject.server.identify().system_id
    assert readiness.pgdata == subject.server.facts().pgdata
    assert (readiness.wal_level, readiness.is_standby) == ("replica", False)
    assert readiness.archive_mode in ("on", "off", "always")
    assert readiness.role == "barman"


def test_what_a_role_lacks_is_told(subject: Subject) -> None:
    blind, still = subject.blind.readiness(), subject.still.readiness()
    assert (blind.reads_settings, "pg_switch_wal()" in blind.forbidden) == (False, False)
    assert (still.reads_settings, "pg_switch_wal()" in still.forbidden) == (True, True)
    assert blind.pgdata is None


def test_both_connections_tell_the_same_system(subject: Subject) -> None:
    assert subject.server.identify().system_id == subject.server.facts().system_id


def test_a_slot_is_made_once_and_reserves_wal(subject: Subject) -> None:
    assert subject.server.slot("barman") is None
    subject.server.create_slot("barman")
    slot = subject.server.slot("barman")
    assert slot is not None
    assert (slot.is_active, slot.has_reserved_wal, slot.wal_status) == (False, True, "reserved")
    with pytest.raises(PostgresFailed, match='slot "barman" already exists'):
        subject.server.create_slot("barman")


def test_a_segment_is_closed_once(subject: Subject) -> None:
    subject.write()
    end = boundary(subject)
    subject.server.close_segment(end)
    closed = subject.lsn()
    assert end <= closed < end + subject.segment_size
    subject.server.close_segment(end)
    subject.server.close_segment(end)
    assert subject.lsn() // subject.segment_size == closed // subject.segment_size


def test_at_most_one_segment_is_closed(subject: Subject) -> None:
    subject.write()
    end = boundary(subject)
    subject.server.close_segment(end + 5 * subject.segment_size)
    assert subject.lsn() // subject.segment_size == end // subject.segment_size


def test_a_segment_that_is_closed_already_costs_nothing(subject: Subject) -> None:
    subject.write()
    before = subject.lsn()
    subject.server.close_segment(before - before % subject.segment_size)
    assert subject.lsn() // subject.segment_size == before // subject.segment_size


def test_closing_needs_the_right_to_switch_wal(subject: Subject) -> None:
    subject.write()
    with pytest.raises(PostgresFailed, match="permission denied for function pg_switch_wal"):
        subject.still.close_segment(boundary(subject))


def test_nobody_there_is_a_failure_at_once(tmp_path: Path) -> None:
    nowhere = Conninfo(f"host={tmp_path} port=1 user=barman")
    quiet = FakePostgres(silent={"facts", "readiness", "identify", "slot", "close_segment"})
    begun = time.monotonic()
    for server in (Postgres("main", nowhere, nowhere), quiet):
        for ask in (server.facts, server.readiness, server.identify):
            with pytest.raises(PostgresFailed, match="connection to main"):
                ask()
        with pytest.raises(PostgresFailed, match="connection to main"):
            server.slot("barman")
        with pytest.raises(PostgresFailed, match="connection to main"):
            server.close_segment(1)
    assert time.monotonic() - begun < 5


# ---------------------------------------------------------------------------------------- real only


def test_tablespaces_and_sizes_are_facts_too(cluster: Cluster, folder: Path) -> None:
    location = folder / "fast"
    location.mkdir()
    give_to_postgres(location)
    cluster.psql(f"CREATE TABLESPACE fast LOCATION '{location}'")
    facts = postgres(cluster, "postgres").facts()
    (space,) = facts.tablespaces
    assert space == Tablespace("fast", space.oid, str(location))
    assert facts.size is not None
    assert facts.size > 1 << 20
    assert facts.data_checksums == "on"
    cluster.psql(ROLES)
    assert postgres(cluster).facts() == replace(facts, size=None)


def test_included_settings_are_facts_too(cluster: Cluster) -> None:
    extra = cluster.data / "extra.conf"
    extra.write_text("work_mem = '5MB'\n")
    with (cluster.data / "postgresql.conf").open("a") as conf:
        conf.write("include 'extra.conf'\n")
    cluster.reload()
    eventually(lambda: cluster.psql("SHOW work_mem") == "5MB")
    assert postgres(cluster, "postgres").facts().included_files == (str(extra),)


@pytest.fixture
def guarded(cluster: Cluster) -> Cluster:
    """A server that wants a password of the role barman."""
    cluster.psql(ROLES)
    hba = cluster.data / "pg_hba.conf"
    rules = "local all barman scram-sha-256\nlocal replication barman scram-sha-256\n"
    hba.write_text(rules + hba.read_text())
    cluster.reload()
    return cluster


def test_a_password_opens_both_connections(guarded: Cluster) -> None:
    server = postgres(guarded, password=SECRET)
    assert server.identify().system_id == server.facts().system_id


@pytest.mark.parametrize("wrong", ["hunter2", "'with a blank'"])
def test_a_wrong_password_is_told_without_itself(guarded: Cluster, wrong: str) -> None:
    server = postgres(guarded, password=wrong)
    for ask in (server.facts, server.identify):
        with pytest.raises(PostgresFailed) as failed:
            ask()
        words = f"{failed.value.message} {failed.value.hint} {failed.value.__cause__} {server!r}"
        assert "password authentication failed" in words
        assert wrong.strip("'") not in words


def test_a_connection_string_that_is_none_shows_no_password(tmp_path: Path) -> None:
    bad = Conninfo(f"password={SECRET} host={tmp_path} nonsense")
    for ask in (Postgres("main", bad, bad).facts, Postgres("main", bad, bad).identify):
        with pytest.raises(ConfigInvalid) as failed:
            ask()
        assert SECRET not in failed.value.message


def test_what_goes_on_a_command_line_has_no_password() -> None:
    words, environment = without_password(
        Conninfo(f"postgresql://barman:{SECRET}@/db?host=/run"), application_name="barmand"
    )
    assert SECRET not in words
    assert "user=barman" in words
    assert environment == {"PGPASSWORD": SECRET}
    assert without_password(Conninfo("host=/run"))[1] == {}


def test_a_question_that_takes_too_long_is_ended_by_the_server(cluster: Cluster) -> None:
    server = Postgres("main", conninfo(cluster, "postgres"), conninfo(cluster, "postgres"), 1)
    with server._connected() as connection:
        row = connection.execute("SHOW statement_timeout").fetchone()
    assert row == ("1s",)
    begun = time.monotonic()
    with pytest.raises(PostgresFailed, match="statement timeout"), server._connected() as slow:
        slow.execute("SELECT pg_sleep(60)")
    assert time.monotonic() - begun < 5


def test_without_a_timeout_a_question_may_take_its_time(shared: Cluster) -> None:
    words = conninfo(shared, "barman")
    assert Postgres("main", words, words, timeout_seconds=0).identify().timeline == 1


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    processes = working_in(cluster.data)
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("question", ["readiness", "identify"])
def test_a_server_that_is_frozen_is_not_waited_for(cluster: Cluster, question: str) -> None:
    server = postgres(cluster, "postgres", connect_timeout=2)
    begun = time.monotonic()
    with frozen(cluster), pytest.raises(PostgresFailed, match="timeout expired"):
        getattr(server, question)()
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("own", "seconds"), [("10", 3), ("0", 3), ("60", 2)])
def test_to_connect_takes_no_longer_than_an_answer_may(
    cluster: Cluster, own: str, seconds: int
) -> None:
    server = postgres(cluster, "postgres", connect_timeout=own).within(seconds)
    begun = time.monotonic()
    with frozen(cluster), pytest.raises(PostgresFailed, match="timeout expired"):
        server.readiness()
    assert seconds - 1 < time.monotonic() - begun < seconds + 1.5


class FreezingRelay:
    """Between client and server; falls silent for ever once the client says a certain word."""

    def __init__(self, folder: Path, cluster: Cluster, word: bytes) -> None:
        self._target = str(cluster.socket_directory / f".s.PGSQL.{cluster.port}")
        self._word = word
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{cluster.port}"))
        self._listener.listen()
        self._sockets = [self._listener]
        self._thread = threading.Thread(target=self._relay)
        self._thread.start()

    def close(self) -> None:
        for each in self._sockets:
            with closing(each):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _relay(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        self._sockets = [self._listener, client, server]
        back = threading.Thread(target=self._pour, args=(server, client))
        back.start()
        while (said := client.recv(65536)) and self._word not in said:
            server.sendall(said)
        back.join()

    @staticmethod
    def _pour(source: socket.socket, target: socket.socket) -> None:
        while said := source.recv(65536):
            target.sendall(said)


@pytest.mark.parametrize(
    ("question", "word"), [("facts", b"pg_control_system"), ("identify", b"IDENTIFY_SYSTEM")]
)
def test_a_server_that_freezes_in_mid_question_is_cut_off(
    shared: Cluster, folder: Path, question: str, word: bytes
) -> None:
    relay = FreezingRelay(folder, shared, word)
    through = f"host={folder} port={shared.port} user=barman dbname=postgres"
    server = Postgres("main", Conninfo(through), Conninfo(through), 1)
    begun = time.monotonic()
    with pytest.raises(PostgresFailed, match="main"):
        getattr(server, question)()
    assert time.monotonic() - begun < 4
    relay.close()


def test_a_standby_says_that_it_is_one(clusters: Clusters, cluster: Cluster) -> None:
    cluster.stop()
    (cluster.data / "standby.signal").touch()
    standby = clusters.adopt(cluster.data, hot_standby="on")
    server = postgres(standby, "postgres")
    assert server.facts().is_standby
    assert server.readiness().is_standby
