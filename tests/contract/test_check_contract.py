"""A check on a real PostgreSQL: the README's role is enough, and each right is missed by name."""

import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from os import kill
from pathlib import Path

import pytest

from barmand.catalog.memory import Catalog, open_catalog
from barmand.model.finding import Finding, Level
from barmand.model.wal import Run
from barmand.operations.check import Check
from barmand.operations.flow import Flow, Pulse
from barmand.outside.clock import local_now
from barmand.service.house import Kit
from barmand.service.stopping import StopFlag
from barmand.settings import ini
from barmand.wiring import Builder
from daemon.asking import everything_in
from support.daemon import ini as ini_text
from support.daemon import server_options
from support.housed import quiet_bells
from support.postgres import Cluster, Clusters, Template
from support.processes import all_processes
from support.waiting import eventually

ROLE = '"Barm-and"'
README = f"""
CREATE ROLE {ROLE} LOGIN REPLICATION;
GRANT pg_read_all_settings TO {ROLE};
GRANT pg_read_all_stats TO {ROLE};
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {ROLE};
GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO {ROLE};
GRANT pg_checkpoint TO {ROLE};
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO {ROLE};
"""
LOCAL: dict[str, object] = {"backup_method": "local", "slot_name": None, "create_slot": None}


@pytest.fixture(scope="module")
def cluster(session_folder: Path, bindir: Path) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="", dir=session_folder))
    folder.chmod(0o755)
    clusters = Clusters(Template(bindir, session_folder), folder)
    made = clusters.make(wal_segsize=1)
    made.psql(README)
    yield made
    clusters.discard()
    shutil.rmtree(folder)


@dataclass
class Checked:
    check: Check
    catalog: Catalog
    kit: Kit

    def amiss(self) -> dict[str, Level]:
        return {each.name: each.level for each in self.report() if not each.is_ok}

    def finding(self, name: str) -> Finding:
        (found,) = [each for each in self.report() if each.name == name]
        return found

    def report(self) -> list[Finding]:
        return self.check.report(StopFlag())


@contextmanager
def checked(cluster: Cluster, folder: Path, **options: object | None) -> Iterator[Checked]:
    """As the wiring builds it, for the README's role; its archive holds a segment already."""
    (folder / "home").mkdir()
    config = folder / "barmand.conf"
    asking = cluster.conninfo.replace("user=postgres", f"user={ROLE.strip(chr(34))}")
    server = server_options(cluster, conninfo=asking, **options)
    config.write_text(ini_text(folder, {"main": server}))
    with ExitStack() as ends:
        catalog = open_catalog(folder / "barmand.db")
        ends.callback(catalog.close)
        kit = Builder(catalog, quiet_bells()).house(ini.read(config)).kit("main")
        kit.layout.prepare()
        run = Run(1, 1, 1)
        catalog.wal_runs.adopt("main", [(run, 1)], segment_size=1 << 20, now=local_now())
        check = replace(kit.check, receiving=lambda: Flow(Pulse.FLOWING, "streaming"))
        yield Checked(check, catalog, kit)


@pytest.mark.parametrize(
    ("taken", "name", "level"),
    [
        (f"REVOKE pg_read_all_settings FROM {ROLE}", "privilege pg_read_all_settings", "FAILED"),
        (f"REVOKE pg_read_all_stats FROM {ROLE}", "privilege pg_read_all_stats", "WARNING"),
        (f"REVOKE pg_checkpoint FROM {ROLE}", "privilege pg_checkpoint", "WARNING"),
        (
            f"REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM {ROLE}",
            "privilege pg_switch_wal",
            "FAILED",
        ),
        (
            f"REVOKE EXECUTE ON FUNCTION pg_ls_waldir() FROM {ROLE}",
            "privilege pg_ls_waldir",
            "WARNING",
        ),
        (
            f"REVOKE EXECUTE ON FUNCTION pg_backup_start(text, boolean) FROM {ROLE}",
            "privilege pg_backup_start",
            "FAILED",
        ),
        (
            f"REVOKE EXECUTE ON FUNCTION pg_backup_stop(boolean) FROM {ROLE}",
            "privilege pg_backup_stop",
            "FAILED",
        ),
        (f"ALTER ROLE {ROLE} NOREPLICATION", "PostgreSQL streaming", "FAILED"),
    ],
)
def test_each_right_that_is_taken_is_named_with_what_gives_it_back(
    cluster: Cluster, folder: Path, taken: str, name: str, level: str
) -> None:
    with checked(cluster, folder, **LOCAL) as server:
        assert server.amiss() == {}
        cluster.psql(taken)
        assert server.amiss() == {name: Level(level)}
        found = server.finding(name)
        assert found.keeps_from_backup is (level == "FAILED")
        cluster.psql(found.hint.rpartition("run: ")[2].removesuffix(")"))
        assert server.amiss() == {}


