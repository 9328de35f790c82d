"""The tables of an earlier version become this one's: Alembic's door.

A module of its own, because Alembic takes longer to load than all the rest of the catalogue.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import alembic.command
import alembic.config
import alembic.util
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from barmand.catalog.revisions import REPAIR_HINT, migrations_folder
from barmand.model.errors import StorageFailed


def demand_ours(path: Path, revision: str) -> None:
    """Raises StorageFailed for a revision that this version does not know."""
    try:
        ScriptDirectory.from_config(_config()).get_revision(revision)
    except alembic.util.CommandError as error:
        raise StorageFailed(
            f"state database {path} is of a version this barmand does not know: {error}",
            hint="It was written by a later barmand: run that one, or " + REPAIR_HINT.lower(),
        ) from error


def keep_copy(path: Path, engine: Engine, revision: str) -> None:
    """Beside it, as it was."""
    copy = path.with_name(f"{path.name}.before-{revision}")
    with engine.connect() as connection, closing(sqlite3.connect(copy)) as target:
        source = connection.connection.driver_connection
        if not isinstance(source, sqlite3.Connection):
            raise TypeError(f"not an SQLite connection: {source!r}")
        source.backup(target)


def migrate(connection: Connection) -> None:
    """Up to the newest revision, within the transaction of `connection`."""
    config = _config()
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def _config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config
