"""Commands that prove what is kept, and the one for those who help."""

from __future__ import annotations

import argparse

from barmand.ctl import subjects, values
from barmand.ctl.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params


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
    backups = subjects.named(options.backups, "backup")
    return {"servers": [options.server], "backups": backups}


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    subjects.add_backup(parser)
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
    subjects.add_perhaps_servers(parser)
    parser.add_argument(
        "--no-check",
        dest="check",
        action="store_false",
        help="ask no PostgreSQL: only what barmand knows by itself",
    )


def _diagnose_params(options: argparse.Namespace) -> Params:
    return {**subjects.perhaps_servers_params(options), "check": options.check}


PROOF_COMMANDS = {
    "verify-backup": Command("prove that backups can be restored", _add_verify, _verify_params),
    "generate-manifest": Command(
        "sum the files of a backup without manifest", _add_manifest, _manifest_params
    ),
    "diagnose": Command("all about barmand, as JSON", _add_diagnose, _diagnose_params),
}
