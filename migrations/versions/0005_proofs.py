"""What the last verification of each backup came to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "proofs",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("backup_id", sa.Text(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("flaw_count", sa.Integer(), nullable=False),
        sa.Column("flaws", sa.JSON(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("bytes_read", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server", "backup_id"],
            ["backups.server", "backups.id"],
            name=op.f("fk_proofs_backups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server", "backup_id", name=op.f("pk_proofs")),
    )
