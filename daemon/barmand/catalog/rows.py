"""The tables. Rows never leave this room.

Times are stored as ISO 8601 text in UTC, so that they read well and sort right; LSN and segment
numbers as integers.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)


class Instant(TypeDecorator[datetime]):
    """A moment: an aware datetime outside, UTC text inside."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else datetime.fromisoformat(value)


VERSION_TABLE = "alembic_version"
"""Alembic's own: which migration the tables are at."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

servers = Table(
    "servers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("system_id", Text),
    Column("version", Integer),
    Column("last_backup_id", Text),
    Column("known_since", Instant, nullable=False),
)

backups = Table(
    "backups",
    metadata,
    Column("server", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("name", Text),
    Column("requester", Text, nullable=False),
    Column("queued_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("copied_at", Instant),
    Column("ended_at", Instant),
    # the failure, whole
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_hint", Text),
    # the cluster, from STARTED on
    Column("system_id", Text),
    Column("version", Integer),
    Column("segment_size", Integer),
    Column("pgdata", Text),
    Column("config_file", Text),
    Column("hba_file", Text),
    Column("ident_file", Text),
    Column("included_files", JSON),
    Column("cluster_size", Integer),
    Column("data_checksums", Text),
    Column("summarize_wal", Text),
    Column("is_standby", Boolean),
    # the copy, from WAITING_FOR_WALS on
    Column("timeline", Integer),
    Column("begin_lsn", Integer),
    Column("begin_time", Instant),
    Column("end_lsn", Integer),
    Column("end_time", Instant),
    Column("backup_label", Text),
    Column("size", Integer),
    Column("deduplicated_size", Integer),
    Column("copy_seconds", Float),
    Column("workers", Integer),
    Column("damages", JSON),
    # what only an adopted catalogue of Barman has
    Column("compression", Text),
    Column("encryption", Text),
    Column("parent_id", Text),
    Column("children_ids", JSON),
    Column("snapshots", Text),
)
Index(
    "ux_backups_one_active",
    backups.c.server,
    unique=True,
    sqlite_where=text("status IN ('QUEUED', 'STARTED')"),
)

tablespaces = Table(
    "tablespaces",
    metadata,
    Column("server", Text, primary_key=True),
    Column("backup_id", Text, primary_key=True),
    Column("oid", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("location", Text, nullable=False),
    ForeignKeyConstraint(
        ["server", "backup_id"], ["backups.server", "backups.id"], ondelete="CASCADE"
    ),
)

wal_runs = Table(
    "wal_runs",
    metadata,
    Column("server", Text, primary_key=True),
    Column("timeline", Integer, primary_key=True),
    Column("first", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("segment_size", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

wal_gaps = Table(
    "wal_gaps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server", Text, nullable=False),
    Column("timeline", Integer, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("segment_size", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("found_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("actor", Text),
    Column("reason", Text),
)
Index(None, wal_gaps.c.server, wal_gaps.c.state)

wal_branches = Table(
    "wal_branches",
    metadata,
    Column("server", Text, primary_key=True),
    Column("timeline", Integer, primary_key=True),
    Column("parent", Integer, nullable=False),
    Column("first", Integer, nullable=False),
)

wal_hours = Table(
    "wal_hours",
    metadata,
    Column("server", Text, primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("segments", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("kind", Text, nullable=False),
    Column("server", Text),
    Column("backup_id", Text),
    Column("actor", Text, nullable=False),
    Column("facts", JSON, nullable=False),
)
Index(None, events.c.server, events.c.backup_id, events.c.kind)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("due", Instant, nullable=False),
    Column("at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("backup_id", Text),
    Column("why", Text),
)
Index(None, schedule_runs.c.server, schedule_runs.c.due)

hook_runs = Table(
    "hook_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server", Text, nullable=False),
    Column("hook", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("backup_id", Text),
    Column("attempt", Integer, nullable=False),
    Column("is_test", Boolean, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seconds", Float),
    Column("exit_code", Integer),
    Column("outcome", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("output", Text, nullable=False),
)
Index(None, hook_runs.c.server, hook_runs.c.hook)
Index(None, hook_runs.c.server, hook_runs.c.backup_id)

hook_debts = Table(
    "hook_debts",
    metadata,
    Column("server", Text, primary_key=True),
    Column("backup_id", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    ForeignKeyConstraint(
        ["server", "backup_id"], ["backups.server", "backups.id"], ondelete="CASCADE"
    ),
)

chore_runs = Table(
    "chore_runs",
    metadata,
    Column("server", Text, primary_key=True),
    Column("chore", Text, primary_key=True),
    Column("began", Instant, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("result", Text, nullable=False),
    Column("why", Text),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server", Text, nullable=False),
    Column("backup_id", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("since", Instant, nullable=False),
)
Index(None, holds.c.server, holds.c.backup_id)

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("believed_at", Instant, nullable=False),
    Column("believed_boot", Text, nullable=False),
    Column("believed_seconds", Float, nullable=False),
    Column("doubted_at", Instant),
    Column("doubted_boot", Text),
    Column("doubted_seconds", Float),
)

proofs = Table(
    "proofs",
    metadata,
    Column("server", Text, primary_key=True),
    Column("backup_id", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("flaw_count", Integer, nullable=False),
    Column("flaws", JSON, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("bytes_read", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("actor", Text, nullable=False),
    ForeignKeyConstraint(
        ["server", "backup_id"], ["backups.server", "backups.id"], ondelete="CASCADE"
    ),
)
