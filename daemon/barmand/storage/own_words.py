"""What a data directory says of itself, whatever a manifest says: its folders, its small files.

Source: PostgreSQL's initdb (the folders), relmapper.c (`RelMapFile`: a magic number, the number of
mappings, room for 62 of them, or 64 since PostgreSQL 16, then the CRC32C of all before it).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c

from barmand.model.backup import Cluster
from barmand.model.pgdata import CONTROL_FILE, demanded_folders, mapped_places
from barmand.storage import control_file
from barmand.storage.disk import at_the_disk

SPACE_MAP = "tablespace_map"
_NODE_MAP = "pg_filenode.map"
_VERSION = "PG_VERSION"
_JUDGED = frozenset({_NODE_MAP, _VERSION})
_DEMANDED = (CONTROL_FILE, f"global/{_NODE_MAP}", _VERSION)
_MAGIC = (0x592717).to_bytes(4, "little")
_CRC_AT = {512: 504, 524: 520}
"""By the size of the file: before PostgreSQL 16, and since."""
_CRC_BYTES = 4


def is_node_map_whole(content: bytes) -> bool:
    """Does it hold the CRC32C of all before that?"""
    place = _CRC_AT.get(len(content))
    if place is None or content[:4] != _MAGIC:
        return False
    crc = int.from_bytes(content[place : place + _CRC_BYTES], "little")
    return bool(google_crc32c.value(content[:place]) == crc)


@dataclass(frozen=True, slots=True)
class OwnWords:
    """`version` as 150018, 0 where it is unknown; `places` of tablespaces, by oid."""

    version: int = 0
    places: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def of(cluster: Cluster) -> "OwnWords":
        spaces = (each for each in cluster.tablespaces if not each.is_in_place)
        return OwnWords(cluster.version, {each.oid: each.location for each in spaces})

    @property
    def folders(self) -> frozenset[str]:
        """Without them PostgreSQL does not start, or not for long."""
        return demanded_folders(self.version)

    @property
    def files(self) -> frozenset[str]:
        """A manifest names them too."""
        return frozenset(_DEMANDED if self.version else ())

    def lacking(self, data: Path, *, has_manifest: bool) -> Iterator[Path]:
        """What must be below `data`, and is not."""
        for name in sorted(self.folders):
            with at_the_disk("look for", data / name):
                if not (data / name).is_dir():
                    yield data / name
        for name in sorted(self.files) if not has_manifest else ():
            with at_the_disk("look for", data / name):
                if not (data / name).is_file():
                    yield data / name

    def can_judge(self, path: str) -> bool:
        return path in (CONTROL_FILE, SPACE_MAP) or path.rpartition("/")[2] in _JUDGED

    def complaint(self, path: str, content: bytes) -> str | None:
        """What is wrong with a file that can be judged; None where nothing is."""
        if path == CONTROL_FILE:
            return None if control_file.is_whole(content) else "does not have its own checksum"
        if path == SPACE_MAP:
            return self._differing_places(content)
        if path.endswith(_NODE_MAP):
            return None if is_node_map_whole(content) else "does not have its own checksum"
        return self._differing_version(path, content)

    def _differing_places(self, content: bytes) -> str | None:
        told = mapped_places(content.decode(errors="surrogateescape"))
        if told == self.places:
            return None
        return "says other tablespaces, or other places of them, than the catalogue"

    def _differing_version(self, path: str, content: bytes) -> str | None:
        """That of a database which was just being made may be empty; the sizes tell of others."""
        major, minor = divmod(self.version, 10_000)
        wanted = f"{major}" if major >= 10 else f"{major}.{minor // 100}"
        if content == f"{wanted}\n".encode() or not self.version:
            return None
        if not content and path != _VERSION:
            return None
        return f"does not say {wanted}, the version of its cluster"
