"""A cluster laid out from a backup: the places it may go to, and how it takes its place."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from barmand.model.errors import Refused, StorageFailed
from barmand.model.pgdata import empty_folders
from barmand.storage.control_file import recovery_needs
from barmand.storage.disk import Stop, at_the_disk, open_regular
from barmand.storage.durable import (
    copy_tree,
    copy_whole,
    make_directory,
    remove_tree,
    sync_directory,
    sync_tree,
    write_whole,
)
from barmand.storage.manifest import NAME as MANIFEST
from barmand.storage.packed import Archive
from barmand.storage.packing import unpack
from barmand.storage.promises import Promises
from barmand.storage.sums import is_altered
from barmand.storage.trees import Owner

FRAGMENT = ".barmand-restore"
WAL_FOLDER = "barmand_wal"
_PLACES = re.compile(
    rb"^[ \t]*(data_directory|hba_file|ident_file|external_pid_file)\b.*$",
    re.MULTILINE | re.IGNORECASE,
)
_INCLUDE = re.compile(
    rb"^[ \t]*include(_dir)?\b[ \t]*=?[ \t]*(?:'([^'\n]*)'|([^\s#'=]+)).*$",
    re.MULTILINE | re.IGNORECASE,
)
_SILENCED = rb"#barmand# \g<0>"
_LAST = "global"
_CONTROL = "global/pg_control"
_CONFIG = "postgresql.conf"
_SPACE_MAP = "tablespace_map"
_CONFIG_MODE = 0o600
_WAY_OUT = (
    "A whole one put into incoming/ takes its place. Without one: --target-immediate, unless the "
    "backup itself needs it."
)


@dataclass(frozen=True, slots=True)
class Destination:
    """A folder that a restore fills: empty, or not there yet."""

    path: Path

    @property
    def resolved(self) -> Path:
        return self.path.resolve()

    @property
    def wal(self) -> Path:
        return self.path / WAL_FOLDER

    def refuse_unless_usable(self, forbidden: Sequence[Path]) -> None:
        """Raises Refused with the reason; nothing is written."""
        if not self.path.is_absolute() or not str(self.path).isprintable():
            raise Refused(f"not an absolute path in printable characters: {str(self.path)!r}")
        for folder in forbidden:
            own = folder.resolve()
            if self.resolved.is_relative_to(own) or own.is_relative_to(self.resolved):
                raise Refused(f"{self.path} is barmand's own ground ({folder})")
        with at_the_disk("look at", self.path):
            if not self.path.exists():
                self._refuse_unless_parent_is_writable()
            elif not self.path.is_dir():
                raise Refused(f"{self.path} is not a directory")
            elif any(self.path.iterdir()):
                raise Refused(
                    f"{self.path} is not empty",
                    hint="Name an empty folder; barmand never removes what it did not write.",
                )
            elif not os.access(self.path, os.W_OK | os.X_OK):
                raise Refused(f"{self.path} cannot be written by barmand's user")

    def begin(self) -> "Fragment":
        """Raises Refused when something came here since it was looked at, another restore say."""
        make_directory(self.path)
        fragment = Fragment(self, self.path / FRAGMENT, _owner(self.path))
        with at_the_disk("make directory", fragment.path):
            if any(self.path.iterdir()):
                raise Refused(f"{self.path} is not empty any more")
            fragment.path.mkdir(0o700)
        return fragment

    def _refuse_unless_parent_is_writable(self) -> None:
        parent = next(folder for folder in self.path.parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise Refused(
                f"{self.path} cannot be made: {parent} cannot be written by barmand's user",
                hint="Make the folder, empty, and give it to that user.",
            )


@dataclass(frozen=True, slots=True)
class Fragment:
    """Half of a restored folder (the cluster's, or a tablespace's), hidden inside it."""

    destination: Destination
    path: Path
    owner: Owner | None

    def fill(self, source: Path, stop: Stop, progress: Callable[[int], None]) -> int:
        """Returns the bytes of its files."""
        return copy_tree(source, self.path, stop, progress, self.owner)

    def unpack(
        self,
        archive: Archive,
        promises: Promises,
        stop: Stop,
        progress: Callable[[int], None],
        *,
        prefix: str = "",
    ) -> int:
        return archive.unpack(self.path, promises, stop, progress, prefix=prefix, owner=self.owner)

    def add_manifest(self, data: Path) -> int:
        """Of a packed backup it lies beside the archives; returns its bytes, 0 without one."""
        manifest, copy = data / MANIFEST, self.path / MANIFEST
        with at_the_disk("copy to", copy):
            if not manifest.exists():
                return 0
            size = copy_whole(manifest, copy)
            copy.chmod(_CONFIG_MODE)
            self._own(copy)
            return size

    def make_empty_folders(self, version: int) -> None:
        """A copy of the backup by a program that leaves empty folders out must not be its end."""
        for folder in (self.path / name for name in empty_folders(version)):
            with at_the_disk("make directory", folder):
                if not os.path.lexists(folder):
                    folder.mkdir(0o700)
                    self._own(folder)

    def forget_tablespace_map(self) -> None:
        """With it PostgreSQL would make the links of the source again, in place of ours."""
        with at_the_disk("remove", self.path / _SPACE_MAP):
            (self.path / _SPACE_MAP).unlink(missing_ok=True)

    def link_tablespace(self, oid: int, location: Path) -> None:
        link = self.path / "pg_tblspc" / f"{oid:d}"
        with at_the_disk("link", link):
            link.unlink(missing_ok=True)
            link.symlink_to(location)
            self._own(link)

    def make_wal_folder(self) -> None:
        folder = self.path / WAL_FOLDER
        remove_tree(folder, None)  # the backup of a cluster that was itself restored has one
        with at_the_disk("make directory", folder):
            folder.mkdir(0o700)
            self._own(folder)

    def add_wal(self, archived: Path) -> Path:
        """Raises StorageFailed for one that is damaged: recovery would end there, and promote."""
        with open_regular(archived) as file:
            if is_altered(archived, file):
                raise StorageFailed(
                    f"{archived} is damaged: it is not what was archived", hint=_WAY_OUT
                )
        copy = self.path / WAL_FOLDER / archived.name
        unpack(archived, copy)
        with at_the_disk("write", copy):
            copy.chmod(_CONFIG_MODE)
            self._own(copy)
        return copy

    def recovery_needs(self) -> dict[str, int] | None:
        """The settings without which recovery does not begin, as its pg_control tells them."""
        path = self.path / _CONTROL
        with at_the_disk("read", path):
            return recovery_needs(path.read_bytes())

    def tell_postgres(self, settings: Sequence[str]) -> None:
        """Recovery and archiving settings; the last of a name counts for PostgreSQL.

        The backup of a standby says that it is one; what is restored from it is none.
        """
        self._append("postgresql.auto.conf", settings)
        self._write("recovery.signal", b"")
        with at_the_disk("remove", self.path / "standby.signal"):
            (self.path / "standby.signal").unlink(missing_ok=True)

    def calm(self) -> bool:
        """Comment out where the source had its data and files: this cluster has its own.

        A `data_directory` left standing would start PostgreSQL on the original; included settings
        that lay beside a postgresql.conf elsewhere would keep it from starting. A folder of such is
        made, empty, so that they can be put into it. Returns whether any were not here.
        """
        path = self.path / _CONFIG
        with at_the_disk("read", path):
            if not path.exists():
                return False
            before = path.read_bytes()
        lacks = False

        def keep_if_here(line: re.Match[bytes]) -> bytes:
            nonlocal lacks
            place = self._included(os.fsdecode(line[2] or line[3] or b"."))
            if place is not None and _can_be_seen(place):
                return line[0]
            lacks = True
            if line[1] is None or place is None or not place.is_relative_to(self.path):
                return line.expand(_SILENCED)
            self._make_folders(place)
            return line[0]

        after = _INCLUDE.sub(keep_if_here, _PLACES.sub(_SILENCED, before))
        if after != before:
            self._write(_CONFIG, after)
        return lacks

    def _included(self, name: str) -> Path | None:
        """A relative path is one beside the file that names it; None where that leads out."""
        if Path(name).is_absolute():
            return Path(name)
        place = Path(os.path.normpath(self.path / name))
        return place if place.is_relative_to(self.path) else None

    def _make_folders(self, folder: Path) -> None:
        with at_the_disk("make directory", folder):
            for each in (*reversed(folder.parents), folder):
                if not each.exists():
                    each.mkdir(0o700)
                    self._own(each)

    def sync(self) -> None:
        sync_tree(self.path)

    def take_place(self) -> None:
        """What is whole and synced is moved up, `global` last: no PostgreSQL starts without it."""
        with at_the_disk("move to", self.destination.path):
            mode = self.path.stat().st_mode & 0o777
            for entry in sorted(self.path.iterdir(), key=lambda path: path.name == _LAST):
                if entry.name == _LAST:
                    sync_directory(self.destination.path)
                entry.rename(self.destination.path / entry.name)
            self.path.rmdir()
            self.destination.path.chmod(mode)
        sync_directory(self.destination.path)

    def clear(self) -> None:
        remove_tree(self.path, None)

    def _append(self, name: str, lines: Sequence[str]) -> None:
        path = self.path / name
        with at_the_disk("read", path):
            before = path.read_bytes() if path.exists() else b""
        self._write(name, before + _text(lines))

    def _write(self, name: str, content: bytes) -> None:
        path = self.path / name
        write_whole(path, content)
        with at_the_disk("write", path):
            path.chmod(_CONFIG_MODE)
            self._own(path)

    def _own(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, *self.owner, follow_symlinks=False)


def _can_be_seen(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in ["# written by barmand's restore", *lines]).encode()


def _owner(folder: Path) -> Owner | None:
    """When root restores, the cluster belongs to whom the destination belongs."""
    if os.geteuid() != 0:
        return None
    facts = folder.stat()
    return facts.st_uid, facts.st_gid
