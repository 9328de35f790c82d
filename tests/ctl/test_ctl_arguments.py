"""argv to (method, params); each accepted line is read back with the daemon's own eyes."""

import json
import os
from typing import get_args

import pytest
from msgspec import inspect

from barmand.ctl import arguments, values
from barmand.ctl.backup_command import SENT
from barmand.ctl.commands import ALIASES, COMMANDS
from barmand.model.errors import UsageError
from barmand.wire.check_messages import CheckServer
from barmand.wire.door_messages import GetWal, WalPush
from barmand.wire.lines import read_call
from barmand.wire.messages import (
    AskStatus,
    Cancel,
    CheckBackup,
    Count,
    Delete,
    Jobs,
    ListBackups,
    ListServers,
    Ping,
    PositiveSeconds,
    Reload,
    Restore,
    Seconds,
    ShowBackup,
    ShowServers,
    StartBackup,
)
from barmand.wire.methods import METHODS, AnyRequest
from barmand.wire.process_messages import ListProcesses, TerminateProcess
from barmand.wire.wal_messages import ListFiles


def asked(line: str) -> AnyRequest:
    """What the daemon understands of `barmanctl LINE`."""
    parsed = arguments.parse(line.split())
    assert parsed is not None
    request = {"jsonrpc": "2.0", "id": 1, "method": parsed.method, "params": parsed.params}
    return read_call(json.dumps(request).encode()).request


def refusal(*argv: str) -> str:
    with pytest.raises(UsageError) as refused:
        arguments.parse(argv)
    return refused.value.message


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("ping", Ping()),
        ("reload", Reload()),
        ("list-processes main", ListProcesses(server="main")),
        ("terminate-process main backup", TerminateProcess(server="main", task="backup")),
        ("list-servers", ListServers()),
        ("list-server", ListServers()),
        ("list-backups", ListBackups()),
        ("list-backups all", ListBackups()),
        ("list-backup a b a", ListBackups(servers=["a", "b"])),
        ("status", AskStatus()),
        ("status all", AskStatus()),
        ("status main", AskStatus(servers=["main"])),
        ("show-backup main last", ShowBackup(server="main", backup="last")),
        ("check-backup main last", CheckBackup(server="main", backup="last")),
        ("delete main oldest", Delete(server="main", backup="oldest")),
        ("cancel main", Cancel(server="main")),
        ("cancel main 20260116T020500", Cancel(server="main", backup="20260116T020500")),
        ("check main other main", CheckServer(servers=["main", "other"])),
        ("check all", CheckServer(servers=["all"])),
        ("check --nagios all", CheckServer(servers=["all"])),
        ("check main --check-timeout 5", CheckServer(servers=["main"], check_timeout=5)),
        ("show-servers all", ShowServers(servers=["all"])),
        ("show-server main", ShowServers(servers=["main"])),
        ("list-files main last", ListFiles(server="main", backup="last")),
        (
            "list-files --target full main last",
            ListFiles(server="main", backup="last", target="full"),
        ),
        ("wal-push main pg_wal/x", WalPush(server="main", name="x")),
        ("get-wal main x", GetWal(server="main", name="x")),
        ("get-wal -P main x -o /y", GetWal(server="main", name="x", partial=True)),
        ("restore main last /srv/x", Restore(server="main", backup="last", destination="/srv/x")),
        (
            "recover --target-immediate main last /x --tablespace a:/a --tablespace b:/b:c",
            Restore(
                server="main",
                backup="last",
                destination="/x",
                target_immediate=True,
                accept_damage=False,
                tablespaces={"a": "/a", "b": "/b:c"},
            ),
        ),
    ],
)
def test_each_command_is_what_the_daemon_understands(line: str, request_: AnyRequest) -> None:
    assert asked(line) == request_


