"""Where everything of one server lies: Barman's directories, so that both programs find it."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from barmand.model.naming import is_id
from barmand.model.wal import WalKind, kind_of
from barmand.storage.disk import at_the_disk
from barmand.storage.durable import make_directory

_INFO = "-backup.info"
_KEEP_MARK = "-keep"
_OLD_KEEP_MARK = "annotations/keep"
_DATA = "data"


@dataclass(frozen=True, slots=True)
class Layout:
    """A path made from a request's word is proved first: an id or a WAL name cannot leave its root.

    ValueError for a word that is neither.
    """

    server: str
    home: Path
    """`backup_directory`."""
    base: Path
    wals: Path
    incoming: Path
    streaming: Path
    errors: Path

    @property
    def meta(self) -> Path:
        return self.home / "meta"

    @property
    def identity(self) -> Path:
        return self.home / "identity.json"

    @property
    def barman_index(self) -> Path:
        """Barman's list of archived WAL (xlog.db), in its usual place."""
        return self.wals / f"{self.server}-xlog.db"

    @property
    def by_option(self) -> dict[str, Path]:
        """Each directory that an option names."""
        return {
            "backup_directory": self.home,
            "basebackups_directory": self.base,
            "wals_directory": self.wals,
            "incoming_wals_directory": self.incoming,
            "streaming_wals_directory": self.streaming,
            "errors_directory": self.errors,
        }

    def backup(self, backup_id: str) -> Path:
        return self.base / _proved(backup_id)

    def data(self, backup_id: str) -> Path:
        return self.backup(backup_id) / _DATA

    def tablespace(self, backup_id: str, oid: int) -> Path:
        return self.backup(backup_id) / f"{oid:d}"

    def info(self, backup_id: str) -> Path:
        return self.meta / f"{_proved(backup_id)}{_INFO}"

    def old_info(self, backup_id: str) -> Path:
        """Where Barman before 3.13.2 kept it; only read."""
        return self.backup(backup_id) / "backup.info"

    def card(self, backup_id: str) -> Path:
        return self.meta / f"{_proved(backup_id)}-barmand.json"

    def delete_mark(self, backup_id: str) -> Path:
        return self.meta / f"{_proved(backup_id)}-delete_this"

    def keep_mark(self, backup_id: str) -> Path:
        """Barman's annotation of a backup that is to stay."""
        return self.meta / f"{_proved(backup_id)}{_KEEP_MARK}"

    def keep_card(self, backup_id: str) -> Path:
        """What was said of that annotation, and Barman has no room for."""
        return self.meta / f"{_proved(backup_id)}-barmand-keep.json"

    def old_keep_mark(self, backup_id: str) -> Path:
        """Where Barman before 3.13.2 kept it; Barman still reads it there."""
        return self.backup(backup_id) / _OLD_KEEP_MARK

    def with_keep_mark(self, backup_ids: Iterable[str]) -> list[str]:
        """Those that have one, whether or not it can be read. Raises StorageFailed."""
        marks = set(_names(self.meta))
        return [
            each
            for each in map(_proved, backup_ids)
            if f"{each}{_KEEP_MARK}" in marks or self._mode(each, _OLD_KEEP_MARK) is not None
        ]

    def with_copy(self, backup_ids: Iterable[str]) -> set[str]:
        """Those of whose copies anything is there. Raises StorageFailed where that is not told."""
        modes = ((each, self._mode(each, _DATA)) for each in map(_proved, backup_ids))
        return {each for each, mode in modes if mode is not None and stat.S_ISDIR(mode)}

    def _mode(self, backup_id: str, name: str) -> int | None:
        """Of what lies in a backup's folder; None where nothing does. For many, so without Path."""
        path = f"{self.base}/{backup_id}/{name}"
        try:
            return os.stat(path).st_mode  # noqa: PTH116 - see above
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            with at_the_disk("look at", Path(path)):
                raise

    def wal(self, name: str) -> Path:
        match kind_of(name):
            case WalKind.SEGMENT | WalKind.PARTIAL | WalKind.LABEL:
                return self.wals / name[:16] / name
            case WalKind.HISTORY:
                return self.wals / name
            case _:
                raise ValueError(f"not a name of archived WAL: {name!r}")

    def prepare(self) -> None:
        """Make what is missing, durably. It would do so on a bare mount point too: look first."""
        for directory in (
            *(self.home, self.meta, self.base, self.wals),
            *(self.incoming, self.streaming, self.errors),
        ):
            make_directory(directory)

    def copied_ids(self) -> set[str]:
        """Of which base/ has a folder. Raises StorageFailed."""
        return set(_names(self.base))

    def backup_ids(self) -> list[str]:
        """Every backup that left an info or a directory, whole or not, oldest first."""
        told = {name.removesuffix(_INFO) for name in _names(self.meta) if name.endswith(_INFO)}
        found = {name for name in _names(self.base) if (self.base / name).is_dir()}
        return sorted(word for word in told | found if is_id(word))


def _proved(backup_id: str) -> str:
    if not is_id(backup_id):
        raise ValueError(f"not a backup's id: {backup_id!r}")
    return backup_id


def _names(directory: Path) -> list[str]:
    with at_the_disk("list", directory):
        try:
            return [path.name for path in directory.iterdir()]
        except FileNotFoundError:
            return []
