"""The schema says what the code says, and real messages keep to it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from barmand.wire.lines import failure_line, note_line, result_line
from barmand.wire.messages import (
    NOTES,
    AnyNote,
    BackupListReply,
    BackupReply,
    BackupsReply,
    FilesNote,
    Pong,
    Problem,
    ProblemNote,
    Reply,
    Restore,
    ServersReply,
    StartBackup,
    StatusReply,
    WarningNote,
)
from barmand.wire.methods import METHODS, AnyRequest
from barmand.wire.schema import document, render
from ctl import samples

DOCUMENT = Path(__file__).parents[2] / "docs/protocol.schema.json"
SCHEMA: Mapping[str, Any] = document()


def keep_to(part: Mapping[str, Any], message: object) -> None:
    Draft202012Validator({"$defs": SCHEMA["$defs"], **part}).validate(message)


def test_the_document_in_the_tree_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), "run `./dev docs`"


def test_the_schema_is_one() -> None:
    for part in (*SCHEMA["$defs"].values(), SCHEMA["error"]["data"]):
        Draft202012Validator.check_schema(part)


def test_every_method_and_notification_is_described() -> None:
    assert set(SCHEMA["methods"]) == set(METHODS)
    assert set(SCHEMA["notifications"]) == {note.method for note in NOTES}


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("ping", Pong(version="0.1.0", protocol=1, pid=42)),
        ("list-backups", BackupListReply(backups=[samples.backup(), samples.queued()])),
        ("show-backup", BackupReply(backup=samples.failed())),
        ("check", samples.check()),
        ("list-servers", ServersReply(servers=[samples.server()])),
        ("status", StatusReply(daemon=samples.DAEMON, servers=[samples.server_status()])),
        (
            "backup",
            BackupsReply(
                backups=[samples.waiting(3)],
                problems=[Problem(server="lost", error=samples.FULL_DISK)],
                exit_code=8,
            ),
        ),
    ],
)
def test_results_keep_to_the_schema(method: str, result: Reply) -> None:
    keep_to(SCHEMA["methods"][method]["result"], json.loads(result_line(1, result))["result"])


@pytest.mark.parametrize(
    "note",
    [
        samples.progress(),
        samples.becomes(samples.waiting()),
        ProblemNote(server="lost", error=samples.FULL_DISK),
        WarningNote(server=None, message="slow"),
        FilesNote(server="main", backup_id=samples.ID, paths=["/srv/main/a"]),
    ],
)
def test_notifications_keep_to_the_schema(note: AnyNote) -> None:
    part = SCHEMA["notifications"][note.method]["params"]
    keep_to(part, json.loads(note_line(note))["params"])


@pytest.mark.parametrize(
    "request_",
    [
        StartBackup(servers=["main"], follow="done", wait_timeout=5.0, jobs=2),
        Restore(server="m", backup="last", destination="/x", tablespaces={"a": "/a"}),
    ],
)
def test_requests_keep_to_the_schema(request_: AnyRequest) -> None:
    keep_to(SCHEMA["methods"][request_.method]["params"], msgspec.to_builtins(request_))


@pytest.mark.parametrize(
    "params", [{"servers": []}, {"servers": ["m"], "jobs": 0}, {"servers": ["m"], "nonsense": 1}]
)
def test_what_the_daemon_refuses_the_schema_refuses(params: object) -> None:
    with pytest.raises(ValidationError):
        keep_to(SCHEMA["methods"]["backup"]["params"], params)


def test_an_errors_data_keeps_to_the_schema() -> None:
    keep_to(SCHEMA["error"]["data"], json.loads(failure_line(1, ValueError()))["error"]["data"])
