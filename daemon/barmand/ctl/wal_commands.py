"""Commands about WAL."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

FILE_TARGETS = ("standalone", "data", "wal", "full")


def _add_list_files(parser: argparse.ArgumentParser) -> None:
    subjects.add_backup(parser)
    parser.add_argument(
        "--target",
        choices=FILE_TARGETS,
        default=FILE_TARGETS[0],
        help="the copy and the WAL that makes it consistent (standalone, the default), the copy"
        " only (data), the WAL from its beginning on (wal), or all of that (full)",
    )


def _archive_params(options: argparse.Namespace) -> Params:
    return {"server": values.one_server(options.server, "archive-wal")}


def _add_gaps(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument("--all", action="store_true", help="also those that are healed")


def _gaps_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "all": options.all}


def _add_acknowledge(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "gap", metavar="GAP", type=values.positive_count, help="its number in `wal-gaps`"
    )
    parser.add_argument("--reason", required=True, type=values.reason, help="why it may stay")


def _acknowledge_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "gap": options.gap, "reason": options.reason}


def _list_files_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "backup": options.backup, "target": options.target}


WAL_COMMANDS = {
    "archive-wal": Command("archive what has arrived, now", subjects.add_server, _archive_params),
    "wal-gaps": Command("WAL that is missing", _add_gaps, _gaps_params),
    "acknowledge-gap": Command("no alarm for this gap", _add_acknowledge, _acknowledge_params),
    "rebuild": Command(
        "make the catalogue tell what is on disk", subjects.add_server, subjects.server_params
    ),
    "list-files": Command("the files of a backup", _add_list_files, _list_files_params),
}
