"""Real Barman over a home that only our storage has written: it must see what we see.

BARMAND_TEST_BARMAN names the program, of Barman 3.17 or later. No PostgreSQL is needed.
"""

import getpass
import json
import os
import struct
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from barmand.catalog.memory import open_catalog
from barmand.model.backup import Backup, Cluster, Copied, Reason, Status, Tablespace
from barmand.model.keeping import Kept
from barmand.model.retention import Keep
from barmand.model.wal import Segment, format_lsn, runs_of
from barmand.operations.list_files import FileTarget, ListFiles
from barmand.storage.backup_info import load, load_identity, save, save_identity
from barmand.storage.keep_marks import keep_of, kept, mark_kept, release
from barmand.storage.layout import Layout
from barmand.storage.wals import Put, WalArchive

MB = 1024 * 1024
SEGMENT = 16 * MB
SYSTEM_ID = "7711164279157336501"
START = datetime(2026, 1, 2, 3, 4, 5, 250000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

CLUSTER = Cluster(
    system_id=SYSTEM_ID,
    version=150018,
    segment_size=SEGMENT,
    pgdata="/var/lib/postgresql/15/main",
    config_file="/etc/postgresql/15/main/postgresql.conf",
    hba_file="/etc/postgresql/15/main/pg_hba.conf",
    ident_file="/etc/postgresql/15/main/pg_ident.conf",
    included_files=("/etc/postgresql/15/main/conf.d/a b.conf",),
    tablespaces=(
        Tablespace("fast", 16384, "/ssd/fast"),
        Tablespace("odd 'ts' é", 16385, "/hdd/odd"),
    ),
    size=23178953,
    data_checksums="on",
    is_standby=True,
)
COPIED = Copied(
    timeline=2,
    begin_lsn=5 * SEGMENT + 0x28,
    begin_time=START,
    end_lsn=8 * SEGMENT,
    end_time=START + MINUTE,
    backup_label="START WAL LOCATION: 0/5000028\nLABEL: it's ours\n",
    size=23170843,
    deduplicated_size=23170843,
    copy_seconds=58.25,
)
FIRST = Backup(
    server="main",
    id="20260102T030405",
    status=Status.QUEUED,
    method="postgres",
    name="before the é upgrade = 'x'",
    requester="uid 1000",
    queued_at=START - MINUTE,
)
DONE = FIRST.begun(START, CLUSTER).with_copy(START + 2 * MINUTE, COPIED).secured(START + 3 * MINUTE)
STARTED = replace(FIRST, id="20260103T030405", name=None).begun(START, CLUSTER)
FAILED = replace(STARTED, id="20260104T030405").failed(
    START, Reason("ToolFailed", "pg_basebackup: a=b\nsecond line", "Look at the disk.")
)
NEVER_BEGUN = replace(FIRST, id="20260105T030405", name=None).failed(
    START, Reason("CheckFailed", "server main is not ready")
)
WAITING = (
    replace(FIRST, id="20260106T030405", name=None)
    .begun(START, replace(CLUSTER, tablespaces=(), included_files=()))
    .with_copy(START, replace(COPIED, begin_lsn=20 * SEGMENT, end_lsn=21 * SEGMENT + 0x1234))
)
EVERY = (DONE, STARTED, FAILED, NEVER_BEGUN, WAITING)


class Barman:
    """The real program, with a configuration of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "barman.conf"
        self.config.write_text(
            f"[barman]\nbarman_home={home}\nbarman_user={getpass.getuser()}\n"
            f"log_file={home}/barman.log\n"
            "[main]\ndescription=none\nbackup_method=postgres\narchiver=on\n"
            "conninfo=host=/nowhere user=nobody dbname=nothing\n"
            "streaming_conninfo=host=/nowhere user=nobody\n"
        )

    def run(self, *words: str) -> str:
        program = os.environ.get("BARMAND_TEST_BARMAN")
        assert program, "BARMAND_TEST_BARMAN must name the barman program"
        done = subprocess.run(
            [program, "-c", str(self.config), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refuses(self, *words: str) -> bool:
        try:
            self.run(*words)
        except AssertionError:
            return True
        return False

    def tell(self, *words: str) -> Any:
        return json.loads(self.run("-f", "json", *words))["main"]

    def shown(self, backup: Backup) -> dict[str, Any]:
        found: dict[str, Any] = self.tell("show-backup", "main", backup.id)
        return found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    home = tmp_path / "main"
    places = (home / name for name in ("base", "wals", "incoming", "streaming", "errors"))
    layout = Layout("main", home, *places)
    layout.prepare()
    save_identity(layout, SYSTEM_ID, CLUSTER.version)
    for backup in EVERY:
        layout.data(backup.id).mkdir(parents=True)
        save(layout, backup)
    return layout


@pytest.fixture
def barman(layout: Layout) -> Barman:
    return Barman(layout.home.parent)


def archive(layout: Layout, *numbers: int) -> None:
    head = struct.pack("=HHIQI4xQII", 0xD110, 2, 2, 0, 0, int(SYSTEM_ID), SEGMENT, 8192)
    for number in numbers:
        source = layout.incoming / Segment(2, number).name(SEGMENT)
        with source.open("wb") as file:
            file.write(head)
            file.truncate(SEGMENT)
        assert WalArchive(layout).put(source) is Put.STORED


def test_barman_lists_every_backup_newest_first(barman: Barman) -> None:
    listed = barman.tell("list-backups", "main")
    assert [(each["backup_id"], each["status"]) for each in listed] == [
        (backup.id, backup.status) for backup in reversed(EVERY)
    ]
    first = listed[-1]
    assert first["backup_name"] == DONE.name
    assert first["size_bytes"] == COPIED.size
    assert int(first["end_time_timestamp"]) == int(COPIED.end_time.timestamp())


@pytest.mark.parametrize("backup", [DONE, WAITING])
def test_barman_shows_a_copied_backup_as_we_do(barman: Barman, backup: Backup) -> None:
    shown = barman.shown(backup)
    base = shown["base_backup_information"]
    copied, needed = backup.copied, backup.needed()
    assert copied is not None
    assert needed is not None
    assert (shown["backup_id"], shown["status"]) == (backup.id, backup.status)
    assert shown.get("backup_name") == backup.name
    assert base["begin_wal"] == Segment(needed.timeline, needed.first).name(SEGMENT)
    assert base["end_wal"] == Segment(needed.timeline, needed.last).name(SEGMENT)
    assert base["begin_lsn"] == format_lsn(copied.begin_lsn)
    assert base["end_lsn"] == format_lsn(copied.end_lsn)
    assert base["begin_offset"] == copied.begin_lsn % SEGMENT
    assert base["end_offset"] == copied.end_lsn % SEGMENT
    assert base["timeline"] == copied.timeline
    assert base["backup_size_bytes"] == copied.size
    assert base["backup_method"] == "postgres"
    assert base["copy_time_seconds"] == copied.copy_seconds
    assert base["number_of_workers"] == copied.workers
    assert datetime.fromisoformat(base["begin_time"]) == copied.begin_time
    assert datetime.fromisoformat(base["end_time"]) == copied.end_time


def test_barman_shows_the_cluster_as_we_do(barman: Barman) -> None:
    shown = barman.shown(DONE)
    assert shown["system_id"] == CLUSTER.system_id
    assert shown["postgresql_version"] == CLUSTER.version
    assert shown["pgdata_directory"] == CLUSTER.pgdata
    assert shown["cluster_size_bytes"] == CLUSTER.size
    assert shown["server_information"]["data_checksums"] == "on"
    assert shown["tablespaces"] == [
        {"name": space.name, "oid": space.oid, "location": space.location}
        for space in CLUSTER.tablespaces
    ]


@pytest.mark.parametrize(
    ("backup", "error"),
    [
        (FAILED, "pg_basebackup: a=b second line"),
        (NEVER_BEGUN, "server main is not ready"),
    ],
)
def test_barman_shows_why_a_backup_failed(barman: Barman, backup: Backup, error: str) -> None:
    shown = barman.shown(backup)
    assert (shown["status"], shown["error"]) == ("FAILED", error)


def test_barmans_console_can_print_each(barman: Barman) -> None:
    for backup in EVERY:
        assert backup.id in barman.run("show-backup", "main", backup.id)


def test_barman_finds_a_backup_by_our_friendly_name(barman: Barman) -> None:
    assert DONE.name is not None
    assert barman.tell("show-backup", "main", DONE.name)["backup_id"] == DONE.id


def test_barman_makes_the_index_of_our_wal_when_there_is_none(
    layout: Layout, barman: Barman
) -> None:
    archive(layout, 5, 6, 7, 8, 9)
    assert not (layout.wals / "main-xlog.db").exists()
    shown = barman.shown(DONE)
    assert shown["base_backup_information"]["wal_num"] == 3
    assert shown["base_backup_information"]["wal_size_bytes"] == 3 * SEGMENT
    assert shown["wal_information"]["no_of_files"] == 2
    assert shown["wal_information"]["last_available"] == Segment(2, 9).name(SEGMENT)
    assert (layout.wals / "main-xlog.db").exists()


@pytest.mark.parametrize("way", ["rebuilt", "removed"])
def test_barman_trusts_a_stale_index_until_it_is_made_new(
    layout: Layout, barman: Barman, way: str
) -> None:
    archive(layout, 5)
    assert barman.shown(DONE)["base_backup_information"]["wal_num"] == 1
    archive(layout, 6, 7)
    assert barman.shown(DONE)["base_backup_information"]["wal_num"] == 1
    if way == "rebuilt":
        barman.run("rebuild-xlogdb", "main")
    else:
        (layout.wals / "main-xlog.db").unlink()
    assert barman.shown(DONE)["base_backup_information"]["wal_num"] == 3


def test_barman_goes_on_with_a_backup_of_ours_and_we_with_what_it_wrote(
    layout: Layout, barman: Barman
) -> None:
    archive(layout, 20, 21)
    barman.run("check-backup", "main", WAITING.id)
    assert WAITING.copied is not None
    assert load(layout, WAITING.id) == replace(
        WAITING, status=Status.DONE, ended_at=WAITING.copied.end_time
    )


def test_barman_deletes_a_backup_of_ours(layout: Layout, barman: Barman) -> None:
    barman.run("delete", "main", DONE.id)
    assert load(layout, DONE.id) is None
    assert not layout.backup(DONE.id).exists()


def test_the_identity_of_the_home_is_ours(layout: Layout, barman: Barman) -> None:
    barman.run("list-backups", "main")
    assert load_identity(layout) == (SYSTEM_ID, 150_000)


@pytest.mark.parametrize("word", list(Keep))
def test_how_barman_keeps_a_backup_is_read_as_it_meant_it(
    layout: Layout, barman: Barman, word: Keep
) -> None:
    assert keep_of(layout, DONE.id) is None
    barman.run("keep", "main", DONE.id, "--target", word)
    assert keep_of(layout, DONE.id) is word
    barman.run("keep", "main", DONE.id, "--release")
    assert keep_of(layout, DONE.id) is None


@pytest.mark.parametrize("word", list(Keep))
def test_barman_reads_how_we_keep_a_backup_and_heeds_it(
    layout: Layout, barman: Barman, word: Keep
) -> None:
    mark_kept(layout, DONE.id, Kept(target=word, reason="the audit", until=START + MINUTE))
    assert f"Keep: {word}" in barman.run("keep", "main", DONE.id, "--status")
    assert barman.refuses("delete", "main", DONE.id)
    barman.run("keep", "main", DONE.id, "--release")
    assert kept(layout, DONE.id) is None
    barman.run("keep", "main", DONE.id, "--target", word)
    assert kept(layout, DONE.id) == Kept(target=word), "it has no end, whatever we said before"
    release(layout, DONE.id)
    assert "Keep: nokeep" in barman.run("keep", "main", DONE.id, "--status")


@pytest.mark.parametrize("word", list(Keep))
def test_the_mark_in_barmans_older_place_is_read_by_both(
    layout: Layout, barman: Barman, word: Keep
) -> None:
    mark = layout.old_keep_mark(DONE.id)
    mark.parent.mkdir()
    mark.write_text(word)
    assert f"Keep: {word}" in barman.run("keep", "main", DONE.id, "--status")
    assert keep_of(layout, DONE.id) is word


@pytest.mark.parametrize("target", list(FileTarget))
def test_barman_lists_the_same_files(
    layout: Layout, barman: Barman, tmp_path: Path, target: FileTarget
) -> None:
    archive(layout, 4, 5, 6, 7, 8, 9, 20, 21, 22)
    (layout.wals / "00000002.history").write_text("1\t0/5000000\tno reason\n")
    data, space = layout.data(DONE.id), layout.tablespace(DONE.id, 16384)
    (data / "base/1").mkdir(parents=True)
    (data / "base/1/12").touch()
    (data / "pg_tblspc").mkdir()
    space.mkdir()
    (space / "file").touch()
    (data / "pg_tblspc/16384").symlink_to(space)
    theirs = barman.run("list-files", "--target", target, "main", DONE.id).split()
    catalog = open_catalog(tmp_path / "barmand.db")
    for backup in (DONE, replace(WAITING).secured(START + MINUTE)):
        catalog.backups.adopt(backup, START)
    held = runs_of(WalArchive(layout).segments(SEGMENT))
    catalog.wal_runs.adopt("main", held, segment_size=SEGMENT, now=START)
    listing = ListFiles(layout, WalArchive(layout), catalog.wal_runs, catalog.backups)
    ours = [str(path) for path in listing.run(DONE, target)]
    catalog.close()
    assert sorted(ours) == sorted(theirs)
    assert ours
