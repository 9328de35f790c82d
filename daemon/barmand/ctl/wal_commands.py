"""Commands about WAL."""

from __future__ import annotations

import argparse

from barmand.ctl import values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", type=values.word)


def _server_params(options: argparse.Namespace) -> Params:
    return {"server": options.server}


WAL_COMMANDS = {
    "archive-wal": Command("archive what has arrived, now", _add_server, _server_params),
}
