"""pg_basebackup: what it is told, what it tells, and a real copy."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from barmand.model.backup import Tablespace
from barmand.model.compression import Algorithm, Compression
from barmand.model.errors import Stopped, StorageFailed, ToolFailed
from barmand.model.order import Checksums, Order
from barmand.model.positions import end_of, start_of
from barmand.model.progress import Phase
from barmand.model.secret import Conninfo
from barmand.model.wal import parse_lsn
from barmand.outside.pg_basebackup import PgBasebackup, arguments
from barmand.storage.base_backup import read_label, read_manifest_tail
from fakes import Stop, Told
from support.postgres import Cluster, Clusters, give_to_postgres
from support.processes import find_process
from support.taking import Background
from support.waiting import eventually

SECRET = "s3cr3t"  # noqa: S105 - of a server that does not exist
FAST = Order(immediate_checkpoint=True)


def stand_in(folder: Path, script: str) -> PgBasebackup:
    """A pg_basebackup that does what `script` says."""
    path = folder / "pg_basebackup"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return PgBasebackup(Conninfo(f"host=/nowhere password={SECRET}"), "barmand", [folder])


def copy(
    tool: PgBasebackup,
    data: Path,
    told: Told | None = None,
    *tablespaces: Tablespace,
    order: Order = FAST,
) -> str | None:
    copied = tool.copy(
        data=data,
        tablespaces=tablespaces,
        label="a label",
        order=order,
        stop=Stop(),
        report=told or Told(),
    )
    assert not copied.damages
    return copied.end_point


# ---------------------------------------------------------------------------------------- arguments


def test_its_arguments_are_these() -> None:
    given = arguments("host=/run", Path("/b/data"), {}, "a label", Order())
    assert given == [
        "--dbname=host=/run",
        "--pgdata=/b/data",
        "--label=a label",
        "--checkpoint=spread",
        "--format=plain",
        "--wal-method=none",
        "--no-slot",
        "--no-password",
        "--no-sync",
        "--progress",
        "--verbose",
    ]


def test_a_hurried_order_and_a_limit_are_passed_on() -> None:
    order = Order(immediate_checkpoint=True, bandwidth_limit=2048)
    given = arguments("", Path("/b"), {}, "", order)
    assert "--checkpoint=fast" in given
    assert "--max-rate=2048k" in given


def test_another_checksum_than_its_own_default_is_passed_on() -> None:
    given = arguments("", Path("/b"), {}, "", Order(manifest_checksums=Checksums.SHA256))
    assert "--manifest-checksums=SHA256" in given


def test_an_equals_sign_in_a_tablespaces_path_is_escaped() -> None:
    given = arguments("", Path("/b"), {"/srv/a=b": Path("/b=c/16385")}, "", Order())
    assert given[-1] == r"--tablespace-mapping=/srv/a\=b=/b\=c/16385"


def test_no_password_is_on_the_command_line(tmp_path: Path) -> None:
    tool = stand_in(tmp_path, f'printf "%s\\n" "$@" >{tmp_path}/given; exit 1')
    with pytest.raises(ToolFailed) as failed:
        copy(tool, tmp_path)
    given = (tmp_path / "given").read_text()
    assert "application_name=barmand" in given
    for words in (given, str(failed.value), str(failed.value.hint), repr(tool)):
        assert SECRET not in words


def test_the_password_comes_in_the_environment(tmp_path: Path) -> None:
    copy(stand_in(tmp_path, f"printenv PGPASSWORD >{tmp_path}/password"), tmp_path)
    assert (tmp_path / "password").read_text() == f"{SECRET}\n"


# -------------------------------------------------------------------------------------------- words

WORDS = r"""
echo "pg_basebackup: initiating base backup, waiting for checkpoint to complete" >&2
echo "pg_basebackup: checkpoint completed" >&2
echo "pg_basebackup: write-ahead log start point: 0/2000028 on timeline 1" >&2
printf "   10/100 kB (10%%), 0/1 tablespace (...)\r" >&2
printf "  120/100 kB (100%%), 1/1 tablespace\n" >&2
echo "pg_basebackup: write-ahead log end point: 0/2000100" >&2
echo "NOTICE:  waiting for required WAL segments to be archived" >&2
echo "pg_basebackup: base backup completed" >&2
"""


def test_its_words_become_progress_and_the_end_point(tmp_path: Path) -> None:
    told = Told()
    assert copy(stand_in(tmp_path, WORDS), tmp_path, told) == "0/2000100"
    assert told.lines == [
        (Phase.CHECKPOINT, None, None),
        (Phase.COPYING, None, None),
        (Phase.COPYING, 10 * 1024, 100 * 1024),
        (Phase.COPYING, 120 * 1024, 120 * 1024),
        (Phase.WAITING_FOR_WAL, None, None),
    ]


def test_an_end_point_that_it_does_not_tell_is_none(tmp_path: Path) -> None:
    assert copy(stand_in(tmp_path, "exit 0"), tmp_path) is None


def test_a_full_disk_is_our_own_and_not_the_tools_failure(tmp_path: Path) -> None:
    script = 'echo "pg_basebackup: error: could not write: No space left on device" >&2; exit 1'
    with pytest.raises(StorageFailed, match="is full"):
        copy(stand_in(tmp_path, script), tmp_path)


def test_its_failure_is_told_in_its_own_words(tmp_path: Path) -> None:
    script = (
        'echo "   10/100 kB (10%), 0/1 tablespace" >&2;'
        'echo "pg_basebackup: error: could not write: Input/output error" >&2;'
        'echo "pg_basebackup: removing data directory" >&2; exit 1'
    )
    with pytest.raises(ToolFailed) as failed:
        copy(stand_in(tmp_path, script), tmp_path)
    assert failed.value.message == (
        "pg_basebackup ended with exit code 1: could not write: Input/output error"
    )
    assert failed.value.hint == "pg_basebackup: removing data directory"


def test_a_session_that_the_server_ended_is_told_as_that(tmp_path: Path) -> None:
    words = "pg_basebackup: error: COPY stream ended before last file was finished"
    with pytest.raises(ToolFailed, match="PostgreSQL closed the connection"):
        copy(stand_in(tmp_path, f'echo "{words}" >&2; exit 1'), tmp_path)


def test_a_failure_without_a_word_says_that(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="was killed by SIGKILL: it gave no reason") as failed:
        copy(stand_in(tmp_path, "kill -9 $$"), tmp_path)
    assert "Out of memory" in (failed.value.hint or "")


def test_a_missing_program_is_a_failure() -> None:
    tool = PgBasebackup(Conninfo(""), "barmand", [Path("/nowhere")])
    path = os.environ.pop("PATH")
    try:
        with pytest.raises(ToolFailed, match="program not found: pg_basebackup"):
            tool.version()
    finally:
        os.environ["PATH"] = path


# ------------------------------------------------------------------------------------------ silence

PROGRESS = 'echo "   10/100 kB (10%), 0/1 tablespace" >&2'
NO_BYTES = 'echo "    0/100 kB (0%), 0/1 tablespace" >&2'
BAD_PAGE = (
    'echo "WARNING:  checksum verification failed in file \\"base/5/1\\", block 7: '
    'calculated A1B2 but expected C3D4" >&2'
)


def impatient(tool: PgBasebackup) -> PgBasebackup:
    return replace(tool, silence_seconds=0.6)


@pytest.mark.parametrize("words", [PROGRESS, f"{PROGRESS}; {BAD_PAGE}"])
def test_silence_after_the_first_bytes_ends_it_and_what_it_started(
    tmp_path: Path, words: str
) -> None:
    tool = impatient(stand_in(tmp_path, f"sleep 60 & echo $! >{tmp_path}/pid; {words}; wait"))
    begun = time.monotonic()
    with pytest.raises(ToolFailed, match=r"lost its connection: nothing came for 1 s, a timeout"):
        copy(tool, tmp_path)
    assert time.monotonic() - begun < 8
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: find_process(pid) is None)


@pytest.mark.parametrize(
    "words",
    [
        'echo "pg_basebackup: checkpoint completed" >&2',
        NO_BYTES,
        f'{PROGRESS}; echo "NOTICE:  waiting for required WAL segments to be archived" >&2',
        f'{PROGRESS}; echo "HINWEIS:  es wird auf das Archiv gewartet" >&2',
    ],
)
def test_silence_before_the_first_bytes_and_while_the_archive_is_waited_for_is_none(
    tmp_path: Path, words: str
) -> None:
    copy(impatient(stand_in(tmp_path, f"{words}; sleep 1.5")), tmp_path)


def test_what_is_packed_has_more_time(tmp_path: Path) -> None:
    tool = impatient(stand_in(tmp_path, f"{PROGRESS}; sleep 1.5"))
    tool.copy(
        data=tmp_path,
        tablespaces=(),
        label="",
        order=FAST,
        compression=Compression(algorithm=Algorithm.ZSTD),
        stop=Stop(),
        report=Told(),
    )


# --------------------------------------------------------------------------------------------- real


def real(cluster: Cluster) -> PgBasebackup:
    return PgBasebackup(Conninfo(cluster.conninfo), "barmand", [cluster.bindir])


def sessions(cluster: Cluster) -> str:
    return cluster.psql(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'barmand'"
        " UNION SELECT pid FROM pg_stat_replication"
    )


@pytest.fixture
def space(cluster: Cluster, folder: Path) -> Tablespace:
    """A tablespace whose path has an equals sign in it."""
    location = folder / "a=b"
    location.mkdir()
    give_to_postgres(location)
    cluster.psql(f"CREATE TABLESPACE fast LOCATION '{location}'")
    cluster.psql("CREATE TABLE t TABLESPACE fast AS SELECT generate_series(1, 1000) AS n")
    return Tablespace(
        "fast", int(cluster.psql("SELECT max(oid) FROM pg_tablespace")), str(location)
    )


def test_a_real_cluster_is_copied_with_its_tablespace(
    cluster: Cluster, folder: Path, space: Tablespace
) -> None:
    data = folder / "b" / "data"
    data.parent.mkdir()
    told = Told()
    end = copy(real(cluster), data, told, space)
    assert real(cluster).version() == 15
    relation = cluster.psql("SELECT pg_relation_filepath('t')").split("/", 2)[2]
    assert (data.parent / str(space.oid) / relation).stat().st_size > 8192
    assert (data / "pg_tblspc" / str(space.oid)).readlink() == data.parent / str(space.oid)
    assert start_of(read_label(data)).timeline == 1
    stop = end_of(read_manifest_tail(data))
    assert stop is not None
    assert stop.lsn <= parse_lsn(cluster.psql("SELECT pg_current_wal_lsn()"))
    assert end is None  # with --wal-method=none it keeps that to itself
    assert told.phases[:2] == [Phase.CHECKPOINT, Phase.COPYING]
    _, done, total = told.lines[-1]
    assert done == total is not None


def test_a_stop_in_mid_copy_ends_the_session_in_postgresql(cluster: Cluster, folder: Path) -> None:
    stop = Event()
    amounts: list[int | None] = []

    def report(_phase: Phase, done: int | None, _total: int | None) -> None:
        if done:
            amounts.append(done)
            stop.set()

    with pytest.raises(Stopped):
        real(cluster).copy(
            data=folder / "data",
            tablespaces=(),
            label="slow",
            order=Order(immediate_checkpoint=True, bandwidth_limit=1024),
            stop=stop,
            report=report,
        )
    assert amounts[0] is not None
    assert amounts[0] < 8 * 1024 * 1024  # the limit held: the cluster is larger
    eventually(lambda: sessions(cluster) == "")


def slow_copy(cluster: Cluster, folder: Path, stop: Event, told: Told, seconds: float) -> None:
    replace(real(cluster), silence_seconds=seconds).copy(
        data=folder / "data",
        tablespaces=(),
        label="slow",
        order=Order(immediate_checkpoint=True, bandwidth_limit=32),
        stop=stop,
        report=told,
    )


def test_the_slowest_copy_is_no_silence(cluster: Cluster, folder: Path) -> None:
    stop, told = Event(), Told()
    work = Background(lambda: slow_copy(cluster, folder, stop, told, 3))
    eventually(lambda: Phase.COPYING in told.phases)
    time.sleep(9)
    stop.set()
    with pytest.raises(Stopped):
        work.wait(20)
    counts = [done for _, done, _ in told.lines if done]
    assert len(counts) >= 3
    assert counts[-1] < 1024 * 1024


def test_a_sender_that_is_frozen_in_mid_copy_is_a_failure(cluster: Cluster, folder: Path) -> None:
    stop, told = Event(), Told()
    work = Background(lambda: slow_copy(cluster, folder, stop, told, 3))
    eventually(lambda: any(done for _, done, _ in told.lines))
    sender = int(cluster.psql("SELECT pid FROM pg_stat_replication"))
    os.kill(sender, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with pytest.raises(ToolFailed, match="nothing came for 3 s, a timeout"):
            work.wait(30)
    finally:
        os.kill(sender, signal.SIGCONT)
    assert time.monotonic() - begun < 10
    eventually(lambda: sessions(cluster) == "")


def test_an_archive_that_is_slow_is_no_silence(clusters: Clusters, folder: Path) -> None:
    """PostgreSQL tells after six seconds that it waits, then after a minute."""
    cluster = clusters.make(archive_mode="on", archive_command="false")
    stop, told = Event(), Told()

    def work() -> None:
        replace(real(cluster), silence_seconds=9).copy(
            data=folder / "data", tablespaces=(), label="", order=FAST, stop=stop, report=told
        )

    copying = Background(work)
    eventually(lambda: Phase.WAITING_FOR_WAL in told.phases, 30)
    time.sleep(12)
    stop.set()
    with pytest.raises(Stopped):
        copying.wait(20)


def test_a_server_that_is_not_there_is_a_failure_in_its_words(folder: Path, bindir: Path) -> None:
    tool = PgBasebackup(Conninfo(f"host={folder} port=1"), "barmand", [bindir])
    with pytest.raises(ToolFailed, match=r"exit code 1: .*No such file or directory"):
        copy(tool, folder / "data")
