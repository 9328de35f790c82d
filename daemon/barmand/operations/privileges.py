"""What the role may not do that barmand does: each right, with the statement that gives it."""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.model.finding import Finding, failed, passed, warned
from barmand.operations.ports import Readiness

ALL_THERE = "superuser or standard user with backup privileges"
"""Barman's one word for them; ours where nothing is missing."""

_BACKUP = ("pg_backup_start", "pg_backup_stop", "pg_start_backup", "pg_stop_backup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What is asked of this server: not every one has to do all."""

    backs_up: bool = False
    """It is backed up by us."""
    by_files: bool = False
    """PostgreSQL's backup mode is begun there by SQL."""
    switches: bool = False
    streams: bool = False


def privileges(readiness: Readiness, wants: Wants, *, where: str = "") -> Iterator[Finding]:
    """`where` is the option that leads to the server, if that is not conninfo: no copy depends on
    it, though its WAL may.
    """
    lacks = list(_lacks(readiness, wants))
    at = f"{where}: " if where else ""
    for name, grant, why, is_vital in lacks:
        words = f"{at}{readiness.role} may not {why}; {grant}"
        title = f"privilege {name}"
        if is_vital:
            yield failed(title, words, keeps_from_backup=not where)
        else:
            yield warned(title, words)
    if not lacks:
        title = f"{where} privileges" if where else ALL_THERE
        yield passed(title, f"{at}role {readiness.role}")


def _lacks(readiness: Readiness, wants: Wants) -> Iterator[tuple[str, str, str, bool]]:
    """Name, statement, what for, and is it vital?"""
    role = readiness.role
    if wants.backs_up and not readiness.reads_settings:
        grant = f"run: GRANT pg_read_all_settings TO {role}"
        yield "pg_read_all_settings", grant, "read where the data directory is", True
    if wants.backs_up and not readiness.reads_stats:
        grant = f"run: GRANT pg_read_all_stats TO {role}"
        yield "pg_read_all_stats", grant, "learn the cluster's size", False
    for function in readiness.forbidden:
        name = function.partition("(")[0]
        grant = (
            f"in database {readiness.database} run: GRANT EXECUTE ON FUNCTION {function} TO {role}"
        )
        if name in _BACKUP and wants.by_files:
            yield name, grant, "begin and end a backup by itself", True
        if name == "pg_switch_wal" and wants.switches and not readiness.is_standby:
            yield name, grant, "close a backup's last WAL segment", True
        if name == "pg_ls_waldir" and wants.streams:
            yield name, grant, "see which WAL the server still has when some was missed", False
    if wants.switches and not readiness.is_standby and readiness.checkpoints is False:
        grant = f"run: GRANT pg_checkpoint TO {role}"
        yield "pg_checkpoint", grant, "ask for a checkpoint (`switch-wal --force`)", False
