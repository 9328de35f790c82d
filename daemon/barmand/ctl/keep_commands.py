"""Commands about what stays and what goes."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params


def _add_keep(parser: argparse.ArgumentParser) -> None:
    subjects.add_backup(parser)
    deeds = parser.add_mutually_exclusive_group(required=True)
    deeds.add_argument(
        "--target",
        choices=("full", "standalone"),
        help="keep it: with the WAL behind it (full), or with that of its own only (standalone)",
    )
    deeds.add_argument("-r", "--release", action="store_true", help="do not keep it any more")
    deeds.add_argument("-s", "--status", action="store_true", help="is it kept, and how?")
    parser.add_argument("--reason", metavar="TEXT", type=values.reason, help="why it is kept")
    parser.add_argument(
        "--until",
        metavar="DATE",
        type=values.end_date,
        help="as 2027-01-31 (through that day) or 2027-01-31T18:00; then it is released",
    )


def _keep_params(options: argparse.Namespace) -> Params:
    action = "release" if options.release else "status" if options.status else "set"
    return {
        "server": options.server,
        "backup": options.backup,
        "action": action,
        "target": options.target,
        "reason": options.reason,
        "until": options.until,
    }


def _add_retention(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="also what the next pass would delete and free"
    )


def _retention_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "dry_run": options.dry_run}


KEEP_COMMANDS = {
    "keep": Command("keep a backup from retention and deletion", _add_keep, _keep_params),
    "retention": Command("which backups stay, and why", _add_retention, _retention_params),
    "trust-clock": Command(
        "the clock is right, whatever it did", subjects.nothing, subjects.no_params
    ),
}