@pytest.mark.parametrize(
    ("word", "name", "location"),
    [
        ("a:/b:/c", "a", "/b:/c"),
        ("Odd Näme; 'x' = y:z, w:/srv/new", "Odd Näme; 'x' = y:z, w", "/srv/new"),
        ("a::/b", "a:", "/b"),
        ("/a:/b", "/a", "/b"),
        (r"back\slash:/b", r"back\slash", "/b"),
        ("16385:/b", "16385", "/b"),
        ("a:/", "a", "/"),
    ],
)
def test_a_tablespace_is_told_from_its_location_where_that_begins(
    word: str, name: str, location: str
) -> None:
    parsed = arguments.parse(["restore", "main", "last", "/x", "--tablespace", word])
    assert parsed is not None
    assert parsed.params["tablespaces"] == {name: location}


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("main", StartBackup(servers=["main"])),
        ("all", StartBackup(servers=["all"])),
        ("b a b", StartBackup(servers=["b", "a"])),
        ("main --wait other", StartBackup(servers=["main", "other"], follow="done")),
        ("-w --wait-timeout 1.5 -- main", StartBackup(servers=["main"], follow="done",
                                                      wait_timeout=1.5)),
        ("-w --wait-timeout 0 main", StartBackup(servers=["main"], follow="done")),
        ("--detach main", StartBackup(servers=["main"], follow="queued")),
        ("--name weekly a b", StartBackup(servers=["a", "b"], name="weekly")),
        ("--immediate-checkpoint m", StartBackup(servers=["m"], immediate_checkpoint=True)),
        ("--no-immediate-checkpoint m", StartBackup(servers=["m"], immediate_checkpoint=False)),
        ("--retry-times 3 --retry-sleep 0.5 m", StartBackup(servers=["m"], retry_times=3,
                                                            retry_sleep=0.5)),
        ("--no-retry m", StartBackup(servers=["m"], retry_times=0)),
        ("--manifest --manifest m", StartBackup(servers=["m"], manifest=True)),
        ("--bwlimit 0 m", StartBackup(servers=["m"], bwlimit=0)),
        ("-j 4 m", StartBackup(servers=["m"], jobs=4)),
        ("--jobs=4 m", StartBackup(servers=["m"], jobs=4)),
        ("m --reuse-backup", StartBackup(servers=["m"], reuse_backup="link")),
        ("--reuse-backup copy m", StartBackup(servers=["m"], reuse_backup="copy")),
        ("--manifest m", StartBackup(servers=["m"], manifest=True)),
        (
            "--manifest-checksums sha256 m",
            StartBackup(servers=["m"], manifest_checksums="sha256"),
        ),
        ("--no-manifest m", StartBackup(servers=["m"], manifest=False)),
        ("--jobs-start-batch-size 2 m", StartBackup(servers=["m"], jobs_start_batch_size=2)),
        ("--jobs-start-batch-period 5 m", StartBackup(servers=["m"], jobs_start_batch_period=5)),
        ("--keepalive-interval 0 m", StartBackup(servers=["m"], keepalive_interval=0)),
        ("--check-timeout 5 m", StartBackup(servers=["m"], check_timeout=5)),
        ("--incremental last m", StartBackup(servers=["m"], incremental="last")),
    ],
)  # fmt: skip
def test_each_option_of_backup_reaches_the_daemon(line: str, request_: StartBackup) -> None:
    assert asked(f"backup {line}") == request_


def test_every_method_of_the_wire_has_its_command() -> None:
    # put-wal speaks by wal-push, or with --test by push-ready; get-wal --peek by peek-wal.
    # completion asks nobody.
    methods = {name.replace(" ", "-") for name in COMMANDS}
    assert methods - {"put-wal", "completion"} == set(METHODS) - {"peek-wal", "push-ready"}
    assert set(ALIASES.values()) <= set(COMMANDS)


def test_every_field_of_a_backup_request_can_be_asked_for() -> None:
    assert set(StartBackup.__struct_fields__) == {"servers", "follow", "wait_timeout", *SENT}


def test_the_client_knows_the_limits_of_the_wire() -> None:
    limits = [get_args(kind)[1].le for kind in (Count, Jobs, Seconds, PositiveSeconds)]
    seconds = values.SECONDS_LIMIT
    assert limits == [values.COUNT_LIMIT, values.JOBS_LIMIT, seconds, seconds]


NUMBERS = (
    *("0", "0.5", "1e-400", "1000", "1001", "31536000", "31536001"),
    *("1000000000", "1000000001", "-1", "nan", "inf"),
)