def state_of(cluster: Cluster, folder: Path) -> dict[str, object]:
    """The disk, the catalogue's rows, and PostgreSQL's own: its slots, and where it writes."""
    with sqlite3.connect(f"file:{folder / 'barmand.db'}?mode=ro", uri=True) as database:
        rows = list(database.iterdump())
    database.close()
    return {
        "disk": everything_in(folder / "home"),
        "rows": rows,
        "slots": cluster.psql("SELECT * FROM pg_replication_slots"),
        "writes": cluster.psql("SELECT pg_current_wal_insert_lsn()"),
    }


@pytest.mark.parametrize("method", ["postgres", "local", "local-rsync"])
def test_a_check_changes_nothing(cluster: Cluster, folder: Path, method: str) -> None:
    with checked(cluster, folder, **{**LOCAL, "backup_method": method}) as server:
        assert server.report()  # the first look at a catalogue may set hint bits, which is WAL

        def nothing_changed() -> bool:
            """PostgreSQL writes of its own accord now and then, but not at each look."""
            before = state_of(cluster, folder)
            assert server.report()
            after = state_of(cluster, folder)
            wrote = before.pop("writes") != after.pop("writes")
            assert before == after
            return not wrote

        eventually(nothing_changed)


@pytest.mark.parametrize("method", ["postgres", "local", "local-rsync"])
def test_what_lies_in_the_cluster_is_found_with_each_method(
    cluster: Cluster, folder: Path, method: str
) -> None:
    (folder / "link").symlink_to(cluster.data / "base")
    space = folder / "space"
    space.mkdir()
    cluster.psql(f"CREATE TABLESPACE hot LOCATION '{space}'")
    options = {
        **LOCAL,
        "backup_method": method,
        "basebackups_directory": folder / "link" / "bk",
        "wals_directory": space / "wals",
    }
    try:
        with checked(cluster, folder, **options) as server:
            for name, setting, place in (
                ("directories outside PGDATA", "basebackups_directory", cluster.data),
                ("directories outside tablespaces", "wals_directory", f"tablespace hot, {space}"),
            ):
                found = server.finding(name)
                assert (found.level, found.keeps_from_backup) == (Level.FAILED, True)
                assert f"{setting} {options[setting]} lies in " in found.hint
                assert str(place) in found.hint
    finally:
        shutil.rmtree(cluster.data / "base" / "bk")
        cluster.psql("DROP TABLESPACE hot")


@pytest.fixture
def frozen(cluster: Cluster) -> Iterator[int]:
    postmaster = cluster.process
    assert postmaster is not None
    kill(postmaster.pid, signal.SIGSTOP)
    yield postmaster.pid
    kill(postmaster.pid, signal.SIGCONT)


def test_a_frozen_server_times_out_and_the_rest_is_told(
    cluster: Cluster, folder: Path, frozen: int
) -> None:
    with checked(cluster, folder, **LOCAL) as server:
        found = {each.name: each for each in server.check.within(2).report(StopFlag())}
        for name in ("PostgreSQL", "PostgreSQL streaming"):
            assert found[name].level is Level.FAILED
            assert found[name].hint.startswith("timed out after 2 s: see what hangs")
        assert found["directories"].is_ok
        assert found["minimum redundancy requirements"].is_ok
        kill(frozen, signal.SIGCONT)
        assert server.amiss() == {}


def test_an_ssh_that_hangs_times_out_and_is_ended(cluster: Cluster, folder: Path) -> None:
    hanging = folder / "hanging-ssh"
    hanging.write_text("#!/bin/sh\nexec tail -f /dev/null -- " + str(folder) + "\n")
    hanging.chmod(0o755)
    options = {**LOCAL, "backup_method": "rsync", "ssh_command": f"{hanging} db1"}
    with checked(cluster, folder, **options) as server:
        found = {each.name: each for each in server.check.within(2).report(StopFlag())}
        assert found["data directory"].hint.startswith("timed out after 2 s: ")
        assert found["data directory"].keeps_from_backup
        assert found["PostgreSQL"].is_ok
    eventually(lambda: not [each for each in all_processes() if str(hanging) in each.command])
    eventually(lambda: not [each for each in all_processes() if f"-- {folder}" in each.command])
