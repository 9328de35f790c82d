"""What is a request, what is none, and what each is answered with."""

import json
from typing import Any

import pytest

from barmand.model import errors
from barmand.wire.lines import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Malformed,
    failure_line,
    note_line,
    read_call,
    refusal,
    result_line,
)
from barmand.wire.messages import Ping, Pong, ProgressNote, ProgressView, ShowBackup, StartBackup


def request(**changes: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": "ping", **changes}).encode()


def complaint(line: bytes) -> tuple[int, object]:
    """Code and id of the error that answers `line`."""
    with pytest.raises(Malformed) as malformed:
        read_call(line)
    assert malformed.value.reply is not None
    assert malformed.value.reply.count(b"\n") == 1
    answer = json.loads(malformed.value.reply)
    assert answer["error"]["data"]["exit_code"] == 2
    return answer["error"]["code"], answer["id"]


def test_a_request_becomes_a_value() -> None:
    call = read_call(request(method="show-backup", params={"server": "main", "backup": "last"}))
    assert (call.id, call.wants_reply) == (7, True)
    assert call.request == ShowBackup(server="main", backup="last")


@pytest.mark.parametrize("call_id", ["a", 0, -1, 1.5, None, 1 << 60])
def test_an_id_is_given_back_as_it_came(call_id: object) -> None:
    assert read_call(request(id=call_id)).id == call_id


def test_params_may_be_left_out_and_spaces_do_no_harm() -> None:
    assert read_call(b'  {"jsonrpc": "2.0", "id": 1, "method": "ping"} \r\n').request == Ping()


@pytest.mark.parametrize(
    ("half", "call_id"),
    [
        (rb'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"a": "\ud800"}}', 7),
        (rb'{"jsonrpc": "2.0", "id": "\uDfff", "method": "ping"}', None),
        (rb'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "\ud800"}', None),
    ],
)
def test_half_a_character_is_told_as_that_with_the_id(half: bytes, call_id: object) -> None:
    assert complaint(half) == (PARSE_ERROR, call_id)
    with pytest.raises(Malformed, match="malformed") as malformed:
        read_call(half)
    assert b"not valid Unicode" in (malformed.value.reply or b"")


def test_broken_json_with_an_escape_is_no_json() -> None:
    assert complaint(rb'{"id": 7, "method": "\ud800"') == (PARSE_ERROR, None)


@pytest.mark.parametrize("gap", [10**25, 1 << 63, 0, -1])
def test_the_number_of_a_gap_has_its_bounds(gap: int) -> None:
    params = {"server": "main", "gap": gap, "reason": "lost"}
    assert complaint(request(method="acknowledge-gap", params=params)) == (INVALID_PARAMS, 7)


def test_an_error_shows_no_secret() -> None:
    failure = errors.ToolFailed("ssh ended: sshpass -p hunter-2 ssh h", hint="--token hunter-2")
    line = failure_line(1, failure)
    assert b"hunter" not in line
    assert b"sshpass -p *** ssh h" in line


def test_a_request_without_an_id_wants_no_reply() -> None:
    call = read_call(b'{"jsonrpc": "2.0", "method": "ping"}')
    assert (call.id, call.wants_reply) == (None, False)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "method": "nonsense"}',
        b'{"jsonrpc": "2.0", "method": "show-backup", "params": {}}',
    ],
)
def test_a_malformed_notification_is_answered_by_silence(line: bytes) -> None:
    with pytest.raises(Malformed) as malformed:
        read_call(line)
    assert malformed.value.reply is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"ping",
        b'{"jsonrpc": "2.0", "id": 1',
        b'{"id": 1} {"id": 2}',
        b'{"method": "\xff"}',
        b'{"method": "\\ud800"}',
        b"\x00\x01\x02",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 100_000 + b"x",
    ],
)
def test_what_is_not_json_is_a_parse_error(line: bytes) -> None:
    assert complaint(line) == (PARSE_ERROR, None)


@pytest.mark.parametrize("line", [b"1", b"null", b'"ping"', b"[]", b"[" + request() + b"]"])
def test_only_one_object_a_line_is_served(line: bytes) -> None:
    assert complaint(line) == (INVALID_REQUEST, None)


@pytest.mark.parametrize("call_id", [True, [], {"a": 1}])
def test_an_id_must_be_a_number_a_string_or_null(call_id: object) -> None:
    assert complaint(request(id=call_id)) == (INVALID_REQUEST, None)


