"""What each answer becomes, in words and in JSON. In-process, over a real socket."""

import json
from collections.abc import Callable, Iterator

import msgspec
import pytest

from barmand.ctl.main import run
from barmand.model.errors import NotFound
from barmand.wire.lines import Call, failure_line, result_line
from barmand.wire.messages import (
    BackupListReply,
    BackupReply,
    BackupsReply,
    BackupView,
    DeletedReply,
    ErrorView,
    OptionChangeView,
    Pong,
    ProgressView,
    QueuedView,
    ReloadReply,
    RestoredReply,
    ServerChangeView,
    ServersReply,
)
from barmand.wire.process_messages import ProcessesReply, ProcessView, TerminatedReply
from ctl import samples
from ctl.fake_daemon import FakeDaemon
from ctl.samples import ID

Tell = Callable[..., tuple[int, str, str]]


def test_ping_says_who_answered(tell: Tell) -> None:
    said = tell("ping", Pong(version="0.1.0", protocol=1, pid=42))
    assert said == (0, "barmand 0.1.0 answers (pid 42, protocol 1)\n", "")


def test_json_has_the_result_as_it_came(tell: Tell) -> None:
    reply = BackupListReply(backups=[samples.backup(), samples.failed()])
    code, out, err = tell("list-backups -f json", reply)
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert json.loads(out) == msgspec.to_builtins(reply)
    assert list(json.loads(out)) == ["format", "backups"]


@pytest.mark.parametrize("command", ["show-backup main last", "check-backup main last", "cancel m"])
def test_json_about_one_backup_is_that_backup(tell: Tell, command: str) -> None:
    view = samples.backup(name="wöchentlich")
    _, out, _ = tell(f"{command} -f json", BackupReply(backup=view))
    assert json.loads(out) == {"format": 1, **msgspec.to_builtins(view)}
    assert out.isascii()


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (samples.backup(), "DONE"),
        (samples.waiting(), "WAITING_FOR_WALS, missing WAL 000000010000000000000002"),
        (
            samples.backup(missing_wals=["000000010000000000000002"], missing_wal_count=1),
            "DONE once, but WAL is missing now: 000000010000000000000002",
        ),
        (samples.failed(), "FAILED: cannot write base/16384"),
    ],
)
def test_a_checked_backup_is_one_line(tell: Tell, view: BackupView, said: str) -> None:
    assert tell("check-backup main last", BackupReply(backup=view))[1] == f"main {ID}: {said}\n"


def test_a_deletion_says_what_went(tell: Tell) -> None:
    reply = DeletedReply(server="main", backup_id=ID, removed_wals=7)
    words = f"deleted backup {ID} of main; 7 WAL segments went with it\n"
    assert tell("delete main oldest", reply) == (0, words, "")


def test_a_restore_tells_progress_and_what_it_laid_out(tell: Tell) -> None:
    reply = RestoredReply(
        server="main",
        backup_id=ID,
        destination="/srv/x",
        target="end of WAL",
        size_bytes=samples.GIB,
        wal_segments=3,
        seconds=12.0,
    )
    _, out, _ = tell("restore main last /srv/x", reply, samples.progress())
    assert out == (
        f"main {ID}: copying: 1.0 GiB of 4.0 GiB (25 %), 120.0 MiB/s, 26 s left\n"
        f"restored main {ID} to /srv/x\n"
        "1.0 GiB and 3 WAL segments in 12 s; recovery goes to: end of WAL\n"
    )


def test_a_reload_tells_what_changed(tell: Tell) -> None:
    def change(server: str, became: str, **more: object) -> ServerChangeView:
        facts = {"options": [], "problems": [], "unfinished_backups": [], "backups_left": 0} | more
        return ServerChangeView(server=server, became=became, **facts)

    interval = OptionChangeView(
        option="wal_poll_interval", before="30s", after="7s", counts_from_next_start=True
    )
    description = OptionChangeView(
        option="description", before="", after="the first", counts_from_next_start=False
    )
    reply = ReloadReply(
        servers=["main", "new"],
        broken=["lost"],
        problems=["[lost] conninfo"],
        warnings=["x is unused"],
        changes=[
            change("away", "removed", backups_left=1),
            change("gone", "removed", unfinished_backups=[ID], backups_left=6),
            change("lost", "put aside", problems=["[lost] conninfo"]),
            change("main", "changed", options=[description]),
            change("new", "added"),
        ],
        daemon_changes=[interval],
        unchanged=7,
    )
    assert tell("reload", reply)[1].splitlines() == [
        "settings read again; servers: 1 added, 2 removed, 1 changed, 1 put aside, 7 unchanged",
        "barmand: wal_poll_interval: 30s -> 7s (from the next start on)",
        "away: removed; 1 backup stays on disk",
        "gone: removed; 6 backups stay on disk",
        f"gone: still served until these have ended: {ID}",
        "lost: put aside",
        "main: description: (none) -> the first",
        "new: added",
        "broken: lost",
        "problem: [lost] conninfo",
        "warning: x is unused",
    ]
    quiet = ReloadReply(
        servers=[],
        broken=[],
        problems=[],
        warnings=[],
        changes=[],
        daemon_changes=[],
        unchanged=3,
    )
    assert tell("reload", quiet)[1] == "settings read again; servers: 3 unchanged\n"


