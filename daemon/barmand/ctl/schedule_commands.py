"""Commands about what the daemon does by itself."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params


def _add_cron(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=values.seconds,
        default=50.0,
        help="wait at most S seconds for their end (50); they go on",
    )
    parser.add_argument(
        "--keep-descriptors", action="store_true", help="Barman's; changes nothing here"
    )


def _cron_params(options: argparse.Namespace) -> Params:
    return {"timeout": options.timeout}


SCHEDULE_COMMANDS = {
    "schedule": Command(
        "what runs by itself, and how it went",
        subjects.add_perhaps_servers,
        subjects.perhaps_servers_params,
    ),
    "cron": Command("have the due chores done now", _add_cron, _cron_params),
}
