"""One message, one JSON line: how requests are read and replies are written (JSON-RPC 2.0)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from barmand.model.errors import BUG_EXIT_CODE, Failure, UsageError
from barmand.model.masking import without_secrets
from barmand.wire.messages import AnyNote, ErrorView, Reply
from barmand.wire.methods import METHODS, AnyRequest

LINE_BYTES = 1 << 20
"""The longest request; a longer one is refused and its connection closed."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
FAILURE = -32000
"""barmand's own failures: this number less the exit code, so -32004 is a refusal."""

Id = int | float | str | None


@dataclass(frozen=True, slots=True)
class Call:
    """A request that makes sense so far. `wants_reply` is false for a JSON-RPC notification."""

    id: Id
    request: AnyRequest
    wants_reply: bool


class Malformed(Exception):  # noqa: N818 - said of a line, not of the daemon
    """A line that is no request; `reply` answers it, None where JSON-RPC has no answer."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__("malformed request")
        self.reply = reply


_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")
_encoder = msgspec.json.Encoder()


def read_call(line: bytes) -> Call:
    """Raises Malformed for anything that is not a request of ours."""
    message = _message(line)
    call_id = message.get("id")
    wants_reply = "id" in message
    if not isinstance(call_id, Id) or isinstance(call_id, bool):
        raise Malformed(refusal(None, INVALID_REQUEST, "`id` must be a number, a string or null"))
    if message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise Malformed(
            refusal(
                call_id, INVALID_REQUEST, 'a request has "jsonrpc": "2.0" and a string "method"'
            )
        )
    kind = METHODS.get(str(message["method"]))
    if kind is None:
        reply = refusal(call_id, METHOD_NOT_FOUND, f"unknown method {message['method']!r:.100}")
        raise Malformed(reply if wants_reply else None)
    try:
        request = msgspec.convert(message.get("params", {}), kind)
    except msgspec.ValidationError as error:
        reply = refusal(call_id, INVALID_PARAMS, f"{kind.method}: {error}")
        raise Malformed(reply if wants_reply else None) from error
    return Call(call_id, request, wants_reply)


def _message(line: bytes) -> Mapping[str, object]:
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(_not_json(line, error)) from error
    if not isinstance(message, dict):
        words = "a request is one JSON object a line; batches are not served"
        raise Malformed(refusal(None, INVALID_REQUEST, words))
    return message


def _not_json(line: bytes, error: Exception) -> bytes:
    r"""A text with half a character (`\ud800`) is JSON by its grammar: its `id` can be told."""
    try:
        message = json.loads(line) if _ESCAPED.search(line) else None
        call_id = message.get("id") if isinstance(message, dict) else None
        is_half = message is not None and _has_half(message)
    except (ValueError, RecursionError):
        is_half = False
    if not is_half:
        return refusal(None, PARSE_ERROR, f"not JSON: {error}")
    is_id = isinstance(call_id, Id) and not isinstance(call_id, bool) and not _has_half(call_id)
    words = "not valid Unicode: half of a surrogate pair stands alone in a text"
    return refusal(call_id if is_id else None, PARSE_ERROR, words)


def _has_half(message: object) -> bool:
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def note_line(note: AnyNote) -> bytes:
    return _line({"jsonrpc": "2.0", "method": note.method, "params": note})


def result_line(call_id: Id, result: Reply) -> bytes:
    return _line({"jsonrpc": "2.0", "id": call_id, "result": result})


def failure_line(call_id: Id, error: BaseException) -> bytes:
    view = error_view(error)
    body = {"code": FAILURE - view.exit_code, "message": view.message, "data": view}
    return _line({"jsonrpc": "2.0", "id": call_id, "error": body})


def refusal(call_id: Id, code: int, message: str) -> bytes:
    """An error of the protocol itself; for barmanctl it is a usage error."""
    view = ErrorView(code="UsageError", exit_code=UsageError.exit_code, message=message)
    body = {"code": code, "message": message, "data": view}
    return _line({"jsonrpc": "2.0", "id": call_id, "error": body})


def error_view(error: BaseException) -> ErrorView:
    if isinstance(error, Failure):
        return ErrorView(
            code=error.kind,
            exit_code=error.exit_code,
            message=_shown(error.message),
            hint=None if error.hint is None else _shown(error.hint),
        )
    return ErrorView(
        code="Bug",
        exit_code=BUG_EXIT_CODE,
        message=f"unexpected {type(error).__name__}",
        hint="This is a fault of barmand; its journal has the traceback.",
    )


def plain(value: object) -> Any:
    """What JSON would hold of it."""
    return msgspec.to_builtins(value)


def _shown(text: str) -> str:
    """Without what looks like a secret; a path that is not UTF-8 must not keep its failure from
    being told.
    """
    return without_secrets(_utf8(text))


def _utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _line(message: Mapping[str, object]) -> bytes:
    return _encoder.encode(message) + b"\n"
