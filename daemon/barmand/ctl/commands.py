"""Every command: its name, its meaning, its own words, and the params that they become."""

from __future__ import annotations

import argparse

from barmand.ctl import backup_command, completion, subjects, values
from barmand.ctl.command import Command
from barmand.ctl.door_commands import DOOR_COMMANDS
from barmand.ctl.hook_commands import HOOK_COMMANDS
from barmand.ctl.keep_commands import KEEP_COMMANDS
from barmand.ctl.process_commands import PROCESS_COMMANDS
from barmand.ctl.proof_commands import PROOF_COMMANDS
from barmand.ctl.schedule_commands import SCHEDULE_COMMANDS
from barmand.ctl.stream_commands import STREAM_COMMANDS
from barmand.ctl.wal_commands import WAL_COMMANDS
from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from barmand.ctl.command import Params

NAGIOS = "nagios"
"""A format that only `check` has."""


def _add_perhaps_backup(parser: argparse.ArgumentParser) -> None:
    subjects.add_server(parser)
    parser.add_argument(
        "backup", metavar="BACKUP", nargs="?", type=values.word, help="else the active one"
    )


def _add_minimal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minimal", action="store_true", help="only the names, one a line")


def _add_list_backups(parser: argparse.ArgumentParser) -> None:
    subjects.add_perhaps_servers(parser)
    _add_minimal(parser)


def _add_show_servers(parser: argparse.ArgumentParser) -> None:
    subjects.add_servers(parser)
    parser.add_argument(
        "--no-live", dest="live", action="store_false", help="do not ask PostgreSQL"
    )


def _add_restore(parser: argparse.ArgumentParser) -> None:
    subjects.add_backup(parser)
    parser.add_argument(
        "destination", metavar="DESTINATION", type=values.folder, help="an empty or new folder"
    )
    parser.add_argument(
        "--target-immediate",
        action="store_true",
        help="stop recovery as soon as the cluster is consistent, not at the last WAL",
    )
    parser.add_argument(
        "--accept-damage",
        action="store_true",
        help="restore also what a verification found damaged",
    )
    parser.add_argument(
        "--tablespace",
        metavar="NAME:LOCATION",
        action="append",
        type=values.tablespace,
        help="put the tablespace of this name or OID there; may come several times",
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    subjects.add_servers(parser)
    parser.add_argument(
        "--nagios",
        dest="format",
        action="store_const",
        const=NAGIOS,
        default=argparse.SUPPRESS,
        help="one line with performance data, and the exit codes of a monitoring plugin",
    )
    parser.add_argument(
        "--check-timeout",
        metavar="S",
        type=values.seconds,
        help="how long one thing is waited for, instead of the setting; 0: without end",
    )


def _check_params(options: argparse.Namespace) -> Params:
    return {**subjects.servers_params(options), "check_timeout": options.check_timeout}


def _show_params(options: argparse.Namespace) -> Params:
    return {"servers": subjects.named(options.servers), "live": options.live}


def _backup_params(options: argparse.Namespace) -> Params:
    return {**backup_command.params(options), "servers": subjects.named(options.servers)}


def _one_backup_params(options: argparse.Namespace) -> Params:
    return {"server": options.server, "backup": options.backup}


def _restore_params(options: argparse.Namespace) -> Params:
    tablespaces = options.tablespace or []
    if len(dict(tablespaces)) < len(tablespaces):
        raise UsageError("--tablespace: one tablespace has two locations")
    return {
        "server": options.server,
        "backup": options.backup,
        "destination": options.destination,
        "target_immediate": options.target_immediate,
        "accept_damage": options.accept_damage,
        "tablespaces": dict(tablespaces),
    }


COMMANDS: dict[str, Command] = {
    "backup": Command("take base backups", backup_command.add_options, _backup_params),
    "cancel": Command("stop a running backup", _add_perhaps_backup, _one_backup_params),
    "list-backups": Command("the backups", _add_list_backups, subjects.perhaps_servers_params),
    "show-backup": Command("all about one backup", subjects.add_backup, _one_backup_params),
    "check-backup": Command("look for its WAL now", subjects.add_backup, _one_backup_params),
    "delete": Command("delete one backup", subjects.add_backup, _one_backup_params),
    "restore": Command("lay a cluster out from a backup", _add_restore, _restore_params),
    **KEEP_COMMANDS,
    **PROOF_COMMANDS,
    **WAL_COMMANDS,
    **DOOR_COMMANDS,
    **STREAM_COMMANDS,
    **PROCESS_COMMANDS,
    **HOOK_COMMANDS,
    **SCHEDULE_COMMANDS,
    "check": Command("is all well with servers?", _add_check, _check_params),
    "list-servers": Command("the servers", _add_minimal, subjects.no_params),
    "show-servers": Command("what is known of servers", _add_show_servers, _show_params),
    "status": Command(
        "what goes on", subjects.add_perhaps_servers, subjects.perhaps_servers_params
    ),
    "ping": Command("does the daemon answer?", subjects.nothing, subjects.no_params),
    "reload": Command("read the settings again", subjects.nothing, subjects.no_params),
    "completion": completion.command(lambda: COMMANDS),
}

HELP = Command("this page, or the words of one COMMAND", subjects.nothing, subjects.no_params)

ALIASES = {
    "list-backup": "list-backups",
    "list-server": "list-servers",
    "show-server": "show-servers",
    "recover": "restore",
    "show-backups": "show-backup",
    "switch-xlog": "switch-wal",
    "verify": "verify-backup",
    "rebuild-xlogdb": "rebuild",
}
"""Barman's own spellings: understood, not shown."""