def options_with_a_number() -> list[str]:
    """Those of `backup`, as the wire has them."""
    told = inspect.type_info(StartBackup)
    assert isinstance(told, inspect.StructType)
    return [
        f"--{field.encode_name.replace('_', '-')}"
        for field in told.fields
        if isinstance(field.type, inspect.UnionType)
        and any(isinstance(kind, inspect.IntType | inspect.FloatType) for kind in field.type.types)
    ]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("option", options_with_a_number())
def test_a_number_that_the_wire_refuses_is_refused_by_the_option(option: str, number: str) -> None:
    line = f"backup --wait m {option} {number}"
    try:
        arguments.parse(line.split())
    except UsageError as error:
        assert f"{option}: {number!r} is " in error.message  # noqa: PT017 - else it is sent
    else:
        assert asked(line)  # Malformed here would be msgspec's words to an operator


def test_the_options_with_a_number_are_these() -> None:
    assert {"--jobs", "--jobs-start-batch-period", "--bwlimit", "--wait-timeout"} < set(
        options_with_a_number()
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--retry-times -1 m", "--retry-times: '-1' is not a whole number, 0 or greater"),
        ("--retry-times 1.5 m", "--retry-times: '1.5' is not a whole number, 0 or greater"),
        ("--retry-times 1_0 m", "--retry-times: '1_0' is not a whole number, 0 or greater"),
        ("--retry-times ½ m", "--retry-times: '½' is not a whole number, 0 or greater"),
        ("--bwlimit 1000000001 m", "--bwlimit: '1000000001' is more than 1000000000"),
        ("--jobs 0 m", "-j/--jobs: '0' is not 1 or greater"),
        ("-j 1001 m", "-j/--jobs: '1001' is more than 1000"),
        ("--jobs-start-batch-size 1001 m", "--jobs-start-batch-size: '1001' is more than 1000"),
        ("--jobs-start-batch-period 0 m", "--jobs-start-batch-period: '0' is not greater than 0"),
        ("--manifest --no-manifest m", "--no-manifest: not allowed with argument --manifest"),
        (
            "--no-immediate-checkpoint m --immediate-checkpoint",
            "--immediate-checkpoint: not allowed with argument --no-immediate-checkpoint",
        ),
        ("--retry-times 3 --no-retry m", "--no-retry: not allowed with argument --retry-times"),
        ("--no-retry --retry-times 0 m", "--retry-times: not allowed with argument --no-retry"),
        ("--jobs many m", "-j/--jobs: 'many' is not a whole number, 0 or greater"),
        ("--retry-sleep nan m", "--retry-sleep: 'nan' is not a number of seconds, 0 or greater"),
        ("--retry-sleep -1 m", "--retry-sleep: '-1' is not a number of seconds, 0 or greater"),
        ("--retry-sleep soon m", "--retry-sleep: 'soon' is not a number of seconds, 0 or greater"),
        ("--retry-sleep 1_0 m", "--retry-sleep: '1_0' is not a number of seconds, 0 or greater"),
        ("--retry-sleep 1e400 m", "--retry-sleep: '1e400' is more than 31536000 seconds (a year)"),
        ("-w --wait-timeout inf m", "--wait-timeout: 'inf' is more than 31536000 seconds (a year)"),
        ("--wait-timeout 5 m", "--wait-timeout needs --wait"),
        ("--wait --detach m", "--wait and --detach exclude each other"),
        ("all main", "`all` means every server: name servers, or say `all`, not both"),
        ("--incremental= m", "--incremental: an empty word names nothing"),
    ],
)
def test_a_backup_that_makes_no_sense_is_refused_by_name(line: str, message: str) -> None:
    assert refusal("backup", *line.split()) == message


def test_a_number_of_ten_thousand_digits_is_refused() -> None:
    assert "is more than" in refusal("backup", "--jobs", "9" * 10_000, "m")


