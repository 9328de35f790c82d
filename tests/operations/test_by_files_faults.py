"""A real cluster copied while things break: processes, connections, pages, the server itself."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from structlog.testing import capture_logs

from barmand.model.backup import Backup, Damage, Status
from barmand.model.errors import Failure, PostgresFailed, Stopped, ToolFailed
from barmand.model.order import Reuse
from barmand.model.progress import Phase
from barmand.operations.ports import FileCopier
from barmand.outside.rsync_files import RsyncFiles
from barmand.service.stopping import StopFlag
from support.processes import Process, all_processes, descendants
from support.sshd import Sshd
from support.taking import SERVER, Background, Taking, Told, hashes
from support.waiting import eventually

MIB = 1024 * 1024
PAGE = 8192
SLOW = {"jobs": 2, "bandwidth_limit": 16_000}
"""Some seconds, for about 50 MB."""
RSYNC = pytest.mark.parametrize("copier", ["local-rsync", "rsync"], indirect=True)


def workers(taking: Taking) -> list[Process]:
    """The rsyncs that fetch files, without what they have started in turn."""
    mark = f"--temp-dir={taking.layout.base}"
    own = os.getpid()
    return [p for p in descendants(own) if p.parent == own and mark in p.command]


def connections() -> list[Process]:
    """What holds the connection that commands share."""
    return [p for p in descendants(os.getpid()) if "ControlMaster=yes" in p.command]


def assert_over(taking: Taking) -> None:
    """The newest backup is FAILED, PostgreSQL's backup mode has ended, no process is left."""
    mark = os.fsencode(taking.layout.base)
    assert not [process for process in all_processes() if mark in os.fsencode(process.command)]
    assert not connections()
    assert taking.catalog.backups.of_server(SERVER)[-1].status is Status.FAILED
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'barmand'"
    eventually(lambda: taking.cluster.psql(sessions) == "0")


