"""One daemon per state directory, whatever became of the one before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from barmand.model.errors import Refused, StorageFailed
from barmand.storage.lock import LOCK_NAME, StateLock

HOLD = """
import sys, time
from pathlib import Path
from barmand.storage.lock import StateLock
lock = StateLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_the_directory_is_made_and_the_pid_is_told(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "state")
    assert (tmp_path / "state" / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_second_is_refused_and_hears_the_pid_of_the_first(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    with pytest.raises(Refused, match=rf"another barmand \(pid {os.getpid()}\)"):
        StateLock(tmp_path)
    lock.release()


def test_what_was_released_is_free(tmp_path: Path) -> None:
    StateLock(tmp_path).release()
    StateLock(tmp_path).release()


def test_a_lock_whose_holder_was_killed_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder, holder.stdout as said:
        assert said.readline() == b"held\n"
        with pytest.raises(Refused, match=f"pid {holder.pid}"):
            StateLock(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    StateLock(tmp_path).release()


def test_a_longer_pid_of_an_earlier_holder_is_written_over(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("12345678901\n")
    lock = StateLock(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_holder_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    (tmp_path / LOCK_NAME).write_text("")
    with pytest.raises(Refused, match="pid unknown"):
        StateLock(tmp_path)
    lock.release()


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        lock.release()
        StateLock(tmp_path).release()
        child.kill()


def test_a_directory_that_cannot_be_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed):
        StateLock(tmp_path / "file" / "state")


def test_a_folder_in_the_locks_place_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).mkdir()
    with pytest.raises(StorageFailed, match="cannot open"):
        StateLock(tmp_path)
