"""What PostgreSQL must be told to recover from a backup, and what a restore needs for it."""

from collections.abc import Sequence
from enum import StrEnum

from barmand.model.wal import Run

ARCHIVE_LIBRARY_SINCE = 150_000


class Target(StrEnum):
    END_OF_WAL = "end of the archived WAL"
    IMMEDIATE = "immediate"


def wal_for(target: Target, needed: Run, held: Sequence[Run]) -> list[Run]:
    """The segments that a recovery may read, of those that are held.

    For the end of the WAL: all behind the backup's beginning, on its timeline and on later ones.
    """
    if target is Target.IMMEDIATE:
        return [needed]
    return [
        Run(run.timeline, max(run.first, needed.first), run.last)
        for run in held
        if run.timeline >= needed.timeline and run.last >= needed.first
    ]


def settings_for(target: Target, wal_folder: str, timeline: int) -> list[str]:
    """Lines for postgresql.auto.conf.

    `wal_folder` holds the segments, `timeline` is where recovery goes: PostgreSQL's `latest` may be
    one that never was this backup's. Source: PostgreSQL documentation, "Archive Recovery" and
    "Recovery Target".
    """
    command = f'cp "{_in_shell(wal_folder)}/%f" "%p"'
    immediate = "immediate" if target is Target.IMMEDIATE else ""
    return [
        f"restore_command = {quoted(command)}",
        f"recovery_target_timeline = '{timeline}'",
        "recovery_target_action = 'promote'",
        # What an earlier restore left in the source's own settings must not end this one early,
        # nor clean up what is not its to clean. The one target that counts comes last: an empty
        # one behind it would count as a second.
        *(f"recovery_target_{kind} = ''" for kind in ("lsn", "name", "time", "xid")),
        f"recovery_target = '{immediate}'",
        "archive_cleanup_command = ''",
        "recovery_end_command = ''",
    ]


def archiving_off(version: int) -> list[str]:
    """So that the restored cluster never writes into the archive that it came from."""
    lines = ["archive_mode = 'off'", "archive_command = ''"]
    if version >= ARCHIVE_LIBRARY_SINCE:
        lines.append("archive_library = ''")
    return lines


def quoted(value: str) -> str:
    """A string in postgresql.conf. Raises ValueError for what cannot stand there."""
    if "\n" in value or "\0" in value:
        raise ValueError(f"cannot stand in postgresql.conf: {value!r}")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _in_shell(path: str) -> str:
    """`path` between double quotes of /bin/sh, with the % of restore_command doubled."""
    for character in '\\"$`':
        path = path.replace(character, "\\" + character)
    return path.replace("%", "%%")
