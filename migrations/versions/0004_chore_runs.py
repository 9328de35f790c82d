"""When seldom chores ran last, and why a scheduled run came to nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "chore_runs",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("chore", sa.Text(), nullable=False),
        sa.Column("began", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("server", "chore", name=op.f("pk_chore_runs")),
    )
    op.add_column("schedule_runs", sa.Column("why", sa.Text(), nullable=True))
