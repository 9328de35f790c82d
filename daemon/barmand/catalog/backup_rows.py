"""A backup as a row, and a row as a backup."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from barmand.catalog import rows
from barmand.model.backup import Backup, Cluster, Copied, Damage, Reason, Status, Tablespace

_CLUSTER = (
    "system_id",
    "version",
    "segment_size",
    "pgdata",
    "config_file",
    "hba_file",
    "ident_file",
    "data_checksums",
    "summarize_wal",
    "is_standby",
)
_COPIED = (
    "timeline",
    "begin_lsn",
    "begin_time",
    "end_lsn",
    "end_time",
    "backup_label",
    "size",
    "deduplicated_size",
    "copy_seconds",
    "workers",
)
_OWN = (
    "server",
    "id",
    "method",
    "name",
    "requester",
    "queued_at",
    "started_at",
    "copied_at",
    "ended_at",
    "compression",
    "encryption",
    "parent_id",
    "snapshots",
)


def values_of(backup: Backup) -> dict[str, object]:
    """Column values; tablespaces have a table of their own."""
    values: dict[str, object] = {name: getattr(backup, name) for name in _OWN}
    values["status"] = backup.status.value
    values["children_ids"] = list(backup.children_ids)
    if backup.reason is not None:
        values |= {
            "error_code": backup.reason.code,
            "error_message": backup.reason.message,
            "error_hint": backup.reason.hint,
        }
    if backup.cluster is not None:
        values |= {name: getattr(backup.cluster, name) for name in _CLUSTER}
        values["cluster_size"] = backup.cluster.size
        values["included_files"] = list(backup.cluster.included_files)
    if backup.copied is not None:
        values |= {name: getattr(backup.copied, name) for name in _COPIED}
        values["damages"] = [[each.path, list(each.blocks)] for each in backup.copied.damages]
    return values


def write_tablespaces(connection: Connection, backup: Backup) -> None:
    if backup.cluster is not None and backup.cluster.tablespaces:
        connection.execute(
            insert(rows.tablespaces),
            [
                {
                    "server": backup.server,
                    "backup_id": backup.id,
                    "oid": tablespace.oid,
                    "name": tablespace.name,
                    "location": tablespace.location,
                }
                for tablespace in backup.cluster.tablespaces
            ],
        )


def select_backups(connection: Connection, *conditions: Any) -> Sequence[Backup]:
    """The backups that fulfil all conditions on `rows.backups`, oldest first."""
    table = rows.backups
    found = connection.execute(
        select(table).where(*conditions).order_by(table.c.id, table.c.server)
    ).all()
    if not found:
        return []
    spaces: defaultdict[tuple[str, str], list[Tablespace]] = defaultdict(list)
    keys = select(table.c.server, table.c.id).where(*conditions).subquery()
    for row in connection.execute(
        select(rows.tablespaces)
        .join(
            keys,
            (rows.tablespaces.c.server == keys.c.server)
            & (rows.tablespaces.c.backup_id == keys.c.id),
        )
        .order_by(rows.tablespaces.c.oid)
    ):
        spaces[row.server, row.backup_id].append(Tablespace(row.name, row.oid, row.location))
    return [_backup(dict(zip(_NAMES, row, strict=True)), spaces) for row in found]


_NAMES = tuple(rows.backups.c.keys())


def _backup(
    facts: Mapping[str, Any], spaces: Mapping[tuple[str, str], Sequence[Tablespace]]
) -> Backup:
    """`facts` by column, `spaces` by server and id."""
    cluster = copied = reason = None
    if facts["system_id"] is not None:
        cluster = Cluster(
            **{name: facts[name] for name in _CLUSTER},
            size=facts["cluster_size"],
            included_files=tuple(facts["included_files"]),
            tablespaces=tuple(spaces.get((facts["server"], facts["id"]), ())),
        )
    if facts["begin_lsn"] is not None:
        damages = tuple(Damage(path, tuple(blocks)) for path, blocks in facts["damages"] or ())
        copied = Copied(**{name: facts[name] for name in _COPIED}, damages=damages)
    if facts["error_code"] is not None:
        reason = Reason(facts["error_code"], facts["error_message"], facts["error_hint"])
    return Backup(
        **{name: facts[name] for name in _OWN},
        status=Status(facts["status"]),
        children_ids=tuple(facts["children_ids"]),
        cluster=cluster,
        copied=copied,
        reason=reason,
    )
