"""How Alembic runs: on the connection the daemon gives, or on a fresh file for a new revision."""

from alembic import context
from sqlalchemy import create_engine

from barmand.catalog.rows import metadata

given = context.config.attributes.get("connection")
if given is not None:
    context.configure(connection=given, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
else:
    with create_engine("sqlite://").connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        context.run_migrations()
