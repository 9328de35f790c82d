"""barmanctl: request out, replies in, exit code.

PostgreSQL calls wal-push and get-wal once a segment: what those do not need is imported later.
"""

from __future__ import annotations

import errno
import os
import sys

from barmand.ctl import doors
from barmand.model.errors import BUG_EXIT_CODE, Failure, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.asked import Asked

CLOSED = 141
"""As a shell tells of a program that its reader's going away has ended (128 + SIGPIPE)."""


def main() -> None:
    """Ends the process with the exit code; whoever stops reading us gets no traceback."""
    _mend_streams()
    argv = sys.argv[1:]
    is_for_recovery = doors.command_of(argv) == doors.GET
    sys.exit(doors.told_to_recovery(lambda: _answered(argv)) if is_for_recovery else _code_of(argv))


def _code_of(argv: list[str]) -> int:
    try:
        return _answered(argv)
    except KeyboardInterrupt:
        return doors.INTERRUPTED
    except OSError as error:  # of stdout: the connection translates its own
        return _lost(error)


def _answered(argv: list[str]) -> int:
    code = run(argv)
    sys.stdout.flush()
    return code


def run(argv: list[str]) -> int:
    code = doors.quick(argv)
    return _parsed(argv) if code is None else code


def _parsed(argv: list[str]) -> int:
    from barmand.ctl import arguments  # noqa: PLC0415 - a quick command needs no parser

    try:
        asked = arguments.parse(argv)
    except UsageError as failure:
        return _refuse(argv, failure)
    except SystemExit:  # --help and --version have said what they had to say
        return 0
    if asked is None:
        arguments.print_help(sys.stderr)
        return _refuse(argv, UsageError("no command given"))
    return asked.act(asked) if asked.act else _answer(asked)


def _answer(asked: Asked) -> int:
    from barmand.ctl.connection import Connection  # noqa: PLC0415 - a quick command shows nothing
    from barmand.ctl.render import view  # noqa: PLC0415 - a quick command shows nothing

    if asked.is_quiet:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives as long as we do
    shown = view(asked)
    try:
        with Connection(asked.socket) as connection:
            try:
                result = connection.ask(asked.method, asked.params, shown.note)
            except KeyboardInterrupt:
                shown.interrupted()
                return doors.INTERRUPTED
        return shown.result(result)
    except Failure as failure:
        return shown.failed(failure)


def _refuse(argv: list[str], failure: UsageError) -> int:
    from barmand.ctl import arguments  # noqa: PLC0415 - a quick command needs no parser
    from barmand.ctl.render import print_failure  # noqa: PLC0415 - a quick command shows nothing
    from barmand.ctl.screen import complain  # noqa: PLC0415 - a quick command shows nothing

    if doors.command_of(argv) == doors.GET:
        raise failure
    if "--nagios" in argv:
        from barmand.ctl.nagios import NagiosView  # noqa: PLC0415 - of one command only

        return NagiosView().failed(failure)
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
    from barmand.ctl.screen import abandon, complain  # noqa: PLC0415 - success is silent

    abandon(sys.stdout)
    if error.errno in (errno.EPIPE, errno.EIO):
        return CLOSED
    complain(f"cannot write the answer: {os.strerror(error.errno or 0)}")
    return BUG_EXIT_CODE
