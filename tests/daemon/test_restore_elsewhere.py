"""A restore beside its living source: it shares no file, and starts without its settings."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.asking import (
    done,
    everything_in,
    refusal,
    restored,
    server_status,
    streaming,
)
from support.daemon import Daemon
from support.postgres import Cluster, Clusters, give_to_postgres
from support.waiting import eventually


def place(folder: Path) -> Path:
    folder.mkdir()
    give_to_postgres(folder)
    return folder


def make_tablespace(cluster: Cluster, name: str, location: Path) -> None:
    """With a table in it that has rows."""
    cluster.psql(f"CREATE TABLESPACE {name} LOCATION '{location}'")
    cluster.psql(f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT 42 AS answer")


def archive_all(daemon: Daemon, cluster: Cluster) -> None:
    last = cluster.switch_wal()
    eventually(lambda: (server_status(daemon)["last_archived_wal"] or "") >= last)


def warned(daemon: Daemon, destination: Path, **params: object) -> list[str]:
    """What a restore that succeeds warns of."""
    with daemon.rpc(timeout=60) as rpc:
        answer, notes = rpc.call(
            "restore", server="main", backup="last", destination=str(destination), **params
        )
    assert "result" in answer, answer
    words: list[str] = [note["params"]["message"] for note in notes if note["method"] == "warning"]
    return words


def test_a_tablespace_made_after_the_backup_stays_the_living_clusters(
    daemon: Daemon, cluster: Cluster, clusters: Clusters, folder: Path
) -> None:
    before, after = place(folder / "before"), place(folder / "after")
    make_tablespace(cluster, "before", before)
    done(daemon)
    make_tablespace(cluster, "later", after)
    archive_all(daemon, cluster)
    alive, moved = everything_in(after), {"before": str(folder / "moved")}
    error = refusal(
        daemon,
        "restore",
        server="main",
        backup="last",
        destination=str(folder / "copy"),
        tablespaces=moved,
    )
    assert error["exit_code"] == 4
    assert str(after) in error["message"]
    assert "--target-immediate" in error["hint"]
    assert everything_in(after) == alive
    assert everything_in(folder / "copy") == everything_in(folder / "moved") == {}
    copy = restored(daemon, clusters, folder / "copy", tablespaces=moved, target_immediate=True)
    assert copy.psql("SELECT answer FROM in_before") == "42"
    assert copy.psql("SELECT count(*) FROM pg_tablespace WHERE spcname = 'later'") == "0"
    copy.psql("DROP TABLE in_before")
    copy.psql("CHECKPOINT")
    assert cluster.psql("SELECT answer FROM in_before NATURAL JOIN in_later") == "42"


def test_on_another_machine_the_requester_makes_the_tablespaces_folder(
    daemon: Daemon, cluster: Cluster, clusters: Clusters, folder: Path
) -> None:
    done(daemon)
    location = place(folder / "elsewhere")
    make_tablespace(cluster, "later", location)
    archive_all(daemon, cluster)
    cluster.stop()
    shutil.rmtree(location)  # as on a machine that never had it
    (warning,) = warned(daemon, folder / "copy")
    assert f"at {location} " in warning
    assert "make that folder" in warning
    copy = clusters.adopt(folder / "copy", start=False)
    with pytest.raises(RuntimeError, match="pg_ctl start failed"):
        copy.start()
    assert f'directory "{location}" does not exist' in copy.log.read_text()
    place(location)
    copy.start()
    eventually(lambda: copy.psql("SELECT NOT pg_is_in_recovery()") == "t")
    assert copy.psql("SELECT answer FROM in_later") == "42"


# ------------------------------------------------------------------- configuration as Debian has it


@pytest.fixture
def debian(clusters: Clusters, folder: Path) -> Cluster:
    """Its configuration lies outside its data directory, and a part of it in conf.d."""
    data = clusters.make(start=False).data
    etc = folder / "etc"
    (etc / "conf.d").mkdir(parents=True)
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        shutil.move(data / name, etc / name)
    with (etc / "postgresql.conf").open("a") as conf:
        conf.write(f"data_directory = '{data}'\nhba_file = '{etc}/pg_hba.conf'\n")
        conf.write(f"ident_file = '{etc}/pg_ident.conf'\ninclude_dir = 'conf.d'\n")
    (etc / "conf.d/own.conf").write_text("max_connections = 177\nwork_mem = '5MB'\n")
    return clusters.adopt(etc)


def put_configuration(etc: Path, copy: Path) -> None:
    """What the warning tells to do where the backup has none."""
    places = ("data_directory", "hba_file", "ident_file")
    lines = (etc / "postgresql.conf").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(places)]
    (copy / "postgresql.conf").write_text("".join(kept))
    for name in ("pg_hba.conf", "pg_ident.conf"):
        shutil.copy(etc / name, copy / name)
    (copy / "conf.d").mkdir()


@pytest.mark.parametrize("method", ["local", "postgres"])
def test_without_the_sources_conf_d_recovery_begins_all_the_same(
    debian: Cluster,
    daemon_for: Callable[..., Daemon],
    clusters: Clusters,
    folder: Path,
    method: str,
) -> None:
    daemon = streaming(daemon_for(debian, backup_method=method))
    done(daemon)
    debian.psql("CREATE TABLE marker AS SELECT 42 AS answer")
    archive_all(daemon, debian)
    copy = folder / "copy"
    warnings = warned(daemon, copy)
    own = f"not in the backup: {debian.data}/conf.d/own.conf; put them into {copy}/conf.d before"
    assert warnings[-1].startswith(own)
    assert len(warnings) == (1 if method == "local" else 2)
    if method == "postgres":
        assert f"{debian.data}/postgresql.conf, " in warnings[0]
        put_configuration(debian.data, copy)
    assert list((copy / "conf.d").iterdir()) == []
    again = clusters.adopt(copy)
    eventually(lambda: again.psql("SELECT NOT pg_is_in_recovery()") == "t")
    assert again.psql("SELECT answer FROM marker") == "42"
    assert again.psql("SHOW max_connections") == "177"
    assert again.psql("SHOW work_mem") == "4MB"
    shutil.copy(debian.data / "conf.d/own.conf", copy / "conf.d")
    again.restart()
    assert again.psql("SHOW work_mem") == "5MB"
