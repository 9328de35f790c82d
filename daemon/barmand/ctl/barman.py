"""What Barman's users type and barmand has not, or not yet: each answered by name, with a way out.

Only read when a command line makes no sense otherwise, so what barmand has learnt goes before.
"""

from __future__ import annotations

from barmand.model.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_PASSIVE = (
    "Passive nodes are not carried. Let a second barmand stream from the same server by itself, or "
    "copy the server's folder: `rsync -aHX` keeps links and sums."
)
_SETTINGS = "Edit the server's section in the settings, then `barmanctl reload`."
_CLOUD = (
    "Cloud snapshots and object stores are not carried. The files of a backup, as `barmanctl "
    "list-files` names them, can be copied there by any tool."
)
COMMANDS = {
    "sync-info": _PASSIVE,
    "sync-backup": _PASSIVE,
    "sync-wals": _PASSIVE,
    "config-switch": f"Models are not carried. {_SETTINGS}",
    "config-update": _SETTINGS,
    "lock-directory-cleanup": "barmand leaves no lock files: its locks end with its process.",
    "export-backup": "`barmanctl restore` lays a backup out in any folder; `barmanctl list-files` "
    "names the files as they are kept.",
    "import-backup": "Put base/ID, meta/ID-backup.info and its WAL into the server's folder, then "
    "`barmanctl rebuild SERVER`.",
}
_CLOUD_PREFIX = "barman-cloud-"

_NO_TARGET = (
    "Recovery goes to the end of the archived WAL, or with --target-immediate to the end of the "
    "backup. To stop elsewhere, set recovery_target_… in the restored postgresql.auto.conf before "
    "you start PostgreSQL."
)
_REMOTE = (
    "barmand restores to its own machine. Restore there, into a folder that the other one mounts, "
    "or copy what was laid out with rsync."
)
_NO_GET_WAL = (
    "The WAL that recovery needs is laid out with the cluster. To fetch it instead, set "
    "restore_command = 'barmanctl get-wal SERVER %f %p' in the restored postgresql.auto.conf."
)
_ONE_COPY = "A restore copies within one machine, in the kernel: there is nothing to set."
_STAGING = "Archives are unpacked into their place: a restore needs no room in between."
_CLOUD_WORDS = "Cloud snapshots are not carried."
_STANDBY = (
    "Lay it out without it, then put standby.signal in the place of recovery.signal and set "
    "primary_conninfo."
)
_ACTION = "PostgreSQL is told to promote; `recovery_target_action` in the restored settings says so"
_PLAIN = "get-wal hands out what PostgreSQL wrote, unpacked; pipe it through a packer."

OPTIONS: dict[str, dict[str, str]] = {
    "restore": {
        **dict.fromkeys(
            (
                *("--target-time", "--target-xid", "--target-lsn", "--target-name"),
                *("--target-tli", "--exclusive"),
            ),
            _NO_TARGET,
        ),
        "--target-action": f"{_ACTION}.",
        "--standby-mode": _STANDBY,
        "--remote-ssh-command": _REMOTE,
        **dict.fromkeys(("--get-wal", "--no-get-wal"), _NO_GET_WAL),
        **dict.fromkeys(
            (
                *("-j", "--jobs", "--jobs-start-batch-size", "--jobs-start-batch-period"),
                *("--bwlimit", "--network-compression", "--no-network-compression"),
                *("--retry-times", "--no-retry", "--retry-sleep", "--delta-restore"),
            ),
            _ONE_COPY,
        ),
        **dict.fromkeys(
            (
                *("--recovery-staging-path", "--local-staging-path", "--staging-path"),
                *("--staging-location", "--staging-wal-directory"),
            ),
            _STAGING,
        ),
        "--recovery-conf-filename": "The settings of recovery go to postgresql.auto.conf.",
        "--combine-mode": "Incremental backups are not carried.",
        **dict.fromkeys(
            (
                *("--snapshot-recovery-instance", "--snapshot-recovery-zone", "--gcp-zone"),
                *("--azure-resource-group", "--aws-region"),
            ),
            _CLOUD_WORDS,
        ),
    },
    "get-wal": {
        **dict.fromkeys(("-z", "--gzip", "-j", "--bzip2", "-x", "--keep-compression"), _PLAIN),
        "-t": "`barmanctl ping` tells whether barmand answers.",
        "--test": "`barmanctl ping` tells whether barmand answers.",
    },
    "diagnose": {"--show-config-source": "The settings in force are in it, by server."},
}
_OF_PROGRAM = {
    **dict.fromkeys(
        ("-c", "--config"), "The daemon reads the settings; `--socket` says which daemon to ask."
    ),
    **dict.fromkeys(
        ("-d", "--debug", "--log-level"), "`log_level` in the settings is the daemon's."
    ),
    **dict.fromkeys(
        ("--color", "--no-color"), "Colours are for terminals only; NO_COLOR=1 turns them off."
    ),
}


def about_command(typed: str) -> UsageError | None:
    """What to say to a command of Barman's that barmand does not have."""
    hint = _CLOUD if typed.startswith(_CLOUD_PREFIX) else COMMANDS.get(typed)
    if hint is None:
        return None
    return UsageError(f"{typed} is a command of Barman's that barmand does not have", hint=hint)


def about_options(
    command: str | None, words: Sequence[str], ours: Collection[str]
) -> UsageError | None:
    """What to say to the first word that is an option of Barman's and none of `ours`."""
    known = {**_OF_PROGRAM, **OPTIONS.get(command or "", {})}
    for word in words:
        if word == "--":
            break
        option = word.partition("=")[0]
        if option in known and option not in ours:
            where = f"{command} {option}" if command else option
            return UsageError(
                f"{where} is an option of Barman's that barmand does not have", hint=known[option]
            )
    return None
