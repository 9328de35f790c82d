"""What Ctrl-C is answered with."""

from typing import Any

import msgspec
import pytest

from barmand.ctl.watching import Watch
from barmand.wire.messages import AnyNote, ErrorView, ProblemNote, WarningNote
from ctl import samples
from ctl.samples import ID


def farewell(method: str, servers: list[str], *notes: AnyNote) -> Any:
    watch = Watch(method, {"servers": servers})
    for note in notes:
        watch.heed({"method": note.method, "params": msgspec.to_builtins(note)})
    return watch.farewell()


def hint(*servers: str, notes: tuple[AnyNote, ...] = ()) -> list[str]:
    message, hint = farewell("backup", list(servers), *notes)
    assert message == "stopped watching; the backup goes on"
    return str(hint).splitlines()


def test_a_running_backup_is_named_with_the_ways_to_watch_and_to_cancel_it() -> None:
    (line,) = hint("main", notes=(samples.progress(),))
    assert line == (
        f"watch it: `barmanctl status main` or `barmanctl show-backup main {ID}`;"
        " cancel it: `barmanctl cancel main`"
    )


def test_a_backup_without_an_id_yet_is_watched_by_its_server() -> None:
    assert hint("main") == ["watch it: `barmanctl status main`; cancel it: `barmanctl cancel main`"]


@pytest.mark.parametrize("servers", [["main", "other"], ["all"]])
def test_only_what_still_runs_is_named(servers: list[str]) -> None:
    done = samples.becomes(samples.backup())
    started = samples.becomes(samples.queued(status="STARTED", server="other"))
    (line,) = hint(*servers, notes=(done, started))
    assert "status other" in line


def test_all_of_nothing_yet_is_watched_by_the_general_commands() -> None:
    assert hint("all") == ["watch it: `barmanctl status`; cancel it: `barmanctl cancel SERVER`"]


def test_nothing_is_said_where_nothing_goes_on() -> None:
    error = ErrorView(code="NotFound", exit_code=3, message="no server lost")
    notes = (ProblemNote(server="lost", error=error), WarningNote(server=None, message="x"))
    assert farewell("backup", ["lost"], *notes) is None
    assert farewell("check", ["main"]) is None
