"""How much space the removal of some directories frees."""

import stat
from collections.abc import Iterable
from pathlib import Path

from barmand.storage.disk import Stop, at_the_disk, heed
from barmand.storage.trees import entries


def freed_by(folders: Iterable[Path], stop: Stop) -> int:
    """Bytes of the files that nothing outside of `folders` has a hard link to. Raises Stopped.

    A folder that is not there frees nothing.
    """
    total = 0
    links_left: dict[tuple[int, int], int] = {}
    for folder in folders:
        with at_the_disk("measure", folder):
            if not folder.is_dir():
                continue
            for entry in entries(folder):
                heed(stop, "measuring", folder)
                facts = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(facts.st_mode):
                    continue
                if facts.st_nlink > 1:
                    file = (facts.st_dev, facts.st_ino)
                    left = links_left.get(file, facts.st_nlink) - 1
                    links_left[file] = left
                    if left > 0:
                        continue
                total += facts.st_size
    return total
