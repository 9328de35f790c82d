"""Commands about the WAL stream."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

ARCHIVE_TIMEOUT = 30.0


def _add_receive_wal(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    actions = parser.add_mutually_exclusive_group()
    for action, meaning in (
        ("stop", "end the receiver, until --start, also over a restart of the daemon"),
        ("start", "let it run again"),
        ("reset", "begin anew where the slot stands; tells what is lost"),
        ("create-slot", "make the slot; WAL is kept for it from now on"),
        ("drop-slot", "drop the slot; only while the receiver is stopped"),
    ):
        actions.add_argument(
            f"--{action}", dest="action", action="store_const", const=action, help=meaning
        )
    parser.set_defaults(action="show")
    parser.add_argument(
        "--if-not-exists", action="store_true", help="with --create-slot: it may be there already"
    )


def _receive_wal_params(options: argparse.Namespace) -> Params:
    if options.if_not_exists and options.action != "create-slot":
        raise UsageError("--if-not-exists goes with --create-slot")
    return {
        "server": options.server,
        "action": options.action,
        "if_not_exists": options.if_not_exists,
    }


def _add_switch_wal(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "--force", action="store_true", help="after a checkpoint, so that there is something"
    )
    parser.add_argument("--archive", action="store_true", help="wait until it is archived")
    parser.add_argument(
        "--archive-timeout",
        metavar="S",
        type=values.seconds,
        default=ARCHIVE_TIMEOUT,
        help="with --archive: wait no longer; default: %(default)s seconds",
    )


def _switch_wal_params(options: argparse.Namespace) -> Params:
    return {
        "server": values.one_server(options.server, "switch-wal"),
        "force": options.force,
        "archive": options.archive,
        "archive_timeout": options.archive_timeout,
    }


def _add_check_wal_archive(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "--timeline",
        metavar="N",
        type=values.positive_count,
        help="WAL of earlier timelines may be there",
    )


def _check_wal_archive_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "timeline": options.timeline}


def _add_replication_status(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument("--target", choices=("all", "hot-standby", "wal-streamer"), default="all")
    parser.add_argument(
        "--source",
        choices=("backup-host", "wal-host"),
        default="backup-host",
        help="whom to ask: the server that is backed up, or the one that WAL comes from",
    )
    parser.add_argument("--minimal", action="store_true", help="a line for each")


def _replication_params(options: argparse.Namespace) -> Params:
    return {
        "server": values.one_server(options.server, "replication-status"),
        "target": options.target,
        "source": options.source,
        "minimal": options.minimal,
    }


STREAM_COMMANDS = {
    "receive-wal": Command(
        "the WAL stream: look, stop, start", _add_receive_wal, _receive_wal_params
    ),
    "switch-wal": Command("close the current WAL segment", _add_switch_wal, _switch_wal_params),
    "check-wal-archive": Command(
        "is the archive free for a new server?", _add_check_wal_archive, _check_wal_archive_params
    ),
    "replication-status": Command(
        "whom a server streams WAL to", _add_replication_status, _replication_params
    ),
}
