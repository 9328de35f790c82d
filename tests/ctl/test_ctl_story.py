"""What a person is told while a backup runs."""

from collections.abc import Callable

from barmand.ctl import plain
from barmand.wire.messages import (
    BackupsReply,
    ErrorView,
    Problem,
    ProblemNote,
    WarningNote,
)
from ctl import samples
from ctl.samples import ID

Tell = Callable[..., tuple[int, str, str]]


def test_a_followed_backup_is_told_step_by_step(tell: Tell) -> None:
    notes = [
        samples.becomes(samples.queued()),
        samples.becomes(samples.queued(status="STARTED")),
        samples.progress(phase="waiting for checkpoint", bytes_done=None),
        samples.progress(),
        samples.becomes(samples.waiting()),
        samples.becomes(samples.backup()),
    ]
    reply = BackupsReply(backups=[samples.backup()], problems=[])
    code, out, err = tell("backup main --wait", reply, *notes)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"main {ID}: queued",
        f"main {ID}: started",
        f"main {ID}: waiting for checkpoint: 120.0 MiB/s, 26 s left",
        f"main {ID}: copying: 1.0 GiB of 4.0 GiB (25 %), 120.0 MiB/s, 26 s left",
        f"main {ID}: copied 4.0 GiB in 3 min 4 s, LSN 0/2000028 to 0/2000100",
        f"main {ID}: waiting for WAL: 000000010000000000000002",
        f"main {ID}: DONE",
    ]


def test_a_backup_that_nobody_told_of_is_told_at_the_end(tell: Tell) -> None:
    view = samples.backup(begin_lsn=None)
    _, out, _ = tell("backup main", BackupsReply(backups=[view], problems=[]))
    assert out == f"main {ID}: copied 4.0 GiB in 3 min 4 s\nmain {ID}: DONE\n"


def test_a_failed_backup_is_complained_of_once_with_its_reason(tell: Tell) -> None:
    reply = BackupsReply(backups=[samples.failed()], problems=[], exit_code=8)
    code, out, err = tell("backup main", reply, samples.becomes(samples.failed()))
    assert (code, out) == (8, "")
    assert err == (
        f"barmanctl: main {ID}: FAILED: cannot write base/16384\n"
        "  hint: No space left on device.\n        Free some.\n"
    )


def test_a_failure_without_a_reason_is_still_a_failure(tell: Tell) -> None:
    reply = BackupsReply(backups=[samples.failed(error=None)], problems=[], exit_code=1)
    assert tell("backup main", reply) == (1, "", f"barmanctl: main {ID}: FAILED\n")


def test_a_server_that_cannot_be_served_is_named_once(tell: Tell) -> None:
    error = ErrorView(code="NotFound", exit_code=3, message="unknown server lost")
    reply = BackupsReply(
        backups=[samples.backup()], problems=[Problem(server="lost", error=error)], exit_code=3
    )
    code, out, err = tell("backup lost main", reply, ProblemNote(server="lost", error=error))
    assert (code, err) == (3, "barmanctl: lost: unknown server lost\n")
    assert out.endswith("DONE\n")


def test_a_wait_that_ended_says_that_the_backup_goes_on(tell: Tell) -> None:
    reply = BackupsReply(backups=[samples.waiting()], problems=[], exit_code=12)
    code, out, err = tell("backup main -w --wait-timeout 1", reply)
    assert code == 12
    assert out.endswith("waiting for WAL: 000000010000000000000002\n")
    assert err.startswith("barmanctl: the wait ended; the backup goes on\n  hint: `barmanctl ")


def test_a_wait_timeout_that_the_daemon_told_of_is_not_told_twice(tell: Tell) -> None:
    error = ErrorView(code="WaitTimeout", exit_code=12, message="the wait ended")
    problems = [Problem(server="main", error=error)]
    reply = BackupsReply(backups=[samples.waiting()], problems=problems, exit_code=12)
    assert tell("backup main -w", reply)[2] == "barmanctl: main: the wait ended\n"


def test_warnings_go_to_stderr(tell: Tell) -> None:
    reply = BackupsReply(backups=[], problems=[])
    notes = [WarningNote(server="main", message="slow"), WarningNote(server=None, message="old")]
    _, _, err = tell("backup main", reply, *notes)
    assert err == "barmanctl: warning: main: slow\nbarmanctl: warning: old\n"


def test_progress_lines_come_with_a_new_phase_with_ten_percent_and_each_minute() -> None:
    said: list[str] = []
    clock = [100.0]
    lines = plain.ProgressLines(said.append, now=lambda: clock[0])

    def update(seconds: float, done: int | None, total: int | None, phase: str = "copying") -> int:
        clock[0] += seconds
        figures = {"bytes_per_second": None, "seconds_left": None}
        lines.update("m", {"phase": phase, "bytes_done": done, "bytes_total": total, **figures})
        return len(said)

    assert update(0, 0, 100) == 1
    assert update(0.5, 50, 100) == 1  # too soon
    assert update(1, 5, 100) == 1  # too little
    assert update(0, 10, 100) == 2
    assert update(0, 10, 100, "syncing") == 3
    assert update(0, None, None, "waiting") == 4
    assert update(59, 7, None, "waiting") == 4  # no total: the minute alone decides
    assert update(1, 9, None, "waiting") == 5
    lines.hide()
