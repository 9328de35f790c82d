"""A large file is read while rsync still writes it: little is left to do when it is whole."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from barmand.model.errors import StorageFailed
from barmand.model.pgdata import RelationFile
from barmand.outside.rsync_trees import Load
from barmand.storage.brought import Reading
from barmand.storage.disk import at_the_disk
from barmand.storage.pace import Stop
from barmand.storage.seen import Looks

LARGE_BYTES = 16 * 1024 * 1024
_ADDED = len(".XXXXXX")
"""What rsync adds to a file's name as long as it is not whole."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """`folder` is the --temp-dir of one rsync, which writes a file there from front to back.

    A file keeps its inode as it is renamed to its place, and no other can have that as long as it
    is held open here.
    """

    folder: Path
    load: Load
    looks: Looks
    stop: Stop
    _held: dict[int, Reading] = field(default_factory=dict)
    """By inode."""

    def go_on(self) -> None:
        """Read what has come since. Raises StorageFailed, Stopped."""
        if not self.looks.sees_bytes:
            return
        with at_the_disk("list", self.folder), os.scandir(self.folder) as entries:
            found = [(entry.inode(), entry.name) for entry in entries]
        for inode, name in found:
            if inode not in self._held:
                self._begin(name)
            if inode in self._held:
                self._held[inode].go_on()

    def begun(self, inode: int) -> Reading | None:
        """Of that file, for who will finish and close it."""
        return self._held.pop(inode, None)

    def close(self) -> None:
        while self._held:
            self._held.popitem()[1].close()

    def _begin(self, name: str) -> None:
        place = self.folder / name
        try:
            with at_the_disk("look at", place):
                size = place.lstat().st_size
            path = self._path_of(name[:-_ADDED]) if size >= LARGE_BYTES else None
            if path is None:
                return
            relation = RelationFile.of(self.load.tree.prefix + path)
            reading = Reading(place, relation, self.looks, self.stop)
        except StorageFailed as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return  # it is in its place by now
            raise
        self._held[reading.facts.st_ino] = reading

    def _path_of(self, name: str) -> str | None:
        """Within the tree. None if two files of the load are called so."""
        paths = [path for path in self.load.names if path.rpartition("/")[2] == name]
        return paths[0] if len(paths) == 1 else None
