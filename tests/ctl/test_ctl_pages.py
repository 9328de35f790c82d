"""Tables and facts as plain text: backups, servers, the daemon."""

from collections.abc import Callable

import msgspec

from barmand.wire.check_messages import CheckReply
from barmand.wire.messages import (
    BackupListReply,
    BackupReply,
    ErrorView,
    ReceiverView,
    ServerDetails,
    ServerDetailsReply,
    ServersReply,
    StatusReply,
)
from ctl import samples
from ctl.samples import ID

Tell = Callable[..., tuple[int, str, str]]


def facts(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if line.startswith("  "))
    return {label.strip(): value.strip() for label, _, value in pairs if label.strip()}


def test_backups_are_a_table_of_one_line_each(tell: Tell) -> None:
    views = [
        samples.waiting(3),
        samples.backup(name="weekly", server="a-longer-name"),
        samples.queued(),
    ]
    _, out, _ = tell("list-backups", BackupListReply(backups=views))
    assert out == (
        "SERVER         ID               NAME    STATUS            RETENTION  END"
        "                        SIZE  WAL MISSING  VERIFIED\n"
        "main           20260116T020500  -       WAITING_FOR_WALS  VALID      "
        "2026-01-16 02:09 +0100  4.0 GiB            3  -\n"
        "a-longer-name  20260116T020500  weekly  DONE              VALID      "
        "2026-01-16 02:09 +0100  4.0 GiB            0  -\n"
        "main           20260116T020500  -       QUEUED            -          -"
        "                             -            -  -\n"
    )


def test_no_backups_are_told_as_such(tell: Tell) -> None:
    assert tell("list-backups", BackupListReply(backups=[]))[1] == "no backups\n"


def test_one_backup_is_told_in_groups(tell: Tell) -> None:
    _, out, _ = tell("show-backup main last", BackupReply(backup=samples.backup(name="weekly")))
    told = facts(out)
    titles = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert titles == ["Backup", "Times", "WAL", "Size", "PostgreSQL", "Verification"]
    assert told["name"] == "weekly"
    assert told["queued"] == "2026-01-16 02:05:00 +0100"
    assert told["copy took"] == "3 min 4 s"
    assert told["begin"] == "0/2000028 in 000000010000000000000002"
    assert told["missing"] == "none"
    assert told["backup"] == "4.0 GiB (4294967296 bytes)"
    assert told["tablespaces"] == "fast (oid 16385) at /srv/fast"
    assert told["parent"] == "-"
    assert told["kept"] == "-"


def test_a_kept_backup_is_told_with_its_mark(tell: Tell) -> None:
    view = samples.backup(keep="standalone")
    _, out, _ = tell("show-backup main last", BackupReply(backup=view))
    assert facts(out)["kept"] == "standalone"


def test_one_backup_names_its_missing_segments(tell: Tell) -> None:
    _, out, _ = tell("show-backup main last", BackupReply(backup=samples.waiting(12)))
    assert facts(out)["missing"].startswith("000000010000000000000002, 0000000100000000000000")
    assert facts(out)["missing"].endswith("00000001000000000000000B and 2 more")


def test_a_failed_backup_tells_its_reason_and_the_way_out(tell: Tell) -> None:
    view = samples.failed(progress=samples.COPYING)
    _, out, _ = tell("show-backup main last", BackupReply(backup=view))
    assert out.endswith(
        "\nError\n  code:    StorageFailed\n  reason:  cannot write base/16384\n"
        "  hint:    No space left on device.\n           Free some.\n"
    )
    assert facts(out)["now"].startswith("copying: 1.0 GiB of 4.0 GiB (25 %)")


def test_a_failure_without_hint_has_none(tell: Tell) -> None:
    view = samples.failed(error=ErrorView(code="Bug", exit_code=1, message="oh"))
    _, out, _ = tell("show-backup main last", BackupReply(backup=view))
    assert out.endswith("  hint:    -\n")


def test_a_check_shows_each_finding_and_ends_with_its_exit_code(tell: Tell) -> None:
    fine = samples.finding("PostgreSQL", "OK", "version 150018")
    slow = samples.finding("clock", "WARNING", "see to NTP")
    reply = CheckReply(
        servers=[
            samples.server_check(fine, samples.finding()),
            samples.server_check(fine, slow, server="other"),
        ],
        daemon=[samples.finding("state directory", "OK", "/s: 9 MiB free")],
        seconds=0.5,
        exit_code=5,
    )
    code, out, err = tell("check all", reply)
    assert (code, err) == (5, "")
    assert out == (
        "main: FAILED, no backup can be taken\n"
        "CHECK       RESULT  HINT\n"
        "PostgreSQL  OK      version 150018\n"
        "wal_level   FAILED  set it to replica\n\n"
        "other: WARNING\n"
        "CHECK       RESULT   HINT\n"
        "PostgreSQL  OK       version 150018\n"
        "clock       WARNING  see to NTP\n\n"
        "barmand itself: OK\n"
        "CHECK            RESULT  HINT\n"
        "state directory  OK      /s: 9 MiB free\n"
    )


