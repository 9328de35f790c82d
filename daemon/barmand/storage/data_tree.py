"""The directories that a cluster consists of, and what in them belongs in a backup."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from barmand.model.backup import Cluster
from barmand.model.pgdata import (
    CONTROL_FILE,
    TABLESPACE_LINKS,
    Part,
    is_temporary,
    part_of,
    tablespace_version_folder,
)
from barmand.storage.disk import at_the_disk


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory and where its copy goes. `prefix` leads to it from the data directory."""

    source: Path
    target: Path
    prefix: str = ""
    version_folder: re.Pattern[str] | None = None
    """Of a tablespace, the one folder that is the server's."""
    left_out: frozenset[str] = frozenset()
    """Paths below the source that come otherwise: a tablespace inside the data directory, say."""


def _as_named(path: Path) -> Path:
    return path


def trees_of(cluster: Cluster, home: Path, real: Callable[[Path], Path] = _as_named) -> list[Tree]:
    """Each tablespace, then the data directory without those that lie inside it.

    `real` follows links, where the cluster is within reach.
    """
    pgdata = Path(cluster.pgdata)
    spaces = [
        Tree(
            source=Path(space.location),
            target=home / str(space.oid),
            prefix=f"{TABLESPACE_LINKS}/{space.oid}/",
            version_folder=tablespace_version_folder(cluster.version),
        )
        for space in cluster.tablespaces
    ]
    root = real(pgdata)
    places = (real(tree.source) for tree in spaces)
    left_out = {str(place.relative_to(root)) for place in places if place.is_relative_to(root)}
    # What comes from outside takes the name of what lies here unused.
    left_out |= {file.name for file in outside_of(cluster)}
    return [*spaces, Tree(source=pgdata, target=home / "data", left_out=frozenset(left_out))]


def outside_of(cluster: Cluster) -> list[Path]:
    """Configuration files that do not lie in the data directory."""
    files = (cluster.config_file, cluster.hba_file, cluster.ident_file)
    return [Path(file) for file in files if file and not Path(file).is_relative_to(cluster.pgdata)]


def is_taken(tree: Tree, path: str) -> bool:
    """Does this path belong in the backup, with all the folders that lead to it?"""
    return all(belongs(tree, each) for each in accumulate(path.split("/"), "{}/{}".format))


def belongs(tree: Tree, path: str) -> bool:
    """Does this path belong in the backup, if its folder does?"""
    if path in tree.left_out:
        return False
    folder, _, name = path.rpartition("/")
    if tree.version_folder is not None:
        is_of_server = bool(folder) or tree.version_folder.fullmatch(name) is not None
        return is_of_server and not is_temporary(name)
    return not is_emptied(tree, folder) and part_of(path) in (Part.TAKEN, Part.EMPTIED)


def is_emptied(tree: Tree, folder: str) -> bool:
    """Is this directory kept without what is in it?"""
    return not tree.prefix and part_of(folder) is Part.EMPTIED


def unreadable(pgdata: Path) -> str | None:
    """Why this user cannot copy the data directory, or None as far as one look tells."""
    try:
        (pgdata / "PG_VERSION").read_bytes()
        (pgdata / "global" / "pg_control").read_bytes()
        _list_tablespaces(pgdata / TABLESPACE_LINKS)
    except OSError as error:
        return (
            f"{error.filename}: {error.strerror}; the daemon's user must be able to read the data "
            "directory and tablespaces (initdb --allow-group-access, and membership of its group)"
        )
    return None


def _list_tablespaces(links: Path) -> None:
    """A link may be left of one that was dropped, and lead nowhere: it is PostgreSQL's to tell."""
    for link in links.iterdir():
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(link.resolve()):
            continue


def system_id_of(pgdata: Path) -> str:
    """Whose data directory it is: pg_control begins with the system identifier."""
    path = pgdata / CONTROL_FILE
    with at_the_disk("read", path), path.open("rb") as file:
        return str(int.from_bytes(file.read(8), "little"))
