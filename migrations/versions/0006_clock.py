"""What is thought of the machine's clock, so that nothing is deleted by one that went ahead."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("believed_at", sa.String(), nullable=False),
        sa.Column("believed_boot", sa.Text(), nullable=False),
        sa.Column("believed_seconds", sa.Float(), nullable=False),
        sa.Column("doubted_at", sa.String(), nullable=True),
        sa.Column("doubted_boot", sa.Text(), nullable=True),
        sa.Column("doubted_seconds", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock")),
    )