def test_an_unknown_way_to_reuse_files_is_refused() -> None:
    assert refusal("backup", "--reuse-backup", "main").startswith("--reuse-backup: invalid choice")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("backup", "the following arguments are required: SERVER"),
        ("restore main last", "the following arguments are required: DESTINATION"),
        ("show-backup main", "the following arguments are required: BACKUP"),
        ("ping main", "unrecognized arguments: main"),
        ("ping --sock /x", "unrecognized arguments: --sock /x"),
        ("backup --immediate main", "unrecognized arguments: --immediate"),
        ("restore main last /x --tablespace here", "--tablespace: 'here' is not NAME:LOCATION"),
        ("restore main last /x --tablespace a:b", "--tablespace: 'a:b' is not NAME:LOCATION"),
        ("restore main last /x --tablespace :/b", "--tablespace: ':/b' is not NAME:LOCATION"),
        ("restore m last /x --tablespace a:/b --tablespace a:/c", "--tablespace: one tablespace"),
        ("list-backups all main", "`all` means every server"),
        ("acknowledge-gap m 0 --reason x", "GAP: '0' is not 1 or greater"),
        ("hook runs m --limit 10001", "--limit: '10001' is more than 10000"),
        ("hook runs m --limit 0", "--limit: '0' is not 1 or greater"),
        ("get-wal m x --peek 10001", "--peek: '10001' is more than 10000"),
        ("-f xml ping", "-f/--format: invalid choice: 'xml'"),
    ],
)
def test_what_makes_no_sense_is_refused(line: str, message: str) -> None:
    assert refusal(*line.split()).startswith(message)


@pytest.mark.parametrize(
    ("command", "hint"),
    [("bakcup", "Did you mean `backup`?"), ("xyzzy", "`barmanctl --help` names the commands.")],
)
def test_an_unknown_command_is_refused_with_the_nearest_one(command: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        arguments.parse([command])
    assert refused.value.message == f"unknown command {command!r}"
    assert refused.value.hint == hint


@pytest.mark.parametrize("reason", ["", "  ", "\t\n", "\u200b"])
@pytest.mark.parametrize(
    "command", [("acknowledge-gap", "main", "1"), ("keep", "main", "last", "--target", "full")]
)
def test_a_blank_reason_is_refused(command: tuple[str, ...], reason: str) -> None:
    assert refusal(*command, "--reason", reason) == f"--reason: {reason!r} is blank, and no reason"


def test_no_command_asks_nothing() -> None:
    assert arguments.parse([]) is None


@pytest.mark.parametrize(
    "line", ["--socket /s -f json ping", "ping --socket /s -f json", "-f json ping --socket=/s",
             "--socket /t -f console ping --socket /s --format json"],
)  # fmt: skip
def test_socket_and_format_stand_before_or_after_the_command(line: str) -> None:
    parsed = arguments.parse(line.split())
    assert parsed is not None
    assert (parsed.socket, parsed.format) == ("/s", "json")


@pytest.mark.parametrize(
    ("variable", "path"), [("/from/env", "/from/env"), ("", "/run/barmand/barmand.sock")]
)
def test_without_the_option_the_environment_names_the_socket(
    variable: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARMAND_SOCKET", variable)
    parsed = arguments.parse(["ping"])
    assert parsed is not None
    assert (parsed.socket, parsed.format) == (path, "console")


@pytest.mark.parametrize(
    ("line", "format_"),
    [
        ("bakcup -f json", "json"),
        ("backup --format=json --nonsense", "json"),
        ("-fjson", "json"),
        ("backup", "console"),
        ("-f xml", "console"),
        ("-f", "console"),
        ("--help -f json x", "json"),
    ],
)
def test_the_format_is_known_even_where_the_rest_makes_no_sense(line: str, format_: str) -> None:
    assert arguments.asked_format(line.split()) == format_


def test_words_that_are_not_utf8_are_refused_not_sent() -> None:
    assert refusal("backup", os.fsdecode(b"m\xff")) == r"'m\udcff' is not valid UTF-8"


def test_words_in_any_script_are_sent() -> None:
    assert asked("show-backup главный 毎週") == ShowBackup(server="главный", backup="毎週")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_each_command_helps_with_short_meanings(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        arguments.parse([*command.split(), "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: barmanctl {command}".strip() in shown
    assert "--socket PATH" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_the_help_names_every_command_and_no_alias(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parse(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert not any(f"\n  {alias} " in shown for alias in ALIASES)
