"""How a base backup is packed, and what pg_basebackup and its server can do of it.

Sources: PostgreSQL documentation, pg_basebackup (`--compress`, `--format`); the words and the
limits of the settings are Barman's.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

WORDS_SINCE = 15
"""Before, pg_basebackup packed by itself and with gzip only, and its server not at all."""

MAX_WORKERS = 1024


class Algorithm(StrEnum):
    NONE = "none"
    GZIP = "gzip"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Location(StrEnum):
    """Who packs: pg_basebackup, or the server before it sends."""

    CLIENT = "client"
    SERVER = "server"


class Format(StrEnum):
    """What lies on our disk: archives, or plain files (then only the way to us is packed)."""

    TAR = "tar"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Levels:
    lowest: int
    highest: int
    default: int

    def __contains__(self, level: int) -> bool:
        return self.lowest <= level <= self.highest or level == self.default

    def __str__(self) -> str:
        return f"{self.lowest} to {self.highest}, or {self.default} for its default"


_LEVELS = {
    Algorithm.NONE: Levels(0, 0, 0),
    Algorithm.GZIP: Levels(1, 9, -1),
    Algorithm.LZ4: Levels(1, 12, 0),
    Algorithm.ZSTD: Levels(-131_072, 22, 3),
}
LOWEST_LEVEL = min(levels.lowest for levels in _LEVELS.values())
HIGHEST_LEVEL = max(levels.highest for levels in _LEVELS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """`level` and `workers` None: as the packer likes it."""

    algorithm: Algorithm
    level: int | None = None
    workers: int | None = None
    location: Location = Location.CLIENT
    format: Format = Format.TAR

    def __str__(self) -> str:
        return f"{self.algorithm}, packed by the {self.location}, stored as {self.format}"

    @property
    def is_tar(self) -> bool:
        return self.format is Format.TAR

    @property
    def stored(self) -> str | None:
        """Barman's word for what lies on disk; None for plain files."""
        return self.algorithm.value if self.is_tar else None

    @property
    def given_level(self) -> int | None:
        """None where it is the packer's default anyway."""
        return None if self.level == _LEVELS[self.algorithm].default else self.level

    @property
    def unpacks_here(self) -> bool:
        """Must pg_basebackup itself know the algorithm?"""
        return self.location is Location.CLIENT or not self.is_tar

    def problems(self) -> Iterator[tuple[str, str]]:
        """What nobody can do, whatever the versions: the field, and why not."""
        levels = _LEVELS[self.algorithm]
        if not self.is_tar and self.location is Location.CLIENT:
            yield "format", "plain is only possible with backup_compression_location = server"
        if self.level is not None and self.level not in levels:
            words = f"{levels.default}" if self.algorithm is Algorithm.NONE else f"{levels}"
            yield "level", f"{self.level}: {self.algorithm} takes {words}"
        if self.workers is not None and self.algorithm is not Algorithm.ZSTD:
            yield "workers", f"only zstd has workers, not {self.algorithm}"

    def complaint(
        self, client: int, server: int, server_words: Collection[str] | None
    ) -> str | None:
        """What these major versions cannot do. `server_words`: what the server was built with."""
        if self.algorithm is Algorithm.NONE:
            return None
        if self.location is Location.SERVER:
            if min(client, server) < WORDS_SINCE:
                return (
                    f"backup_compression_location = server needs PostgreSQL {WORDS_SINCE} on both "
                    f"sides: the server has {server}, pg_basebackup {client}"
                )
            if self._is_foreign_to(server_words):
                return f"the server was built without {self.algorithm}"
        elif client < WORDS_SINCE and self.algorithm is not Algorithm.GZIP:
            return (
                f"{self.algorithm} needs pg_basebackup {WORDS_SINCE}, here is {client}: "
                "name a newer one's folder in path_prefix, or use gzip"
            )
        return None

    def _is_foreign_to(self, server_words: Collection[str] | None) -> bool:
        """They are the words of wal_compression, in which gzip is not."""
        if server_words is None or self.algorithm is Algorithm.GZIP:
            return False
        return self.algorithm.value not in server_words