def test_servers_are_a_table_with_their_problems_below(tell: Tell) -> None:
    broken = samples.server(
        server="lost", state="broken", problems=["no conninfo"], method=None, backup_schedule=None
    )
    _, out, _ = tell("list-servers", ServersReply(servers=[samples.server(), broken]))
    assert out == (
        "SERVER  STATE   METHOD    SCHEDULE   DESCRIPTION\n"
        "main    active  postgres  0 2 * * *  the shop\n"
        "lost    broken  -         -          the shop\n"
        "lost: no conninfo\n"
    )
    assert tell("list-servers", ServersReply(servers=[]))[1] == "no servers\n"


def test_settings_in_force_are_told_by_name(tell: Tell) -> None:
    details = ServerDetails(
        server="main",
        state="active",
        problems=[],
        settings={"jobs": 1, "archiver": True, "slot": None, "paths": ["/a", "/b"], "none": []},
        system_id="74",
        backup_directory="/srv/main",
        done_backups=2,
        last_archived_wal=None,
        facts=None,
        facts_problem="nobody answers",
    )
    _, out, _ = tell("show-servers main", ServerDetailsReply(servers=[details]))
    assert out == (
        "main\n  state:         active\n  problems:      none\n  system id:     74\n"
        "  backups done:  2\n  last WAL:      -\n  PostgreSQL:    nobody answers\n\n"
        "settings of main\n  archiver:  on\n"
        "  jobs:      1\n  none:      -\n  paths:     /a\n             /b\n  slot:      -\n"
    )


def test_the_status_of_many_servers_is_a_table(tell: Tell) -> None:
    running = samples.queued(status="STARTED", progress=samples.COPYING)
    servers = [
        samples.server_status(active_backup=running),
        samples.server_status(
            server="new", last_backup=None, receiver=None, problems=["slot is gone"]
        ),
    ]
    reply = StatusReply(daemon=samples.DAEMON, servers=servers)
    _, out, _ = tell("status", reply)
    assert out == (
        "barmand\n  version:   0.1.0\n  pid:       42\n  since:     2026-01-16 02:00:00 +0100\n"
        "  settings:  /etc/barmand.ini\n\n"
        "SERVER  STATE   LAST BACKUP      STATUS  WAITING  FAILED  RECEIVER   NEXT\n"
        "main    active  20260116T020500  DONE          0       1  streaming"
        "  2026-01-16 02:59 +0100\n"
        "new     active  -                -             0       1  -        "
        "  2026-01-16 02:59 +0100\n"
        f"main: {ID} copying: 1.0 GiB of 4.0 GiB (25 %), 120.0 MiB/s, 26 s left\n"
        "new: slot is gone\n"
    )


def test_the_status_of_no_server_is_the_daemons(tell: Tell) -> None:
    daemon = msgspec.structs.replace(samples.DAEMON, config_warnings=["x is not carried"])
    _, out, _ = tell("status", StatusReply(daemon=daemon, servers=[]))
    assert facts(out)["warnings"] == "x is not carried"
    assert out.endswith("no servers\n")


def test_the_status_of_one_server_is_told_in_full(tell: Tell) -> None:
    receiver = ReceiverView(
        state="pausing",
        slot_name=None,
        restarts=4,
        next_attempt_seconds=8.0,
        last_error="connection refused\nis it up?",
    )
    server = samples.server_status(
        active_backup=samples.queued(), waiting_backups=[ID], receiver=receiver
    )
    _, out, _ = tell("status main", StatusReply(daemon=samples.DAEMON, servers=[server]))
    told = facts(out)
    assert told["running backup"] == f"{ID} QUEUED"
    assert told["WAL set aside"] == "2"
    assert told["last backup"] == f"{ID} DONE"
    assert told["waiting for WAL"] == ID
    assert told["last WAL"] == "000000010000000000000009, 2026-01-16 02:30:00 +0100"
    assert "pausing, restarted 4 times\n" in out
    assert "  next attempt in 8.0 s\n" in out
    assert "  connection refused\n" in out


def test_the_status_of_an_idle_server_has_dashes(tell: Tell) -> None:
    server = samples.server_status(
        last_backup=None, last_archived_wal=None, last_archived_at=None, receiver=None
    )
    _, out, _ = tell("status main", StatusReply(daemon=samples.DAEMON, servers=[server]))
    told = facts(out)
    assert [told[name] for name in ("last backup", "last WAL", "WAL receiver")] == [
        "-",
        "-",
        "none",
    ]
    streaming = samples.server_status()
    _, out, _ = tell("status main", StatusReply(daemon=samples.DAEMON, servers=[streaming]))
    assert facts(out)["WAL receiver"] == "streaming, slot barman, restarted 0 times"
