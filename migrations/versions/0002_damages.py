"""Bad pages that a copy found in the cluster."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("backups", sa.Column("damages", sa.JSON(), nullable=True))
