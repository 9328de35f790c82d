"""What a terminal gets: one live bar, tables, colours."""

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator

from barmand.wire.lines import Call, note_line, result_line
from barmand.wire.messages import (
    BackupListReply,
    BackupReply,
    BackupsReply,
    Reply,
    StatusReply,
)
from ctl import samples
from ctl.fake_daemon import PROGRAM, Endless, FakeDaemon, environment
from ctl.samples import ID


class Terminal:
    """A pseudo-terminal with a program on it; `text` is all that it showed."""

    def __init__(self, path: str, *argv: str, **more: str) -> None:
        self.master, slave = pty.openpty()
        settings = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40", "NO_COLOR": ""}
        self.client = subprocess.Popen(
            [*PROGRAM, *argv],
            env=environment(path, **settings | more),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.text = ""

    def read_until(self, wanted: str) -> None:
        while wanted not in self.text:
            self.text += os.read(self.master, 65536).decode()

    def finish(self) -> int:
        try:
            while part := os.read(self.master, 65536):
                self.text += part.decode()
        except OSError:
            pass  # the other side has closed: all is read
        os.close(self.master)
        return self.client.wait(10)


def test_a_terminal_gets_one_live_bar_and_coloured_words(endless: Endless) -> None:
    def script(call: Call) -> Iterator[bytes]:
        yield from endless(call)
        yield note_line(samples.becomes(samples.waiting()))
        yield result_line(call.id, BackupsReply(backups=[samples.backup()], problems=[]))

    with FakeDaemon(script) as daemon:
        terminal = Terminal(daemon.path, "backup", "main", "--wait")
        terminal.read_until("(25 %)")
        endless.end.set()
        assert terminal.finish() == 0
    assert "━" in terminal.text
    assert "syncing to disk" in terminal.text
    shown, hidden = terminal.text.rfind("\x1b[?25h"), terminal.text.rfind("\x1b[?25l")
    assert shown > hidden >= 0  # the cursor is there again
    assert terminal.text.endswith(f"main {ID}: DONE\r\n")


def test_ctrl_c_at_a_terminal_takes_the_bar_away(endless: Endless) -> None:
    with FakeDaemon(endless) as daemon:
        terminal = Terminal(daemon.path, "backup", "main")
        terminal.read_until("(25 %)")
        terminal.client.send_signal(signal.SIGINT)
        assert terminal.finish() == 130
        endless.end.set()
    assert "\x1b[?25h" in terminal.text
    assert terminal.text.rstrip().endswith("cancel it: `barmanctl cancel main`")


def test_a_terminal_that_vanishes_ends_only_the_watching(endless: Endless) -> None:
    def script(call: Call) -> Iterator[bytes]:
        yield from endless(call)
        yield result_line(call.id, BackupsReply(backups=[samples.backup()], problems=[]))

    with FakeDaemon(script) as daemon:
        terminal = Terminal(daemon.path, "backup", "main")
        terminal.read_until("(25 %)")
        os.close(terminal.master)
        endless.end.set()
        assert terminal.client.wait(10) == 141


COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(reply: Reply, *argv: str, **more: str) -> str:
    with FakeDaemon(lambda call: [result_line(call.id, reply)]) as daemon:
        terminal = Terminal(daemon.path, *argv, **more)
        assert terminal.finish() == 0
    return terminal.text


def test_a_terminal_gets_tables_with_coloured_statuses() -> None:
    reply = BackupListReply(backups=[samples.backup(name="DONE"), samples.failed()])
    text = on_a_terminal(reply, "list-backups")
    assert text.count("\x1b[32mDONE") == 1  # the status, not the name
    assert "\x1b[1;31mFAILED" in text
    assert "WAL MISSING" in COLOUR.sub("", text)


def test_a_terminal_gets_facts_in_groups() -> None:
    text = COLOUR.sub(
        "", on_a_terminal(BackupReply(backup=samples.failed()), "show-backup", "m", "x")
    )
    assert re.search(r"reason +cannot write base/16384", text)
    assert re.search(r"hint +No space left on device\. +\r\n +Free some\.", text)


def test_a_terminal_gets_the_status_with_what_runs_now() -> None:
    running = samples.server_status(active_backup=samples.queued(), problems=["[bold]x[/bold]\x1b"])
    reply = StatusReply(daemon=samples.DAEMON, servers=[running, samples.server_status()])
    text = on_a_terminal(reply, "status")
    assert f"main: {ID} QUEUED" in text
    assert r"[bold]x[/bold]\x1b" in text


def test_a_check_at_a_terminal_has_titles() -> None:
    text = on_a_terminal(samples.check(), "check", "main")
    assert "main: FAILED, no backup can be taken" in COLOUR.sub("", text)


def test_no_color_is_honoured() -> None:
    reply = BackupListReply(backups=[samples.backup()])
    assert "32m" not in on_a_terminal(reply, "list-backups", NO_COLOR="1")


def test_a_dumb_terminal_gets_plain_text() -> None:
    reply = BackupListReply(backups=[samples.backup()])
    assert "\x1b" not in on_a_terminal(reply, "list-backups", TERM="dumb")
