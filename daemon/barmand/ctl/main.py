"""barmanctl: request out, replies in, exit code."""

from __future__ import annotations

import errno
import os
import sys

from barmand.ctl import arguments
from barmand.ctl.connection import Connection
from barmand.ctl.render import print_failure, view
from barmand.ctl.screen import abandon, complain
from barmand.model.errors import BUG_EXIT_CODE, Failure, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.arguments import Asked

INTERRUPTED = 130
CLOSED = 141
"""As a shell tells of a program that its reader's going away has ended (128 + SIGPIPE)."""


def main() -> None:
    """Ends the process with the exit code; whoever stops reading us gets no traceback."""
    _mend_streams()
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:  # of stdout: the connection translates its own
        code = _lost(error)
    sys.exit(code)


def run(argv: list[str]) -> int:
    try:
        asked = arguments.parse(argv)
    except UsageError as failure:
        return _refuse(argv, failure)
    except SystemExit:  # --help and --version have said what they had to say
        return 0
    if asked is None:
        arguments.print_help(sys.stderr)
        return _refuse(argv, UsageError("no command given"))
    return _answer(asked)


def _answer(asked: Asked) -> int:
    shown = view(asked)
    try:
        with Connection(asked.socket) as connection:
            try:
                result = connection.ask(asked.method, asked.params, shown.note)
            except KeyboardInterrupt:
                shown.interrupted()
                return INTERRUPTED
        return shown.result(result)
    except Failure as failure:
        return shown.failed(failure)


def _refuse(argv: list[str], failure: UsageError) -> int:
    if arguments.asked_format(argv) == "json":
        return print_failure(failure)
    complain(failure.message, failure.hint)
    return failure.exit_code


def _mend_streams() -> None:
    """Closed before we began: then nobody wants to hear. And no letter is unsayable."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as we do
        else:
            stream.reconfigure(errors="backslashreplace")


def _lost(error: OSError) -> int:
    abandon(sys.stdout)
    if error.errno in (errno.EPIPE, errno.EIO):
        return CLOSED
    complain(f"cannot write the answer: {os.strerror(error.errno or 0)}")
    return BUG_EXIT_CODE
