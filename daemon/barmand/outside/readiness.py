"""What one question tells of a server that is to be backed up, and of the role that asks.

Whatever a role may not see is NULL, not an error: a right that is missing must be one finding, and
hide no other. Sources: PostgreSQL documentation, "System Administration Functions", "Replication".
"""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

READINESS: LiteralString = """
WITH setting AS MATERIALIZED (
       SELECT name, setting, enumvals FROM pg_settings
        WHERE name IN ('archive_command', 'archive_library', 'data_checksums', 'data_directory',
                       'wal_compression')),
     wanted AS (
       SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND (proname IN ('pg_switch_wal', 'pg_ls_waldir', 'pg_backup_start', 'pg_backup_stop')
               OR (proname IN ('pg_start_backup', 'pg_stop_backup') AND pronargs > 0)))
SELECT current_setting('server_version_num')::int AS version,
       (SELECT system_identifier FROM pg_control_system())::text AS system_id,
       pg_is_in_recovery() AS is_standby,
       clock_timestamp() AS clock,
       quote_ident(current_user) AS role,
       quote_ident(current_database()) AS database,
       (SELECT setting FROM setting WHERE name = 'data_directory') AS pgdata,
       (SELECT setting FROM setting WHERE name = 'data_checksums') AS data_checksums,
       (SELECT enumvals FROM setting WHERE name = 'wal_compression') AS compressions,
       current_setting('wal_level') AS wal_level,
       current_setting('archive_mode') AS archive_mode,
       (SELECT setting FROM setting WHERE name = 'archive_command') AS archive_command,
       coalesce((SELECT setting FROM setting WHERE name = 'archive_library'), '')
         AS archive_library,
       (last_failed_time > coalesce(last_archived_time, '-infinity')) IS TRUE AS archiving_fails,
       last_failed_wal,
       pg_has_role('pg_read_all_settings', 'USAGE') AS reads_settings,
       pg_has_role('pg_read_all_stats', 'USAGE') AS reads_stats,
       (SELECT pg_has_role(oid, 'USAGE') FROM pg_roles WHERE rolname = 'pg_checkpoint')
         AS checkpoints,
       ARRAY(SELECT oid::regprocedure::text FROM wanted
              WHERE NOT has_function_privilege(oid, 'EXECUTE') ORDER BY 1) AS forbidden,
       current_setting('max_wal_senders')::int AS most_senders,
       (SELECT count(*) FROM pg_stat_replication
         WHERE application_name IS DISTINCT FROM %s)::int AS senders,
       current_setting('max_replication_slots')::int AS most_slots,
       (SELECT count(*) FROM pg_replication_slots)::int AS slots
  FROM pg_stat_archiver
"""
"""Its parameter is the application name of our own question for the system's identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """`role` and `database` are quoted, as a GRANT needs them."""

    version: int
    system_id: str
    is_standby: bool = False
    clock: datetime
    role: str
    database: str = "postgres"
    pgdata: str | None = None
    data_checksums: str | None = None
    compressions: list[str] | None = None
    """What the server was built to compress with; None before PostgreSQL 15."""
    wal_level: str = "replica"
    archive_mode: str = "off"
    archive_command: str | None = None
    archive_library: str = ""
    archiving_fails: bool = False
    last_failed_wal: str | None = None
    reads_settings: bool = True
    reads_stats: bool = True
    checkpoints: bool | None = True
    """None before PostgreSQL 15, where it is not to be had."""
    forbidden: list[str]
    """Functions that the role may not call, of those that a backup daemon calls."""
    most_senders: int = 10
    senders: int = 0
    most_slots: int = 10
    slots: int = 0

    @property
    def switches_wal(self) -> bool:
        return not any(function.startswith("pg_switch_wal(") for function in self.forbidden)

    @property
    def starts_backups(self) -> bool:
        """Those functions have `backup` in their names in every version."""
        return not any("backup" in function for function in self.forbidden)