def signal_all(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def places_of(taking: Taking) -> dict[str, int]:
    """The inode of each file that has its name already."""
    return {
        str(path.relative_to(taking.layout.base)): path.stat().st_ino
        for path in taking.layout.base.glob("*/data/**/*")
        if path.is_file()
    }


@pytest.mark.parametrize("is_leader", [True, False])
@RSYNC
def test_a_killed_worker_is_started_again_and_the_copy_is_whole(
    taking: Taking, copier: FileCopier, *, is_leader: bool
) -> None:
    """Not the leader: the ssh that it talks through, or the sender on this machine."""
    told = Told()
    work = Background(
        lambda: taking.take(
            copier, told=told, makes_manifest=True, retry_times=1, retry_sleep=0.1, **SLOW
        )
    )
    assert told.copying.wait(30)
    leader = eventually(lambda: workers(taking))[0]
    victim = leader if is_leader else eventually(lambda: descendants(leader.pid))[0]
    victim.kill()
    backup = work.wait(60)
    assert isinstance(backup, Backup)
    assert Phase.RETRYING in told.phases
    assert taking.verify(backup)


@RSYNC
def test_a_killed_worker_without_another_attempt_fails_the_backup_at_once(
    taking: Taking, copier: FileCopier
) -> None:
    told = Told()
    work = Background(lambda: taking.take(copier, told=told, **SLOW))
    assert told.copying.wait(30)
    eventually(lambda: workers(taking))[0].kill()
    begun = time.monotonic()
    with pytest.raises(ToolFailed, match="was killed by signal 9: it gave no reason") as failed:
        work.wait(30)
    assert "Out of memory" in (failed.value.hint or "")
    assert time.monotonic() - begun < 5
    assert_over(taking)


@pytest.mark.parametrize("phase", [Phase.CHECKPOINT, Phase.COPYING])
def test_a_connection_that_freezes_again_and_again_fails_the_backup_with_that_reason(
    taking: Taking, sshd: Sshd, phase: Phase
) -> None:
    """From the first, when files are listed, or once they are copied."""
    told = Told()
    copier = RsyncFiles(ssh=sshd.words, silence_seconds=2, connect_seconds=2)
    begun = time.monotonic()
    work = Background(
        lambda: taking.take(copier, told=told, retry_times=1, retry_sleep=0.1, **SLOW)
    )
    eventually(lambda: phase in told.phases)
    with freezing(sshd), pytest.raises(ToolFailed, match=r"lost its connection.*time"):
        work.wait(40)
    assert time.monotonic() - begun < 30
    assert told.phases.count(Phase.RETRYING) >= 1
    assert_over(taking)


@contextmanager
def freezing(sshd: Sshd) -> Iterator[None]:
    """Whatever sshd starts meanwhile stands still."""
    over = threading.Event()

    def freeze() -> None:
        while not over.wait(0.05):
            signal_all((p for p in sshd.children if "rsync --server" in p.command), signal.SIGSTOP)

    work = Background(freeze)
    try:
        yield
    finally:
        over.set()
        work.wait()


def test_after_a_cut_connection_what_is_here_already_is_not_fetched_again(
    taking: Taking, sshd: Sshd
) -> None:
    told = Told()
    copier = RsyncFiles(ssh=sshd.words)
    work = Background(
        lambda: taking.take(
            copier, told=told, makes_manifest=True, retry_times=2, retry_sleep=2, **SLOW
        )
    )
    eventually(lambda: len(places_of(taking)) > 100)
    signal_all(sshd.children, signal.SIGKILL)
    eventually(lambda: Phase.RETRYING in told.phases)
    before = places_of(taking)
    backup = work.wait(60)
    assert isinstance(backup, Backup)
    after = places_of(taking)
    assert len(before) > 100
    assert {name: after.get(name) for name in before} == before
    counts = [done for done, _ in told.bytes]
    assert counts == sorted(counts)
    assert taking.verify(backup)


@pytest.mark.parametrize("retry_times", [0, 1])
def test_without_the_connection_that_was_shared_others_go_their_own_way(
    taking: Taking, sshd: Sshd, retry_times: int
) -> None:
    """Whose files come over it at that moment has to try again."""
    told = Told()
    work = Background(
        lambda: taking.take(
            RsyncFiles(ssh=sshd.words),
            told=told,
            makes_manifest=True,
            retry_times=retry_times,
            retry_sleep=0.1,
            **SLOW,
        )
    )
    assert told.copying.wait(30)
    eventually(lambda: len(workers(taking)) == SLOW["jobs"])
    for connection in connections():
        connection.kill()
    if retry_times:
        backup = work.wait(60)
        assert isinstance(backup, Backup)
        assert Phase.RETRYING in told.phases
        assert taking.verify(backup)
    else:
        with pytest.raises(ToolFailed, match="rsync lost its connection"):
            work.wait(60)
        assert_over(taking)


def test_a_page_that_was_torn_when_it_was_read_is_fetched_again_and_no_damage(
    taking: Taking, sshd: Sshd
) -> None:
    cluster = taking.cluster
    cluster.psql("CREATE TABLE torn AS SELECT generate_series(1, 5000) AS n")
    path = cluster.psql("SELECT pg_relation_filepath('torn')")
    cluster.psql("CHECKPOINT")
    whole = (cluster.data / path).read_bytes()
    half = PAGE + PAGE // 2

    def write_the_other_half() -> None:
        """As soon as the first half was copied."""
        eventually(lambda: list(taking.layout.base.glob(f"*/data/{path}")))
        with (cluster.data / path).open("r+b") as file:
            file.seek(half)
            file.write(whole[half : 2 * PAGE])

    with (cluster.data / path).open("r+b") as file:
        file.seek(half)
        file.write(bytes(PAGE // 2))
    writing = Background(write_the_other_half)
    with capture_logs() as said:
        backup = taking.take(RsyncFiles(ssh=sshd.words), jobs=2, makes_manifest=True)
    writing.wait()
    cluster.psql("DROP TABLE torn")
    assert backup.copied is not None
    assert backup.copied.damages == ()
    assert (taking.data(backup) / path).read_bytes() == whole
    fetched = [
        line["files"] for line in said if line["event"] == "rsync starts" and "files" in line
    ]
    assert 1 in fetched[2:-1]
    assert taking.verify(backup)


@pytest.mark.parametrize("reuse", [Reuse.OFF, Reuse.LINK])
def test_an_unreadable_file_fails_the_backup_and_is_named(
    taking: Taking, copier: FileCopier, reuse: Reuse
) -> None:
    cluster = taking.cluster
    if reuse is Reuse.LINK:
        taking.take(copier)
    cluster.psql("CREATE TABLE secret AS SELECT 1 AS n")
    path = cluster.data / cluster.psql("SELECT pg_relation_filepath('secret')")
    cluster.psql("CHECKPOINT")
    path.chmod(0)
    try:
        with pytest.raises(Failure) as failed:
            taking.take(copier, retry_times=3, reuse=reuse)
    finally:
        path.chmod(0o600)
        cluster.psql("DROP TABLE secret")
    assert str(path) in failed.value.message
    assert "Permission denied" in failed.value.message
    assert "read" in (failed.value.hint or "").partition("\n")[0]
    assert "write" not in (failed.value.hint or "")
    assert "key" not in (failed.value.hint or "")
    assert "|" not in (failed.value.hint or "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_older_backups_are_untouched_by_a_broken_and_retried_linked_one(
    taking: Taking, sshd: Sshd, number: signal.Signals
) -> None:
    cluster = taking.cluster
    copier = RsyncFiles(ssh=sshd.words, silence_seconds=2)
    linked = {"makes_manifest": True, "reuse": Reuse.LINK}
    taking.take(copier, **linked)
    time.sleep(2.1)  # what is younger than two seconds is compared, not linked
    with cluster.pgbench(seconds=1) as load:
        load.wait()
    first = taking.take(copier, **linked)
    before, held = hashes(taking.layout.base), len(places_of(taking))
    (cluster.data / "new").write_bytes(os.urandom(20 * MIB))
    told = Told()
    work = Background(
        lambda: taking.take(copier, told=told, retry_times=2, retry_sleep=0.1, **linked, **SLOW)
    )
    try:
        with cluster.pgbench(seconds=30):
            eventually(lambda: len(places_of(taking)) > held + 100)
            signal_all(sshd.children, number)
            second = work.wait(90)
    finally:
        (cluster.data / "new").unlink()
    assert isinstance(second, Backup)
    after = hashes(taking.layout.base)
    assert {name: after.get(name) for name in before} == before
    assert Phase.RETRYING in told.phases
    for backup in (first, second):
        assert taking.verify(backup)


def test_a_restart_of_the_cluster_in_mid_copy_is_noticed(
    taking: Taking, copier: FileCopier
) -> None:
    cluster = taking.cluster
    told = Told()
    work = Background(lambda: taking.take(copier, told=told, jobs=2, bandwidth_limit=2000))
    assert told.copying.wait(30)
    cluster.restart("immediate")
    begun = time.monotonic()
    with pytest.raises(PostgresFailed, match="ended the backup"):
        work.wait(30)
    assert time.monotonic() - begun < 10


def test_after_a_restart_the_copy_begins_once_more_where_retries_are_wanted(
    taking: Taking, copier: FileCopier
) -> None:
    cluster = taking.cluster
    told = Told()
    work = Background(
        lambda: taking.take(
            copier, told=told, jobs=2, bandwidth_limit=9000, retry_times=1, retry_sleep=3.0
        )
    )
    assert told.copying.wait(30)
    cluster.restart("immediate")
    cluster.psql("CREATE TABLE after_the_restart AS SELECT 1")
    backup = work.wait(60)
    assert isinstance(backup, Backup)
    assert Phase.RETRYING in told.phases
    path = cluster.psql("SELECT pg_relation_filepath('after_the_restart')")
    cluster.psql("DROP TABLE after_the_restart")
    assert (taking.data(backup) / path).exists(), "all of it was copied again"


def test_a_stop_ends_it_and_leaves_no_process(taking: Taking, copier: FileCopier) -> None:
    told, stop = Told(), StopFlag()
    work = Background(
        lambda: taking.take(copier, told=told, stop=stop, jobs=2, bandwidth_limit=2000)
    )
    assert told.copying.wait(30)
    stop.stop("cancelled by alice")
    begun = time.monotonic()
    with pytest.raises(Stopped):
        work.wait(30)
    assert time.monotonic() - begun < 5
    assert_over(taking)


def overwrite(file: IO[bytes], block: int, content: bytes) -> None:
    file.seek(block * PAGE)
    file.write(content)


def test_a_bad_page_is_told_with_file_and_block(taking: Taking, copier: FileCopier) -> None:
    cluster = taking.cluster
    cluster.psql("CREATE TABLE bad AS SELECT generate_series(1, 50000) AS n")
    cluster.psql("CREATE TABLE small AS SELECT 1 AS n")
    path, small = (
        cluster.psql(f"SELECT pg_relation_filepath('{name}')") for name in ("bad", "small")
    )
    cluster.psql("CHECKPOINT")
    with (cluster.data / path).open("r+b") as file:
        file.seek(17 * PAGE + 4000)
        byte = file.read(1)
        file.seek(17 * PAGE + 4000)
        file.write(bytes([byte[0] ^ 1]))
        overwrite(file, 18, b"\xff" * PAGE)
        overwrite(file, 40, bytes(PAGE // 2))
        overwrite(file, 200, os.urandom(PAGE))
    with (cluster.data / small).open("r+b") as file:
        overwrite(file, 0, os.urandom(PAGE))
    with cluster.pgbench(seconds=30):
        backup = taking.take(copier, jobs=2, makes_manifest=True)
    cluster.psql("DROP TABLE bad, small")
    assert backup.copied is not None
    assert set(backup.copied.damages) == {Damage(path, (17, 18, 40, 200)), Damage(small, (0,))}
    assert taking.verify(backup)


def test_a_tablespace_made_while_the_backup_began_is_no_silent_hole(
    taking: Taking, copier: FileCopier, folder: Path
) -> None:
    """After the cluster told its tablespaces, before its backup mode began."""
    place = folder / "late"
    place.mkdir()

    class Late(Told):
        def __call__(self, phase: Phase, done: int | None, total: int | None) -> None:
            super().__call__(phase, done, total)
            if phase is Phase.CHECKPOINT:
                taking.cluster.psql(f"CREATE TABLESPACE late LOCATION '{place}'")

    try:
        with pytest.raises(PostgresFailed, match="main got a new tablespace"):
            taking.take(copier, told=Late())
    finally:
        taking.cluster.psql("DROP TABLESPACE late")
    assert_over(taking)
