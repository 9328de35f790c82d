"""What a base backup that lies on our disk says of itself."""

import re
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.model.pgdata import TABLESPACE_LINKS
from barmand.storage.disk import at_the_disk

MANIFEST_TAIL_BYTES = 1 << 20
_LINK = re.compile(r"([0-9]+)")
_ARCHIVE = re.compile(r"([0-9]+)\.tar.*")


def read_label(data: Path) -> str:
    return _tail(data / "backup_label")


def read_manifest_tail(data: Path) -> str:
    """The end of backup_manifest, where the WAL ranges stand; empty where there is no manifest.

    Only the end: the manifest of a million files has hundreds of megabytes.
    """
    manifest = data / "backup_manifest"
    return _tail(manifest) if manifest.exists() else ""


def tablespaces_in(data: Path) -> set[int]:
    """The oids of those that pg_basebackup brought: as links, or as archives."""
    links = data / TABLESPACE_LINKS
    with at_the_disk("read", data):
        found = [_LINK.fullmatch(path.name) for path in links.iterdir()] if links.is_dir() else []
        found += [_ARCHIVE.fullmatch(path.name) for path in data.iterdir()]
    return {int(each[1]) for each in found if each is not None}


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MANIFEST_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}") from error