def test_processes_are_listed_with_their_phase_and_one_is_ended(tell: Tell) -> None:
    def process(task: str, phase: str, **more: object) -> ProcessView:
        facts = {"id": task, "backup_id": None, "since": None, "progress": None} | more
        return ProcessView(task=task, phase=phase, **facts)

    place = QueuedView(position=3, count=12, waits_for="waits for its host: db1 has 2 of 2")
    queued = process(
        "backup",
        "queued",
        id=f"backup/{ID}",
        progress=ProgressView(phase="queued", queued=place),
    )
    reply = ProcessesReply(server="main", processes=[queued, process("receive-wal", "streaming")])
    assert tell("list-processes main", reply)[1].splitlines() == [
        "TASK                    SINCE  PHASE",
        f"backup/{ID}  -      queued, 3rd of 12: waits for its host: db1 has 2 of 2",
        "receive-wal             -      streaming",
    ]
    none = ProcessesReply(server="main", processes=[])
    assert tell("list-processes main", none)[1] == "nothing is being worked on for main\n"
    ended = TerminatedReply(server="main", process=queued, ended=True, hint=None)
    told = tell("terminate-process main backup", ended)[1]
    assert told == f"main: backup/{ID} has ended\n"


def test_json_ignores_notifications(tell: Tell) -> None:
    reply = BackupsReply(backups=[samples.failed()], problems=[], exit_code=8)
    notes = [samples.becomes(samples.failed()), samples.progress()]
    code, out, err = tell("backup main -f json", reply, *notes)
    assert (code, err) == (8, "")
    assert json.loads(out) == msgspec.to_builtins(reply)


def test_text_of_the_daemon_cannot_command_a_terminal(tell: Tell) -> None:
    evil = "\x1b]0;owned\x07\nDONE"
    error = ErrorView(code="Bug", exit_code=1, message=evil, hint="a\x1b[2J\nb")
    view = samples.failed(name=evil, error=error)
    outputs = [
        *tell("show-backup main last", BackupReply(backup=view))[1:],
        *tell("list-backups", BackupListReply(backups=[view]))[1:],
        *tell("check-backup main last", BackupReply(backup=view))[1:],
        *tell("backup main", BackupsReply(backups=[view], problems=[]), samples.becomes(view))[1:],
        *tell("list-servers", ServersReply(servers=[samples.server(problems=[evil])]))[1:],
    ]
    assert all(text.replace("\n", "").isprintable() for text in outputs)
    assert not any(line == "DONE" for text in outputs for line in text.splitlines())


@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_failure_of_the_daemon_is_told_with_its_own_exit_code(
    format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = NotFound("no server lost", hint="`barmanctl list-servers`")
    with FakeDaemon(lambda call: [failure_line(call.id, failure)]) as daemon:
        code = run(["--socket", daemon.path, "-f", format_, "list-backups", "lost"])
    shown = capsys.readouterr()
    assert code == 3
    if format_ == "console":
        assert shown.out == ""
        assert shown.err == "barmanctl: no server lost\n  hint: `barmanctl list-servers`\n"
    else:
        assert shown.err == ""
        assert json.loads(shown.out) == {
            "format": 1,
            "error": {
                "code": "NotFound",
                "exit_code": 3,
                "message": "no server lost",
                "hint": "`barmanctl list-servers`",
            },
        }


def test_a_new_kind_of_notification_is_no_reason_to_stumble(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script(call: Call) -> Iterator[bytes]:
        yield b'{"jsonrpc": "2.0", "method": "gossip", "params": {}}\n'
        yield result_line(call.id, BackupsReply(backups=[], problems=[]))

    with FakeDaemon(script) as daemon:
        assert run(["--socket", daemon.path, "backup", "main"]) == 0
    assert capsys.readouterr().err == ""
