"""The program `barmand`: its arguments, and how it ends."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from barmand import __version__
from barmand.fittings import hook_program_of, hooks_of
from barmand.life import Daemon
from barmand.model.errors import BUG_EXIT_CODE, ConfigInvalid, Failure
from barmand.service import journal, memory
from barmand.settings.ini import read
from barmand.settings.schema import Settings
from barmand.storage.real_paths import real_paths
from barmand.wiring import judged_by_doors, rights_of

log = structlog.get_logger()

DEFAULT_CONFIG = Path("/etc/barmand.conf")


def main() -> None:
    """Console script `barmand`. Exit codes: see barmand.model.errors."""
    arguments = _arguments()
    try:
        settings = judged_by_doors(read(arguments.config, real_paths))
        if arguments.check_config:
            sys.exit(_tell_settings(settings, _foreign_problems(settings), _doubts(settings)))
        journal.configure(settings.daemon.log_level.value)
        memory.share_pools()
        if not Daemon(settings).live():
            # A thread that hangs in the kernel would keep the interpreter from ending.
            sys.stderr.flush()
            os._exit(0)
    except Failure as failure:
        hint = f"\n  hint: {failure.hint}" if failure.hint else ""
        sys.stderr.write(f"barmand: {failure.message}{hint}\n")
        sys.exit(failure.exit_code)
    except Exception:
        log.exception("barmand ended in a fault of its own")
        sys.exit(BUG_EXIT_CODE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="barmand", description="The backup daemon for PostgreSQL.", allow_abbrev=False
    )
    parser.add_argument(
        "--config",
        "-c",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the INI file (default: {DEFAULT_CONFIG})",
    )
    parser.add_argument(
        "--check-config", action="store_true", help="tell every problem of the INI files, and end"
    )
    parser.add_argument("--version", action="version", version=f"barmand {__version__}")
    return parser.parse_args()


def _foreign_problems(settings: Settings) -> list[str]:
    """What only the machine can judge."""
    try:
        rights_of(settings.daemon)
    except ConfigInvalid as failure:
        return [failure.message]
    return []


def _doubts(settings: Settings) -> list[str]:
    """Hooks that can hardly be run, as far as that can be told without running them."""
    return [
        f"[{name}] {hook.option}: {doubt}"
        for name, server in settings.servers.items()
        for hook, command in hooks_of(server).items()
        if (doubt := hook_program_of(server).doubt(command)) is not None
    ]


def _tell_settings(settings: Settings, more: Sequence[str], doubts: Sequence[str]) -> int:
    for warning in [*settings.warnings, *doubts]:
        sys.stdout.write(f"warning: {warning}\n")
    for problem in settings.problems:
        sys.stdout.write(f"problem: {problem}\n")
    for words in more:
        sys.stdout.write(f"problem: {words}\n")
    healthy = ", ".join(settings.servers) or "none"
    sys.stdout.write(f"servers: {healthy}\n")
    if settings.broken:
        sys.stdout.write(f"put aside: {', '.join(settings.broken)}\n")
    return ConfigInvalid.exit_code if settings.problems or more else 0


if __name__ == "__main__":
    main()
