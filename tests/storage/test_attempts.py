"""What may heal is tried again, so often and no more; what nobody heals is told at once."""

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from barmand.model.errors import Stopped, StorageFailed
from barmand.storage.attempts import Attempts, may_heal
from barmand.storage.disk import at_the_disk, open_regular
from support.starving import Starved


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("content")
    return tmp_path / "file"


def content_of(file: Path) -> str:
    with open_regular(file) as opened:
        return os.read(opened, 100).decode()


def test_a_failure_that_heals_costs_its_pauses(file: Path) -> None:
    stop, told = Starved(heals_at=2), []
    attempts = Attempts(stop, 3, 7.5, lambda: told.append("again"))
    with capture_logs() as logs, stop.starving():
        assert attempts.run(lambda: content_of(file)) == "content"
    assert stop.pauses == [7.5, 7.5]
    assert told == ["again", "again"]
    assert [line["event"] for line in logs] == ["copy failed, another attempt follows"] * 2
    assert logs[0]["error"] == f"cannot read {file}: Too many open files"


def test_a_failure_that_lasts_is_raised_when_its_attempts_are_used_up(file: Path) -> None:
    stop = Starved(heals_at=9)
    with stop.starving(), pytest.raises(StorageFailed, match="Too many open files"):
        Attempts(stop, 2, 1.0).run(lambda: content_of(file))
    assert stop.pauses == [1.0, 1.0]


def test_a_stop_ends_the_pause_and_the_attempts(file: Path) -> None:
    stop = Starved(heals_at=9)
    stop.set()
    with stop.starving(), pytest.raises(Stopped, match="the test stopped it"):
        Attempts(stop, 2).run(lambda: content_of(file))
    assert len(stop.pauses) == 1


def test_a_file_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    stop = Starved()
    with pytest.raises(StorageFailed, match="No such file"):
        Attempts(stop, 5).run(lambda: content_of(tmp_path / "gone"))
    assert stop.pauses == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EIO, True),
        (errno.ESTALE, True),
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EACCES, False),
        (errno.EPERM, False),
        (errno.EROFS, False),
        (errno.ENOENT, False),
        (errno.ENAMETOOLONG, False),
    ],
)
def test_what_may_heal(code: int, expected: bool) -> None:
    with pytest.raises(StorageFailed) as failed, at_the_disk("write", Path("/x")):
        raise OSError(code, os.strerror(code))
    assert may_heal(failed.value) is expected


def test_a_failure_that_no_call_of_the_kernels_told_does_not_heal() -> None:
    assert not may_heal(StorageFailed("server.key is a link to nowhere"))
