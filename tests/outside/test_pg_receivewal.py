"""pg_receivewal: a real stream, its end by our word and by its own."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from barmand.model.errors import Stopped, ToolFailed
from barmand.model.secret import Conninfo
from barmand.outside.pg_receivewal import PgReceivewal
from barmand.outside.postgres import Postgres
from barmand.storage.wals import read_header
from fakes import Stop
from support.postgres import Cluster, give_to_postgres
from support.waiting import eventually

SLOT = "barman"


class Stream:
    """A receiver at work in a thread of its own."""

    def __init__(self, program: PgReceivewal, pool: ThreadPoolExecutor) -> None:
        self.stop = Event()
        self.started = Event()
        self.end: Future[None] = pool.submit(
            program.receive, stop=self.stop, on_start=self.started.set
        )
        assert self.started.wait(20), self.end.exception()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def program(cluster: Cluster, folder: Path) -> PgReceivewal:
    directory = folder / "streaming"
    directory.mkdir()
    give_to_postgres(directory)
    conninfo = Conninfo(cluster.conninfo)
    Postgres("main", conninfo, conninfo).create_slot(SLOT)
    return PgReceivewal(conninfo, "barman_receive_wal", SLOT, directory, [cluster.bindir])


def test_a_closed_segment_arrives_whole(
    cluster: Cluster, program: PgReceivewal, pool: ThreadPoolExecutor
) -> None:
    stream = Stream(program, pool)
    name = cluster.switch_wal()
    path = program.directory / name
    eventually(path.exists)
    header = read_header(path)
    assert header is not None
    assert path.stat().st_size == header.segment_size
    shown = cluster.psql(
        "SELECT application_name, active FROM pg_stat_replication, pg_replication_slots"
    )
    assert shown == "barman_receive_wal|t"
    stream.stop.set()
    assert isinstance(stream.end.exception(20), Stopped)
    eventually(lambda: cluster.psql("SELECT count(*) FROM pg_stat_replication") == "0")


def test_it_goes_on_where_it_was_stopped(
    cluster: Cluster, program: PgReceivewal, pool: ThreadPoolExecutor
) -> None:
    first = Stream(program, pool)
    first.stop.set()
    assert isinstance(first.end.exception(20), Stopped)
    missed = cluster.switch_wal()
    second = Stream(program, pool)
    eventually((program.directory / missed).exists)
    second.stop.set()


def test_the_end_of_the_server_is_a_failure(
    cluster: Cluster, program: PgReceivewal, pool: ThreadPoolExecutor
) -> None:
    stream = Stream(program, pool)
    cluster.stop("immediate")
    error = stream.end.exception(20)
    assert isinstance(error, ToolFailed)
    assert error.message.startswith("pg_receivewal ended with exit code 1: ")


def test_a_missing_slot_is_told(cluster: Cluster, program: PgReceivewal) -> None:
    lost = PgReceivewal(
        program.conninfo, "barman_receive_wal", "lost", program.directory, [cluster.bindir]
    )
    with pytest.raises(ToolFailed, match=r'exit code 1: .*slot "lost" does not exist'):
        lost.receive(stop=Stop(), on_start=lambda: None)


def test_without_a_slot_it_streams_all_the_same(
    cluster: Cluster, program: PgReceivewal, pool: ThreadPoolExecutor
) -> None:
    free = PgReceivewal(
        program.conninfo, "barman_receive_wal", None, program.directory, [cluster.bindir]
    )
    stream = Stream(free, pool)
    eventually((program.directory / cluster.switch_wal()).exists)
    stream.stop.set()


def test_it_tells_its_version(program: PgReceivewal, cluster: Cluster) -> None:
    assert f"(PostgreSQL) {program.version()}." in cluster.psql("SELECT version()").replace(
        "PostgreSQL ", "(PostgreSQL) "
    )


def test_one_that_says_nothing_is_told_so(tmp_path: Path) -> None:
    silent = tmp_path / "pg_receivewal"
    silent.write_text("#!/bin/sh\nexit 3\n")
    silent.chmod(0o755)
    program = PgReceivewal(Conninfo(""), "barman_receive_wal", None, tmp_path, [tmp_path])
    with pytest.raises(ToolFailed, match="exit code 3: it said nothing"):
        program.receive(stop=Stop(), on_start=lambda: None)
