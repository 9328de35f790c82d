"""Where the migrations lie, and the way out when a state file is not one of ours."""

from pathlib import Path

import barmand

REPAIR_HINT = (
    "Stop barmand, move the file (with its -wal and -shm) aside and start again: the catalogue is "
    "then rebuilt from the backups' own files."
)


def migrations_folder() -> Path:
    """Inside the wheel beside the package; in a checkout two floors above it."""
    package = Path(barmand.__file__).parent
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parents[1] / "migrations"


def newest_revision() -> str:
    """Of the migrations, whose files begin with their numbers."""
    return max(path.name.partition("_")[0] for path in migrations_folder().glob("versions/0*.py"))
