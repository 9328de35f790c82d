"""What hooks were run and what came of it; which are still owed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "hook_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("backup_id", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook_runs")),
    )
    op.create_index(op.f("ix_hook_runs_server_hook"), "hook_runs", ["server", "hook"], unique=False)
    op.create_index(
        op.f("ix_hook_runs_server_backup_id"), "hook_runs", ["server", "backup_id"], unique=False
    )
    op.create_table(
        "hook_debts",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("backup_id", sa.Text(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server", "backup_id"],
            ["backups.server", "backups.id"],
            name=op.f("fk_hook_debts_backups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server", "backup_id", name=op.f("pk_hook_debts")),
    )
