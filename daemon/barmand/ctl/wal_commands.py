"""Commands about WAL."""

from __future__ import annotations

import argparse

from barmand.ctl import values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

FILE_TARGETS = ("standalone", "data", "wal", "full")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", type=values.word)


def _add_list_files(parser: argparse.ArgumentParser) -> None:
    _add_server(parser)
    parser.add_argument("backup", metavar="BACKUP", type=values.word, help="as for show-backup")
    parser.add_argument(
        "--target",
        choices=FILE_TARGETS,
        default=FILE_TARGETS[0],
        help="the copy and the WAL that makes it consistent (standalone, the default), the copy"
        " only (data), the WAL from its beginning on (wal), or all of that (full)",
    )


def _server_params(options: argparse.Namespace) -> Params:
    return {"server": options.server}


def _list_files_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "backup": options.backup, "target": options.target}


WAL_COMMANDS = {
    "archive-wal": Command("archive what has arrived, now", _add_server, _server_params),
    "list-files": Command("the files of a backup", _add_list_files, _list_files_params),
}
