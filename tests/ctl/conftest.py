"""What the tests of the client share."""

import time
from collections.abc import Callable, Iterator

import pytest

from barmand.ctl.main import run
from barmand.wire.lines import Call, note_line, result_line
from barmand.wire.messages import (
    AnyNote,
    Reply,
)
from ctl.fake_daemon import Endless, FakeDaemon

Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Exit code, stdout and stderr of one command whose answer is `result`, after `notes`."""

    def tell(line: str, result: Reply, *notes: AnyNote) -> tuple[int, str, str]:
        def script(call: Call) -> Iterator[bytes]:
            yield from map(note_line, notes)
            yield result_line(call.id, result)

        with FakeDaemon(script) as daemon:
            code = run(["--socket", daemon.path, *line.split()])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return tell


@pytest.fixture
def endless() -> Iterator[Endless]:
    script = Endless()
    yield script
    script.end.set()
