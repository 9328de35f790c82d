"""What PostgreSQL calls by itself: quick to start, one line to stderr, exit codes it understands.

archive_command: 1 to 125 means "again, later"; more, or a signal, ends the archiver. So wal-push
and put-wal end with the usual codes, which are below 13.

restore_command: 1 to 125 means "the archive does not have it", and then recovery ends and the
cluster is promoted; more stops PostgreSQL. So get-wal ends with 1 for that and for nothing else;
all that goes wrong is 200 and the usual code (128 + n would read as a signal).
"""

from __future__ import annotations

import os

from barmand.model.errors import BUG_EXIT_CODE, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Deed = Callable[[], dict[str, Any]]

PROGRAM = "barmanctl"
PUSH, PUT, GET = "wal-push", "put-wal", "get-wal"
STOPS = 200
INTERRUPTED = 130
_SOCKET = "/run/barmand/barmand.sock"
_TAKE_VALUES = {"--socket": "socket", "-o": "folder", "-p": "prefetch", "--spool": "spool"}
_OF_PUSH = frozenset({"socket"})


def command_of(argv: Sequence[str]) -> str | None:
    """The command that a command line asks for, as far as it can be told without parsing it."""
    words = iter(argv)
    for word in words:
        if word in {"--socket", "-f", "--format"}:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def quick(argv: Sequence[str]) -> int | None:
    """Do what PostgreSQL asks for in its usual words; None for others, which take a real parser."""
    found = _parse(argv)
    if found is None:
        return None
    command, positional, options = found
    path = options.get("socket") or os.environ.get("BARMAND_SOCKET") or _SOCKET
    if command == PUSH:
        from barmand.ctl.wal_push import push_quickly  # noqa: PLC0415 - one of the two is needed

        server, file = positional
        return told(lambda: push_quickly(path, server, file))
    from barmand.ctl.wal_get import Wanted, get  # noqa: PLC0415 - one of the two is needed

    wanted = Wanted(
        *positional,
        folder=options.get("folder"),
        partial="partial" in options,
        prefetch=int(options.get("prefetch", "0")),
        spool=options.get("spool"),
    )
    return told_to_recovery(lambda: get(path, wanted))


def told(deed: Callable[[], int]) -> int:
    """Its exit code; a failure is told in one line."""
    try:
        return deed()
    except Failure as failure:
        say(failure.message, failure.hint)
        return failure.exit_code


def told_to_recovery(deed: Callable[[], int]) -> int:
    """As `told`, with codes that stop PostgreSQL. Whatever happens here, it is not a 1."""
    try:
        return deed()
    except Failure as failure:
        say(failure.message, failure.hint)
        return STOPS + failure.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - any traceback would end with 1: a promotion
        say(f"unexpected {type(error).__name__}: {error}")
        return STOPS + BUG_EXIT_CODE


def say(message: str, hint: str | None = None) -> None:
    from barmand.ctl.screen import complain  # noqa: PLC0415 - success is silent

    words = message if hint is None else f"{message} ({hint})"
    complain(" ".join(words.split()))


def _parse(argv: Sequence[str]) -> tuple[str, list[str], dict[str, str]] | None:
    """None for anything but plain words and the options above, each spelt in the usual way."""
    options: dict[str, str] = {}
    positional: list[str] = []
    words = iter(argv)
    for word in words:
        if word in _TAKE_VALUES:
            options[_TAKE_VALUES[word]] = next(words, "")
        elif word == "-P":
            options["partial"] = word
        elif word.startswith("-"):
            return None
        else:
            positional.append(word)
    if not all(_is_plain(word) for word in (*positional, *options.values())):
        return None
    command, *rest = positional or [""]
    if command == PUSH and len(rest) == 2 and options.keys() <= _OF_PUSH:
        return command, rest, options
    fits = len(rest) == 2 or (len(rest) == 3 and "folder" not in options)
    if command == GET and fits and options.get("prefetch", "0").isdecimal():
        return command, rest, options
    return None


def _is_plain(word: str) -> bool:
    return bool(word) and word.isascii() and len(word) < 4096
