"""A directory in which one process works is no other's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from barmand.model.errors import Refused, StorageFailed
from barmand.storage.lock import DirectoryLock

HOLD = """
import sys
from pathlib import Path
from barmand.storage.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_who_holds_it_is_named_until_that_process_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Refused, match=f"pid {holder.pid}\\) works in {tmp_path}"):
            DirectoryLock(tmp_path)
        holder.kill()
        holder.wait()
    DirectoryLock(tmp_path).release()


def test_one_that_was_released_is_free(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(Refused, match=f"pid {os.getpid()}"):
        DirectoryLock(tmp_path)
    lock.release()
    DirectoryLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_none_that_is_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot open"):
        DirectoryLock(tmp_path / "away")
