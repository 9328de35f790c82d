"""What commands are about, a server or a backup: words that many of them share."""

from __future__ import annotations

import argparse

from barmand.ctl import values
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

ALL = "all"


def nothing(_parser: argparse.ArgumentParser) -> None:
    pass


def no_params(_options: argparse.Namespace) -> Params:
    return {}


def add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", type=values.word)


def server_params(options: argparse.Namespace) -> Params:
    return {"server": options.server}


def add_backup(parser: argparse.ArgumentParser) -> None:
    add_server(parser)
    parser.add_argument(
        "backup",
        metavar="BACKUP",
        type=values.word,
        help="an id, a name, or first, oldest, last, latest, last-full, latest-full, last-failed",
    )


def add_servers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "servers", metavar="SERVER", nargs="+", type=values.word, help="`all` means every server"
    )


def add_perhaps_servers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "servers",
        metavar="SERVER",
        nargs="*",
        type=values.word,
        help="none, or `all`: every server",
    )


def servers_params(options: argparse.Namespace) -> Params:
    return {"servers": named(options.servers)}


def perhaps_servers_params(options: argparse.Namespace) -> Params:
    servers = named(options.servers)
    return {"servers": [] if servers == [ALL] else servers}


def named(words: list[str], what: str = "server") -> list[str]:
    """Each once, in the order given; `all` only by itself."""
    once = list(dict.fromkeys(words))
    if ALL in once and len(once) > 1:
        raise UsageError(f"`all` means every {what}: name {what}s, or say `all`, not both")
    return once
