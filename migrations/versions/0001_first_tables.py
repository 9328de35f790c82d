"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "backups",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=True),
        sa.Column("copied_at", sa.String(), nullable=True),
        sa.Column("ended_at", sa.String(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_hint", sa.Text(), nullable=True),
        sa.Column("system_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("segment_size", sa.Integer(), nullable=True),
        sa.Column("pgdata", sa.Text(), nullable=True),
        sa.Column("config_file", sa.Text(), nullable=True),
        sa.Column("hba_file", sa.Text(), nullable=True),
        sa.Column("ident_file", sa.Text(), nullable=True),
        sa.Column("included_files", sa.JSON(), nullable=True),
        sa.Column("cluster_size", sa.Integer(), nullable=True),
        sa.Column("data_checksums", sa.Text(), nullable=True),
        sa.Column("summarize_wal", sa.Text(), nullable=True),
        sa.Column("is_standby", sa.Boolean(), nullable=True),
        sa.Column("timeline", sa.Integer(), nullable=True),
        sa.Column("begin_lsn", sa.Integer(), nullable=True),
        sa.Column("begin_time", sa.String(), nullable=True),
        sa.Column("end_lsn", sa.Integer(), nullable=True),
        sa.Column("end_time", sa.String(), nullable=True),
        sa.Column("backup_label", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("deduplicated_size", sa.Integer(), nullable=True),
        sa.Column("copy_seconds", sa.Float(), nullable=True),
        sa.Column("workers", sa.Integer(), nullable=True),
        sa.Column("compression", sa.Text(), nullable=True),
        sa.Column("encryption", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("children_ids", sa.JSON(), nullable=True),
        sa.Column("snapshots", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("server", "id", name=op.f("pk_backups")),
    )
    op.create_index(
        "ux_backups_one_active",
        "backups",
        ["server"],
        unique=True,
        sqlite_where=sa.text("status IN ('QUEUED', 'STARTED')"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("backup_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(
        op.f("ix_events_server_backup_id_kind"),
        "events",
        ["server", "backup_id", "kind"],
        unique=False,
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("backup_id", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(
        op.f("ix_holds_server_backup_id"), "holds", ["server", "backup_id"], unique=False
    )
    op.create_table(
        "schedule_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("due", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("backup_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_runs")),
    )
    op.create_index(
        op.f("ix_schedule_runs_server_due"), "schedule_runs", ["server", "due"], unique=False
    )
    op.create_table(
        "servers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("system_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("last_backup_id", sa.Text(), nullable=True),
        sa.Column("known_since", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_servers")),
    )
    op.create_table(
        "wal_runs",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("timeline", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("segment_size", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("server", "timeline", "first", name=op.f("pk_wal_runs")),
    )
    op.create_table(
        "tablespaces",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("backup_id", sa.Text(), nullable=False),
        sa.Column("oid", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server", "backup_id"],
            ["backups.server", "backups.id"],
            name=op.f("fk_tablespaces_backups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server", "backup_id", "oid", name=op.f("pk_tablespaces")),
    )
