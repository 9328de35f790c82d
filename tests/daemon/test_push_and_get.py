"""WAL pushed by archive_command and fetched by restore_command, on real clusters."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import PUSHED, ask, done, server_status, show, streaming
from fakes import flip
from support.daemon import PROGRAMS, Daemon
from support.postgres import Cluster, Clusters
from support.waiting import eventually

BARMAN = Path(os.environ["BARMAND_TEST_BARMAN"]) if "BARMAND_TEST_BARMAN" in os.environ else None
Make = Callable[..., Cluster]
Start = Callable[..., Daemon]


def command(folder: Path, words: str) -> str:
    return f"{PROGRAMS / 'barmanctl'} --socket {folder / 'ctl'} {words}"


def pushing(folder: Path) -> dict[str, object]:
    """Settings of a cluster that archives by wal-push."""
    return {"archive_mode": "on", "archive_command": command(folder, 'wal-push main "%p"')}


def archived(home: Path) -> list[str]:
    """Segments in the archive."""
    return sorted(path.name for path in (home / "wals").rglob("*") if len(path.name) == 24)


def pushed(home: Path, name: str) -> Path:
    """The segment in the archive, once it is there."""
    place = home / "wals" / name[:16] / name
    eventually(place.is_file)
    return place


def restored_by(clusters: Clusters, home: Path, destination: Path, restore_command: str) -> Cluster:
    """A cluster laid out from the last backup by hand, that recovers by `restore_command`.

    It is not started yet.
    """
    (backup,) = (home / "base").iterdir()
    destination.parent.mkdir(exist_ok=True)
    os.system(f"cp -a {backup}/data {destination}")  # noqa: S605 - paths of our own
    for name in ("pg_wal/000000*", "pg_wal/archive_status/*"):
        for path in destination.glob(name):
            path.unlink()
    (destination / "recovery.signal").touch()
    return clusters.adopt(
        destination,
        start=False,
        archive_mode="off",
        restore_command=restore_command,
        recovery_target_timeline="latest",
    )


@pytest.mark.parametrize("megabytes", [1, 64])
def test_segments_of_any_size_are_pushed(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path, megabytes: int
) -> None:
    cluster = make_cluster(wal_segsize=megabytes, **pushing(folder))
    daemon_for(cluster, **PUSHED)
    name = cluster.switch_wal()
    assert pushed(home, name).stat().st_size == megabytes * 1024 * 1024
    assert cluster.psql("SELECT failed_count FROM pg_stat_archiver") == "0"


def test_a_pushed_backup_is_done_at_once(
    make_cluster: Make, daemon_for: Start, folder: Path
) -> None:
    daemon = daemon_for(make_cluster(**pushing(folder)), **PUSHED)
    view = done(daemon)
    assert view["missing_wal_count"] == 0


def test_a_daemon_that_is_down_costs_nothing_but_time(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path
) -> None:
    cluster = make_cluster(**pushing(folder))
    daemon = daemon_for(cluster, **PUSHED)
    daemon.stop()
    name = cluster.switch_wal()
    eventually(lambda: cluster.psql("SELECT failed_count > 0 FROM pg_stat_archiver") == "t")
    assert "no barmand at" in cluster.log.read_text()
    daemon.start()
    cluster.switch_wal()  # after three failures PostgreSQL waits for a minute, or for this
    pushed(home, name)


@pytest.mark.parametrize(
    "compression", ["none", "zstd", pytest.param("gzip", marks=pytest.mark.soak)]
)
def test_a_cluster_recovers_by_get_wal(
    make_cluster: Make,
    clusters: Clusters,
    daemon_for: Start,
    folder: Path,
    compression: str,
) -> None:
    home = folder / "home" / "main"
    cluster = make_cluster(**pushing(folder))
    daemon = daemon_for(cluster, **PUSHED, compression=compression)
    done(daemon)
    cluster.psql("CREATE TABLE t AS SELECT 42 AS a")
    place = pushed(home, cluster.switch_wal())
    assert (place.stat().st_size < 16 << 20) is (compression != "none")
    for number, words in enumerate(("%f %p", "%f > %p", "-p 3 %f %p")):
        fetch = command(folder, f"get-wal main {words}")
        if "-p" in words:
            fetch += f" --spool {folder / 'spool'}"
            (folder / "spool").mkdir(0o700)
        other = restored_by(clusters, home, folder / f"r{number}" / "data", fetch)
        other.start()
        eventually(lambda other=other: other.psql("SELECT pg_is_in_recovery()") == "f")  # type: ignore[misc]
        assert other.psql("SELECT a FROM t") == "42"
        other.stop()


def test_a_daemon_that_stops_in_mid_recovery_stops_postgresql_and_promotes_nothing(
    make_cluster: Make, clusters: Clusters, daemon_for: Start, folder: Path, home: Path
) -> None:
    cluster = make_cluster(wal_segsize=1, **pushing(folder))
    daemon = daemon_for(cluster, **PUSHED)
    done(daemon)
    cluster.psql("CREATE TABLE t AS SELECT generate_series(1, 200000) AS a")
    last = cluster.switch_wal()
    pushed(home, last)
    middle = archived(home)[-3]
    # The daemon is killed when PostgreSQL asks for one of the last segments.
    script = folder / "restore"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = {middle} ] && kill -9 {daemon.pid}\n'
        f'exec {command(folder, "get-wal main")} "$1" "$2"\n'
    )
    script.chmod(0o755)
    other = restored_by(clusters, home, folder / "r" / "data", f'{script} "%f" "%p"')
    with contextlib.suppress(RuntimeError):  # it may open for readers before it gets so far
        other.start()
    eventually(lambda: not other.is_running)
    assert "no barmand at" in other.log.read_text()
    assert not list((other.data / "pg_wal").glob("00000002*"))  # no timeline of its own
    daemon.wait()
    daemon.start()
    other.configure(restore_command=command(folder, 'get-wal main "%f" "%p"'))
    other.start()
    eventually(lambda: other.psql("SELECT pg_is_in_recovery()") == "f")
    assert other.psql("SELECT count(*) FROM t") == "200000"


def test_a_bit_that_flips_in_the_archive_stops_postgresql_until_a_whole_segment_came(
    make_cluster: Make, clusters: Clusters, daemon_for: Start, folder: Path, home: Path
) -> None:
    cluster = make_cluster(wal_segsize=1, **pushing(folder))
    daemon = daemon_for(cluster, **PUSHED, compression="none")
    done(daemon)
    cluster.psql("CREATE TABLE t AS SELECT generate_series(1, 200000) AS a")
    pushed(home, cluster.switch_wal())
    middle = pushed(home, archived(home)[-3])
    whole = middle.read_bytes()
    flip(middle, 500_000)
    fetch = command(folder, 'get-wal main "%f" "%p"')
    other = restored_by(clusters, home, folder / "r" / "data", fetch)
    with contextlib.suppress(RuntimeError):  # it may open for readers before it gets so far
        other.start()
    eventually(lambda: not other.is_running)
    assert "it is not what was archived" in other.log.read_text()
    assert not list((other.data / "pg_wal").glob("00000002*"))  # no timeline of its own
    daemon.expects("WAL file set aside")
    (home / "incoming" / middle.name).write_bytes(whole)
    eventually(lambda: middle.is_file() and middle.read_bytes() == whole)
    other.start()
    eventually(lambda: other.psql("SELECT pg_is_in_recovery()") == "f")
    assert other.psql("SELECT count(*) FROM t") == "200000"


# ---------------------------------------------------------------------------- from elsewhere, twice
def shell_instead_of_ssh(folder: Path) -> dict[str, str]:
    """`ssh HOST barman put-wal main` runs here; `barman` there is the shim of docs/barmanctl.md."""
    shims = folder / "bin"
    shims.mkdir()
    for name, body in (
        ("ssh", 'while [ "$1" != barman ]; do shift; done\nexec sh -c "$*"\n'),
        ("barman", f'exec {PROGRAMS / "barmanctl"} --socket {folder / "ctl"} "$@"\n'),
    ):
        (shims / name).write_text(f"#!/bin/sh\n{body}")
        (shims / name).chmod(0o755)
    return {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}"}


@pytest.mark.skipif(BARMAN is None, reason="BARMAND_TEST_BARMAN names no barman")
def test_barmans_own_programs_push_and_fetch(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path, tmp_path: Path
) -> None:
    assert BARMAN is not None
    cluster = make_cluster()
    daemon = daemon_for(cluster, **PUSHED)
    daemon.expects("WAL file set aside")
    name = cluster.switch_wal()
    environment = shell_instead_of_ssh(folder)
    segment = cluster.data / "pg_wal" / name

    def barman(program: str, *words: str | Path) -> int:
        argv = [BARMAN.with_name(program), *words]
        return subprocess.run(argv, env=environment, check=False, timeout=60).returncode

    assert barman("barman-wal-archive", "--test", "backup.host", "main", segment) == 0
    assert barman("barman-wal-archive", "--test", "backup.host", "nobody", segment) != 0
    assert barman("barman-wal-archive", "backup.host", "main", segment) == 0
    assert barman("barman-wal-archive", "--md5", "backup.host", "main", segment) == 0
    assert pushed(home, name).read_bytes() == segment.read_bytes()
    changed = tmp_path / name
    changed.write_bytes(segment.read_bytes()[:-1] + b"x")
    assert barman("barman-wal-archive", "backup.host", "main", changed) != 0
    target = tmp_path / "RECOVERYXLOG"
    assert barman("barman-wal-restore", "backup.host", "main", name, target) == 0
    assert target.read_bytes() == segment.read_bytes()
    absent = f"{name[:-2]}FF"
    assert barman("barman-wal-restore", "backup.host", "main", absent, tmp_path / "no") == 1
    daemon.stop()
    assert barman("barman-wal-restore", "backup.host", "main", name, tmp_path / "no") > 125


def test_push_and_stream_of_the_same_segments_leave_one_copy_of_each(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path
) -> None:
    cluster = make_cluster(wal_segsize=1, **pushing(folder))
    daemon = streaming(daemon_for(cluster, archiver="on"))
    names = [cluster.switch_wal() for _ in range(12)]
    for name in names:
        pushed(home, name)
    eventually(lambda: cluster.psql("SELECT last_archived_wal FROM pg_stat_archiver") >= names[-1])
    ask(daemon, "archive-wal", server="main")
    held = archived(home)
    assert len(held) == len(set(held))
    assert set(names) <= set(held)
    assert list((home / "errors").iterdir()) == []
    assert server_status(daemon)["archived_wals"] == len(held)


def test_other_content_is_never_acknowledged(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path, tmp_path: Path
) -> None:
    cluster = make_cluster(**pushing(folder))
    daemon = daemon_for(cluster, **PUSHED)
    name = cluster.switch_wal()
    archived_one = pushed(home, name)
    before = archived_one.read_bytes()
    changed = tmp_path / name
    changed.write_bytes(before[:-1] + b"x")
    daemon.expects("WAL file set aside")
    for _ in range(3):
        refused = daemon.ctl("wal-push", "main", changed, check=False)
        assert refused.returncode == 4
        assert refused.stderr.count("\n") == 1
    assert archived_one.read_bytes() == before
    (kept,) = (home / "errors").iterdir()
    assert kept.read_bytes() == changed.read_bytes()
    assert server_status(daemon)["set_aside"] == 1
    (check,) = ask(daemon, "check", servers=["main"])["servers"]
    (aside,) = [each for each in check["findings"] if each["name"] == "archiver errors"]
    assert not aside["ok"]
    assert kept.name in aside["hint"]
    done(daemon)
    mark = home / "meta" / f"{show(daemon)['backup_id']}-keep"
    mark.write_text("standalone")
    assert show(daemon)["keep"] == "standalone"


def test_a_daemon_killed_again_and_again_keeps_one_whole_copy_of_each_segment(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path
) -> None:
    cluster = make_cluster(wal_segsize=1, **pushing(folder))
    daemon = daemon_for(cluster, **PUSHED)
    names: list[str] = []
    for _ in range(6):
        names += [cluster.switch_wal() for _ in range(4)]
        daemon.kill9()
        daemon.start()
    names.append(cluster.switch_wal())
    pushed(home, names[-1])
    ask(daemon, "archive-wal", server="main")
    assert set(names) <= set(archived(home))
    for name in names:
        assert (home / "wals" / name[:16] / name).stat().st_size == 1 << 20
    assert not [path for path in (home / "incoming").rglob("*") if path.is_file()]
    assert list((home / "errors").iterdir()) == []


def test_a_full_disk_refuses_and_postgresql_keeps_its_wal_until_there_is_room(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path
) -> None:
    cluster = make_cluster(**pushing(folder))
    daemon = daemon_for(cluster, **PUSHED)
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    # Its writes end in mid-segment, as on a full disk (EFBIG, where that would be ENOSPC).
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (8 << 20, hard))
    name = cluster.switch_wal()
    eventually(lambda: cluster.psql("SELECT failed_count > 0 FROM pg_stat_archiver") == "t")
    assert not [path for path in home.rglob(f"{name}*") if path.is_file()]
    assert server_status(daemon)["archived_wals"] == 0
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    cluster.switch_wal()  # after three failures PostgreSQL waits for a minute, or for this
    assert pushed(home, name).stat().st_size == 16 << 20


def test_no_descriptor_is_lost_on_the_way(
    make_cluster: Make, daemon_for: Start, folder: Path, home: Path, tmp_path: Path
) -> None:
    cluster = make_cluster(wal_segsize=1, **pushing(folder))
    daemon = daemon_for(cluster, **PUSHED)
    name = cluster.switch_wal()
    segment = pushed(home, name)
    daemon.expects("WAL file set aside")
    (tmp_path / name).write_bytes(segment.read_bytes()[:-1] + b"x")

    def all_sorts() -> None:
        for words, code in (
            (("wal-push", "main", segment), 0),
            (("wal-push", "main", tmp_path / name), 4),
            (("wal-push", "nobody", segment), 3),
            (("get-wal", "main", name, tmp_path / "x"), 0),
            (("get-wal", "main", f"{name[:-1]}F", tmp_path / "x"), 1),
            (("get-wal", "nobody", name, tmp_path / "x"), 203),
        ):
            assert daemon.ctl(*words, check=False).returncode == code

    def open_files() -> list[str]:
        """Of WAL and of memory; other threads open other things."""
        links = [path.readlink() for path in Path(f"/proc/{daemon.pid}/fd").iterdir()]
        return sorted(str(link) for link in links if name in str(link) or "memfd" in str(link))

    for _ in range(5):
        all_sorts()
    assert open_files() == []


def test_a_server_that_only_streams_refuses_a_push_with_the_way_out(
    make_cluster: Make, daemon_for: Start, home: Path
) -> None:
    cluster = make_cluster(wal_segsize=1)
    daemon = streaming(daemon_for(cluster))
    written = cluster.psql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    refused = daemon.ctl("wal-push", "main", cluster.data / "pg_wal" / written, check=False)
    assert refused.returncode == 4
    assert "archiver = on" in refused.stderr
    name = cluster.switch_wal()
    assert name == written
    pushed(home, name)
    assert list((home / "errors").iterdir()) == []