@pytest.mark.parametrize(
    "changes", [{"jsonrpc": "1.0"}, {"jsonrpc": 2.0}, {"method": 1}, {"method": None}]
)
def test_a_request_says_its_version_and_its_method(changes: dict[str, object]) -> None:
    assert complaint(request(**changes)) == (INVALID_REQUEST, 7)


@pytest.mark.parametrize("method", ["nonsense", "", "PING", "x" * 10_000, "\x1b[2J"])
def test_an_unknown_method_is_named_shortly_and_harmlessly(method: str) -> None:
    with pytest.raises(Malformed) as malformed:
        read_call(request(method=method))
    answer = json.loads(malformed.value.reply or b"")
    assert (answer["error"]["code"], answer["id"]) == (METHOD_NOT_FOUND, 7)
    assert len(answer["error"]["message"]) < 200
    assert answer["error"]["message"].isprintable()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ping", {"servers": []}),
        ("ping", []),
        ("ping", None),
        ("ping", "x"),
        ("show-backup", {"server": "main"}),
        ("show-backup", {"server": "", "backup": "last"}),
        ("show-backup", {"server": "x" * 256, "backup": "last"}),
        ("show-backup", {"server": 1, "backup": "last"}),
        ("backup", {"servers": []}),
        ("backup", {"servers": "main"}),
        ("backup", {"servers": ["m"], "follow": "for ever"}),
        ("backup", {"servers": ["m"], "retry_times": -1}),
        ("backup", {"servers": ["m"], "retry_times": 1.5}),
        ("backup", {"servers": ["m"], "retry_times": True}),
        ("backup", {"servers": ["m"], "retry_times": 1 << 70}),
        ("backup", {"servers": ["m"], "wait_timeout": "5"}),
        ("backup", {"servers": ["m"], "wait_timeout": 1e300}),
        ("backup", {"servers": ["m"], "jobs": 0}),
        ("backup", {"servers": ["m"], "nonsense": 1}),
        ("restore", {"server": "m", "backup": "b", "destination": "/x", "tablespaces": []}),
    ],
)
def test_params_of_the_wrong_shape_are_refused(method: str, params: object) -> None:
    assert complaint(request(method=method, params=params)) == (INVALID_PARAMS, 7)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(number: bytes) -> None:
    line = b'{"jsonrpc":"2.0","id":7,"method":"backup","params":{"servers":["m"],"retry_sleep":'
    code, _ = complaint(line + number + b"}}")
    assert code in (PARSE_ERROR, INVALID_PARAMS)


def test_whole_seconds_are_seconds() -> None:
    call = read_call(request(method="backup", params={"servers": ["m"], "wait_timeout": 5}))
    assert call.request == StartBackup(servers=["m"], wait_timeout=5.0)


def test_a_result_is_one_line_with_the_id() -> None:
    line = result_line("a\nb", Pong(version="0.1.0", protocol=1, pid=42))
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "jsonrpc": "2.0",
        "id": "a\nb",
        "result": {"format": 1, "version": "0.1.0", "protocol": 1, "pid": 42},
    }


def test_a_notification_is_one_line_without_an_id() -> None:
    progress = ProgressView(phase="copying")
    line = note_line(ProgressNote(server="main", backup_id="x", progress=progress))
    answer = json.loads(line)
    assert line.count(b"\n") == 1
    assert set(answer) == {"jsonrpc", "method", "params"}
    assert (answer["method"], answer["params"]["progress"]["phase"]) == ("progress", "copying")


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in errors.EXIT_CODES])
def test_a_failure_carries_its_class_its_number_and_its_hint(kind: type[errors.Failure]) -> None:
    answer = json.loads(failure_line(7, kind("it is so", hint="Do this.")))
    assert answer["error"] == {
        "code": -32000 - kind.exit_code,
        "message": "it is so",
        "data": {
            "code": kind.__name__,
            "exit_code": kind.exit_code,
            "message": "it is so",
            "hint": "Do this.",
        },
    }


def test_a_bug_tells_its_kind_and_no_more() -> None:
    error = json.loads(failure_line(7, ValueError("secret")))["error"]
    assert (error["code"], error["message"]) == (-32001, "unexpected ValueError")
    assert "secret" not in json.dumps(error)


def test_a_refusal_of_the_protocol_is_a_usage_error() -> None:
    error = json.loads(refusal(None, INVALID_REQUEST, "no"))["error"]
    assert (error["code"], error["data"]["code"]) == (INVALID_REQUEST, "UsageError")
