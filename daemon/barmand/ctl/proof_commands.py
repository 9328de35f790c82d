"""Commands that prove what is kept, and the one for those who help."""

from __future__ import annotations

import argparse

from barmand.ctl import values
from barmand.ctl.command import Command
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

ALL = "all"


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "server", metavar="SERVER", type=values.word, help="`all` means every server"
    )
    parser.add_argument(
        "backups",
        metavar="BACKUP",
        nargs="+",
        type=values.word,
        help="as for show-backup; `all` means every backup that can be restored",
    )


def _verify_params(options: argparse.Namespace) -> Params:
    backups = list(dict.fromkeys(options.backups))
    if ALL in backups and len(backups) > 1:
        raise UsageError("`all` means every backup: name backups, or say `all`, not both")
    return {"servers": [options.server], "backups": backups}


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", type=values.word)
    parser.add_argument("backup", metavar="BACKUP", type=values.word, help="as for show-backup")
    parser.add_argument(
        "--manifest-checksums",
        metavar="ALGORITHM",
        choices=("crc32c", "sha256"),
        help="crc32c or sha256; else what the server's settings say",
    )


def _manifest_params(options: argparse.Namespace) -> Params:
    return {
        "server": options.server,
        "backup": options.backup,
        "manifest_checksums": options.manifest_checksums,
    }


def _add_diagnose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "servers",
        metavar="SERVER",
        nargs="*",
        type=values.word,
        help="none, or `all`: every server",
    )
    parser.add_argument(
        "--no-check",
        dest="check",
        action="store_false",
        help="ask no PostgreSQL: only what barmand knows by itself",
    )


def _diagnose_params(options: argparse.Namespace) -> Params:
    servers = list(dict.fromkeys(options.servers))
    if ALL in servers and len(servers) > 1:
        raise UsageError("`all` means every server: name servers, or say `all`, not both")
    return {"servers": [] if servers == [ALL] else servers, "check": options.check}


PROOF_COMMANDS = {
    "verify-backup": Command("prove that backups can be restored", _add_verify, _verify_params),
    "generate-manifest": Command(
        "sum the files of a backup without manifest", _add_manifest, _manifest_params
    ),
    "diagnose": Command("all about barmand, as JSON", _add_diagnose, _diagnose_params),
}
