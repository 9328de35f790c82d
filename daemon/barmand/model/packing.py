"""How archived WAL is packed: the words and the levels of Barman's `compression` settings."""

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What lies on disk; its first bytes tell which."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    LZ4 = "lz4"
    SNAPPY = "snappy"


class Packer(StrEnum):
    """Barman's words. Which program or library packs is ours to choose, the format is not."""

    NONE = "none"
    GZIP = "gzip"
    PIGZ = "pigz"
    PYGZIP = "pygzip"
    BZIP2 = "bzip2"
    PYBZIP2 = "pybzip2"
    XZ = "xz"
    ZSTD = "zstd"
    LZ4 = "lz4"
    SNAPPY = "snappy"
    CUSTOM = "custom"
    """Filters of the administrator's own, which we do not run."""


class Effort(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


Level = int | Effort

_FORMATS = {
    Packer.GZIP: Format.GZIP,
    Packer.PIGZ: Format.GZIP,
    Packer.PYGZIP: Format.GZIP,
    Packer.BZIP2: Format.BZIP2,
    Packer.PYBZIP2: Format.BZIP2,
    Packer.XZ: Format.XZ,
    Packer.ZSTD: Format.ZSTD,
    Packer.LZ4: Format.LZ4,
    Packer.SNAPPY: Format.SNAPPY,
}


@dataclass(frozen=True, slots=True)
class _Levels:
    lowest: int
    highest: int
    efforts: tuple[int, int, int]


_LEVELS = {
    Format.GZIP: _Levels(1, 9, (1, 6, 9)),
    Format.BZIP2: _Levels(1, 9, (1, 5, 9)),
    Format.XZ: _Levels(1, 9, (1, 3, 5)),
    Format.ZSTD: _Levels(-22, 22, (1, 4, 9)),
    Format.LZ4: _Levels(0, 16, (0, 6, 10)),
}
LOWEST_LEVEL = min(levels.lowest for levels in _LEVELS.values())
HIGHEST_LEVEL = max(levels.highest for levels in _LEVELS.values())


@dataclass(frozen=True, slots=True)
class Packing:
    format: Format
    level: int
    """In the numbers of its format; snappy has none."""


def packing_of(packer: Packer, level: Level) -> Packing | None:
    """None where WAL stays as it came. Raises ValueError for a level that the format has not."""
    form = _FORMATS.get(packer)
    if form is None:
        return None
    levels = _LEVELS.get(form)
    if levels is None:
        return Packing(form, 0)
    if isinstance(level, Effort):
        return Packing(form, levels.efforts[list(Effort).index(level)])
    if not levels.lowest <= level <= levels.highest:
        raise ValueError(f"{level}: {form} takes {levels.lowest} to {levels.highest}")
    return Packing(form, level)
