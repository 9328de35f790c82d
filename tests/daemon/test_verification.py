"""Verification in the whole daemon: it outlives its client, is cancelled, and is remembered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.asking import ask, done, refusal, streaming
from support.daemon import Daemon
from support.damaging import damaged
from support.postgres import Cluster
from support.processes import descendants
from support.waiting import eventually

SECRET = "Hunter2SecretWord"  # noqa: S105 - it is made up


@pytest.fixture
def kept(cluster: Cluster, daemon_for: Callable[..., Daemon]) -> Daemon:
    conninfo = f"{cluster.conninfo} password={SECRET}"
    daemon = streaming(daemon_for(cluster, conninfo=conninfo))
    done(daemon)
    return daemon


def verified(daemon: Daemon) -> Any:
    return daemon.json("show-backup", "main", "last")["verification"]


def test_what_is_found_is_told_remembered_and_an_alarm(kept: Daemon, home: Path) -> None:
    told = kept.ctl("verify-backup", "main", "last").stdout
    assert ": whole, " in told
    refused = kept.ctl("generate-manifest", "main", "last", check=False)
    assert refused.returncode == 4
    assert "has a manifest" in refused.stderr
    kept.expects("backup found damaged")
    (pages,) = home.glob("base/*/data/base/1/1259")
    with damaged(pages, "flipped"):
        failed = kept.ctl("verify-backup", "all", "all", check=False)
        document = kept.ctl("verify-backup", "-f", "json", "main", "last", check=False)
    assert failed.returncode == document.returncode == 8
    assert f"{pages}: its checksum is not the manifest's, block " in failed.stdout
    (result,) = json.loads(document.stdout)["backups"]
    assert [flaw["file"] for flaw in result["verification"]["flaws"]] == [str(pages)]
    assert kept.log_records("backup found damaged")
    assert "(DAMAGED)" in kept.ctl("list-backups").stdout

    kept.kill9()
    kept.start()
    assert verified(kept)["verdict"] == "damaged"
    place = kept.folder / "restored"
    refused = kept.ctl("restore", "main", "last", place, check=False)
    assert refused.returncode == 4
    assert f"{pages}: its checksum is not" in refused.stderr
    assert not place.exists()
    accepted = kept.ctl("restore", "main", "last", place, "--accept-damage")
    assert "found damaged" in accepted.stderr
    kept.ctl("delete", "main", "last")


def test_a_client_that_goes_away_leaves_it_at_work(kept: Daemon) -> None:
    with kept.rpc() as rpc:
        rpc.request("verify-backup", servers=["main"], backups=["all"])
        assert rpc.read()["method"] == "progress"
    eventually(lambda: verified(kept) is not None)
    assert verified(kept)["verdict"] == "whole"


def test_it_is_cancelled_though_the_program_hangs_and_holds_the_backup_until_then(
    cluster: Cluster, daemon_for: Callable[..., Daemon], folder: Path
) -> None:
    program, real = folder / "hung/pg_verifybackup", cluster.bindir / "pg_verifybackup"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real} "$1"\nexec sleep 600\n')
    program.chmod(0o755)
    daemon = streaming(daemon_for(cluster, path_prefix=f"{program.parent}:{cluster.bindir}"))
    done(daemon)
    with daemon.rpc(timeout=60) as rpc:
        rpc.request("verify-backup", servers=["main"], backups=["last"])
        while rpc.read().get("params", {}).get("progress", {}).get("phase") != "verifying":
            pass
        eventually(lambda: any("sleep" in each.command for each in descendants(daemon.pid)))
        refused = refusal(daemon, "delete", server="main", backup="last")
        assert "in use: verify-backup" in refused["message"]
        again = ask(daemon, "verify-backup", servers=["main"], backups=["last"])
        assert again["backups"][0]["error"]["code"] == "Refused"
        daemon.expects("verification failed")
        ask(daemon, "cancel", server="main", backup="last")
        while "result" not in (answer := rpc.read()):
            pass
    error = answer["result"]["backups"][0]["error"]
    assert (error["code"], answer["result"]["exit_code"]) == ("Stopped", 11)
    assert "cancelled by" in error["message"]
    ask(daemon, "delete", server="main", backup="last")


def test_no_secret_is_in_what_is_told(kept: Daemon) -> None:
    kept.ctl("diagnose", "nobody", check=False)
    told = [
        kept.ctl("diagnose").stdout,
        kept.ctl("diagnose", "main", "--no-check", "-f", "json").stdout,
        kept.ctl("show-servers", "main").stdout,
        kept.ctl("show-servers", "-f", "json", "main").stdout,
        kept.ctl("reload").stdout,
        kept.log,
    ]
    assert [SECRET in text for text in told] == [False] * len(told)
    diagnosis = json.loads(told[0])
    server = diagnosis["servers"]["main"]
    assert server["settings"]["conninfo"].endswith("password=***")
    assert {each["name"] for each in server["check"]} >= {"PostgreSQL"}
    assert server["backup_count"] == 1
    assert diagnosis["barmand"]["tables"]
    assert "psycopg" in diagnosis["libraries"]
    facts = json.loads(told[3])["servers"][0]["facts"]
    assert facts["postgres_version"] >= 130_000
    assert facts["role"] == "postgres"
