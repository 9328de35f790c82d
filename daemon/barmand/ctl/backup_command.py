"""`barmanctl backup`: every option of Barman's, and what of them goes to the daemon."""

from __future__ import annotations

import argparse

from barmand.ctl import values
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SENT = (
    "name",
    "immediate_checkpoint",
    "retry_times",
    "retry_sleep",
    "bwlimit",
    "reuse_backup",
    "jobs",
    "jobs_start_batch_size",
    "jobs_start_batch_period",
    "manifest",
    "manifest_checksums",
    "keepalive_interval",
    "check_timeout",
    "incremental",
)
"""Options that travel as they are; one that was not given does not travel at all."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("servers", metavar="SERVER", nargs="+", type=values.word, help="`all` means every server")
    add("--name", help="call the backup so, instead of by its id only")
    _add_switch(
        parser, "immediate-checkpoint", "let PostgreSQL hurry its checkpoint", "or spread it"
    )
    add(
        "--bwlimit",
        metavar="KBPS",
        type=values.count,
        help="copy at most so many kB/s; 0: no limit",
    )
    add(
        "--reuse-backup",
        nargs="?",
        const="link",
        choices=("off", "copy", "link"),
        help="what to do with files that the previous backup has too; alone: link",
    )
    add("--incremental", metavar="ID", type=values.word, help="take only what changed since ID")
    _add_switch(parser, "manifest", "write a backup manifest", "or write none")
    add(
        "--manifest-checksums",
        metavar="ALGORITHM",
        choices=("crc32c", "sha256"),
        help="write one whose files are summed so: crc32c or sha256",
    )
    _add_jobs(parser)
    _add_retries(parser)
    _add_waiting(parser)
    _add_session(parser)


def _add_switch(parser: argparse.ArgumentParser, option: str, meaning: str, contrary: str) -> None:
    ways = parser.add_mutually_exclusive_group()
    named = option.replace("-", "_")
    ways.add_argument(f"--{option}", dest=named, action="store_const", const=True, help=meaning)
    ways.add_argument(
        f"--no-{option}", dest=named, action="store_const", const=False, help=contrary
    )


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-j", "--jobs", metavar="N", type=values.jobs, help="copy with N workers")
    add(
        "--jobs-start-batch-size",
        metavar="N",
        type=values.jobs,
        help="start at most N rsync processes in one period",
    )
    add(
        "--jobs-start-batch-period",
        metavar="S",
        type=values.positive_seconds,
        help="that period, in seconds",
    )


def _add_session(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--keepalive-interval",
        metavar="S",
        type=values.count,
        help="speak to the session that holds the backup every S seconds; 0: never",
    )
    add(
        "--check-timeout",
        metavar="S",
        type=values.count,
        help="give each question of the check before S seconds; 0: no limit",
    )


def _add_retries(parser: argparse.ArgumentParser) -> None:
    times = parser.add_mutually_exclusive_group()
    times.add_argument(
        "--retry-times",
        metavar="N",
        type=values.count,
        help="try a copy that failed up to N times again",
    )
    times.add_argument(
        "--no-retry", dest="retry_times", action="store_const", const=0, help="--retry-times 0"
    )
    parser.add_argument(
        "--retry-sleep", metavar="S", type=values.seconds, help="pause S seconds before each"
    )


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-w", "--wait", action="store_true", help="return when the backup is DONE, not when copied")
    add(
        "--wait-timeout",
        metavar="S",
        type=values.seconds,
        help="wait for WAL, after the copy, S seconds at most (exit code 12; the backup goes on);"
        " 0: no limit",
    )
    add("--detach", action="store_true", help="return when the backup is queued")


def params(options: argparse.Namespace) -> dict[str, Any]:
    if options.wait and options.detach:
        raise UsageError("--wait and --detach exclude each other")
    if options.wait_timeout is not None and not options.wait:
        raise UsageError("--wait-timeout needs --wait")
    given = {option: getattr(options, option) for option in SENT}
    return {
        "servers": options.servers,
        "follow": _follow(options),
        "wait_timeout": options.wait_timeout or None,
        **{option: value for option, value in given.items() if value is not None},
    }


def _follow(options: argparse.Namespace) -> str:
    if options.detach:
        return "queued"
    return "done" if options.wait else "copied"
