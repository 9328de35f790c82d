"""What of a data directory belongs in a base backup that is copied file by file.

Source: PostgreSQL documentation, "Making a Base Backup Using the Low Level API"; besides, what
Barman leaves out. Paths are relative to the data directory, with `/`.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

CONTROL_FILE = "global/pg_control"
TABLESPACE_LINKS = "pg_tblspc"

_EMPTIED = frozenset(
    {
        "log",
        "pg_dynshmem",
        "pg_log",
        "pg_notify",
        "pg_replslot",
        "pg_serial",
        "pg_snapshots",
        "pg_stat_tmp",
        "pg_subtrans",
        "pg_wal",
        "pg_xlog",
        TABLESPACE_LINKS,
    }
)
"""Directories that are kept, without what is in them."""

_NEEDED_EMPTY = frozenset(
    {
        *("pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots"),
        *("pg_stat_tmp", "pg_subtrans", TABLESPACE_LINKS),
    }
)
_NEEDED = frozenset(
    {
        *("base", "global", "pg_commit_ts", "pg_stat", "pg_twophase"),
        *("pg_logical", "pg_logical/mappings", "pg_logical/snapshots"),
        *("pg_multixact", "pg_multixact/members", "pg_multixact/offsets"),
    }
)
_NEW_NAMES_SINCE = 100_000
"""PostgreSQL 10 named pg_xlog and pg_clog anew."""

_LEFT_OUT = frozenset(
    {
        "backup_label",
        "backup_label.old",
        "backup_manifest",
        "current_logfiles",
        "current_logfiles.tmp",
        "postgresql.auto.conf.tmp",
        "postmaster.opts",
        "postmaster.pid",
        "recovery.conf",
        "recovery.signal",
        "standby.signal",
        "tablespace_map",
        "tablespace_map.old",
    }
)
"""Files at the top that tell of the running server, or of another backup."""

_TEMPORARY = re.compile(r"pgsql_tmp.*|pg_internal\.init.*|t[0-9]+_[0-9]+(_[a-z]+)?(\.[0-9]+)?")
_MAPPED = re.compile(r"([0-9]+) ((?:\\.|[^\\\n])*)(?:\n|$)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_RELATION = re.compile(r"([0-9]+)(_(?:fsm|vm|init))?(?:\.([0-9]+))?")
_RELATION_FOLDERS = re.compile(
    r"global|base/[0-9]+|(pg_tblspc/[0-9]+/)?PG_[0-9.]+_[0-9]+(/[0-9]+)?"
)


class Part(Enum):
    """What becomes of a path."""

    TAKEN = auto()
    EMPTIED = auto()
    """The directory is kept, its content is not."""
    LEFT_OUT = auto()
    LAST = auto()
    """pg_control: copied when all else is."""


def part_of(path: str) -> Part:
    """What becomes of a file or directory of the data directory itself."""
    if path == CONTROL_FILE:
        return Part.LAST
    if path in _EMPTIED:
        return Part.EMPTIED
    if path in _LEFT_OUT or is_temporary(path):
        return Part.LEFT_OUT
    return Part.TAKEN


def is_temporary(path: str) -> bool:
    """Files that PostgreSQL removes at its next start, wherever they are."""
    return _TEMPORARY.fullmatch(path.rpartition("/")[2]) is not None


def may_vanish(path: str) -> bool:
    """May PostgreSQL drop this file while the copy runs? Then WAL makes the backup whole."""
    folder, _, name = path.rpartition("/")
    if folder == "global":  # VACUUM FULL gives shared relations new files, too
        return _RELATION.fullmatch(name) is not None
    return folder != ""


def mapped_tablespaces(tablespace_map: str) -> tuple[int, ...]:
    """The oids that PostgreSQL's `tablespace_map` names: an oid and a place a line, in which a
    backslash stands before a line's end that belongs to the place.
    """
    return tuple(int(oid) for oid, _ in _MAPPED.findall(tablespace_map))


def mapped_places(tablespace_map: str) -> dict[int, str]:
    """Where it says that each tablespace lies, by oid."""
    found = _MAPPED.findall(tablespace_map)
    return {int(oid): _ESCAPED.sub(r"\1", place) for oid, place in found}


def empty_folders(version: int) -> frozenset[str]:
    """Those that PostgreSQL needs at its start, and that are empty in every backup."""
    return _NEEDED_EMPTY | ({"pg_wal"} if version >= _NEW_NAMES_SINCE else set())


def demanded_folders(version: int) -> frozenset[str]:
    """All that PostgreSQL needs; none are known where the version (as 150018) is not."""
    if not version:
        return frozenset()
    is_new = version >= _NEW_NAMES_SINCE
    named = {"pg_wal", "pg_xact"} if is_new else {"pg_xlog", "pg_clog"}
    return _NEEDED_EMPTY | _NEEDED | named


def tablespace_version_folder(version: int) -> re.Pattern[str]:
    """The one folder of a tablespace that belongs to a server of `version` (as 150018)."""
    major = version // 10_000
    return re.compile(rf"PG_{major}_[0-9]+")


@dataclass(frozen=True, slots=True)
class RelationFile:
    """A file of 8 kB pages that may have checksums; `first_block` is that of its segment."""

    first_block: int

    @staticmethod
    def of(path: str, blocks_a_segment: int = 131_072) -> "RelationFile | None":
        """None for what holds no pages. `path` is relative to the data directory."""
        folder, _, name = path.rpartition("/")
        found = _RELATION.fullmatch(name)
        if found is None or _RELATION_FOLDERS.fullmatch(folder) is None:
            return None
        return RelationFile(int(found[3] or 0) * blocks_a_segment)
