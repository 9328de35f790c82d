"""Commands that PostgreSQL calls: WAL files pushed in and fetched out."""

from __future__ import annotations

import argparse
import os
import sys

from barmand.ctl import doors, values
from barmand.ctl.command import Command
from barmand.model.errors import BUG_EXIT_CODE, Failure, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.asked import Asked
    from barmand.ctl.command import Params


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", type=values.word)


def _server_params(options: argparse.Namespace) -> Params:
    return {"server": options.server}


# ------------------------------------------------------------------------------- pushed and fetched
def _add_push(parser: argparse.ArgumentParser) -> None:
    _add_server(parser)
    parser.add_argument("path", metavar="PATH", type=values.word, help="archive_command's %%p")


def _push_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "name": os.path.basename(options.path)}  # noqa: PTH119 - pathlib is too slow to load


def _push(asked: Asked) -> int:
    from barmand.ctl.wal_push import push  # noqa: PLC0415 - only for this command

    return _shown(asked, lambda: push(asked.socket, asked.options.server, asked.options.path))


def _add_put(parser: argparse.ArgumentParser) -> None:
    _add_server(parser)
    parser.add_argument(
        "-t", "--test", action="store_true", help="read nothing: would a WAL file be taken?"
    )


def _put(asked: Asked) -> int:
    from barmand.ctl.wal_put import put  # noqa: PLC0415 - only for this command

    if asked.options.test:
        return _prove_ready(asked)
    return _shown(asked, lambda: put(asked.socket, asked.options.server, sys.stdin))


def _prove_ready(asked: Asked) -> int:
    from barmand.ctl.wal_put import prove_ready  # noqa: PLC0415 - only for this command

    server = asked.options.server
    code = _shown(asked, lambda: prove_ready(asked.socket, server))
    if not code and asked.format != "json":
        sys.stdout.write(f"Ready to accept WAL files for the server {server}\n")
        sys.stdout.flush()
    return code


def _add_get(parser: argparse.ArgumentParser) -> None:
    _add_server(parser)
    parser.add_argument("name", metavar="SEGMENT", type=values.word, help="restore_command's %%f")
    parser.add_argument(
        "target",
        metavar="PATH",
        nargs="?",
        type=values.word,
        help="written beside, synced, renamed; restore_command's %%p; else stdout",
    )
    parser.add_argument("-o", dest="folder", metavar="DIR", help="write it there, as SEGMENT")
    parser.add_argument(
        "-P", "--partial", action="store_true", help="a .partial segment will do if there is none"
    )
    parser.add_argument(
        "-p",
        "--prefetch",
        metavar="N",
        type=values.count,
        default=0,
        help="then fetch the next N segments into the spool",
    )
    parser.add_argument("--spool", metavar="DIR", help="a folder of the caller alone")
    parser.add_argument(
        "--peek", metavar="N", type=values.listed, help="name at most N segments from it on"
    )


def _get_params(options: argparse.Namespace) -> Params:
    if options.folder and options.target:
        raise UsageError("-o DIR and PATH both say where the file goes: give one of them")
    if options.format == "json" and not options.peek:
        raise UsageError("get-wal hands out a file, not a document: -f json is for --peek")
    return {"server": options.server, "name": options.name, "partial": options.partial}


def _get(asked: Asked) -> int:
    options = asked.options
    if options.peek:
        return doors.told_to_recovery(lambda: _peek(asked))
    from barmand.ctl.wal_get import Wanted, get  # noqa: PLC0415 - only for this command

    wanted = Wanted(
        options.server,
        options.name,
        options.target,
        folder=options.folder,
        partial=options.partial,
        prefetch=options.prefetch,
        spool=options.spool,
    )
    return doors.told_to_recovery(lambda: get(asked.socket, wanted))


def _peek(asked: Asked) -> int:
    """Names, one a line; 1 where there is none, as for the segment itself."""
    from barmand.ctl.connection import Connection  # noqa: PLC0415 - only for this command

    options = asked.options
    params = {"server": options.server, "name": options.name, "count": options.peek}
    with Connection(asked.socket) as connection:
        result = connection.ask("peek-wal", params, lambda _note: None)
    if options.format == "json":
        from barmand.ctl.render import view  # noqa: PLC0415 - only for a document

        view(asked).result(result)
    else:
        sys.stdout.write("".join(f"{name}\n" for name in result["names"]))
    sys.stdout.flush()
    return 0 if result["names"] else 1


def _shown(asked: Asked, deed: doors.Deed) -> int:
    """In JSON, a document; for people, nothing but failures, and those in one line."""
    if asked.format != "json":
        return doors.told(lambda: 0 if deed() else BUG_EXIT_CODE)
    from barmand.ctl.render import view  # noqa: PLC0415 - only for a document

    shown = view(asked)
    try:
        return shown.result(deed())
    except Failure as failure:
        return shown.failed(failure)


DOOR_COMMANDS = {
    "wal-push": Command("push a WAL file: archive_command", _add_push, _push_params, _push),
    "put-wal": Command("take barman-wal-archive's tar stream", _add_put, _server_params, _put),
    "get-wal": Command("fetch a WAL file: restore_command", _add_get, _get_params, _get),
}
