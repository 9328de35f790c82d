"""A long list of files: printed whole, in words or as one document. Over a real socket."""

import json
from collections.abc import Callable, Iterator

import pytest

from barmand.ctl.main import run
from barmand.model.errors import StorageFailed
from barmand.wire.lines import Call, failure_line, note_line
from barmand.wire.messages import FilesNote
from barmand.wire.wal_messages import FilesReply
from ctl.fake_daemon import FakeDaemon
from ctl.samples import ID

Tell = Callable[..., tuple[int, str, str]]


def note(*paths: str) -> FilesNote:
    return FilesNote(server="main", backup_id=ID, paths=list(paths))


def reply(count: int) -> FilesReply:
    return FilesReply(server="main", backup_id=ID, target="full", count=count)


def test_each_path_is_a_line(tell: Tell) -> None:
    notes = note("/srv/a", "/srv/ö"), note("/srv/b")
    said = tell("list-files main last", reply(3), *notes)
    assert said == (0, "/srv/a\n/srv/ö\n/srv/b\n", "")


def test_what_could_steer_a_terminal_is_escaped(tell: Tell) -> None:
    _, out, _ = tell("list-files main last", reply(1), note("/srv/\x1b[2J\n"))
    assert out == "/srv/\\x1b[2J\\n\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_document(tell: Tell, count: int) -> None:
    paths = [f"/srv/ö{number}" for number in range(count)]
    notes = [note(path) for path in paths]
    code, out, err = tell("list-files -f json main last", reply(count), *notes)
    assert (code, err, out.isascii(), out.count("\n")) == (0, "", True, 1)
    assert json.loads(out) == {
        "format": 1,
        "server": "main",
        "backup_id": ID,
        "target": "full",
        "count": count,
        "files": paths,
    }


def test_a_list_longer_than_what_is_kept_in_memory_is_whole(tell: Tell) -> None:
    paths = [f"/srv/{number}/{'x' * 200}" for number in range(20_000)]
    notes = [note(*paths[start : start + 250]) for start in range(0, len(paths), 250)]
    _, out, _ = tell("list-files main last", reply(len(paths)), *notes)
    assert out.splitlines() == paths


@pytest.mark.parametrize("asked", ["console", "json"])
def test_of_a_list_that_breaks_off_nothing_is_printed(
    asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(call: Call) -> Iterator[bytes]:
        yield note_line(note("/srv/a"))
        yield failure_line(call.id, StorageFailed("cannot list /srv/b"))

    with FakeDaemon(script) as daemon:
        code = run(["--socket", daemon.path, "-f", asked, "list-files", "main", "last"])
    assert code == 8
    assert "/srv/a" not in capsys.readouterr().out
