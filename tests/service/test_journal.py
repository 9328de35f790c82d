"""One event, one record: its words, its facts, and never the values of variables."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from barmand.service import journal
from barmand.service.journal import MESSAGE_IDS

CATALOG = Path(__file__).parents[2] / "systemd" / "barmand.catalog"

FAULTY = """
def connect(password):
    local = "se" + "cret-" + password
    return local / 0

def work():
    try:
        connect("s3" + "same")
    except TypeError:
        log.exception("work ended in a fault of barmand", server="main")
"""


def logged(program: str, kind: str, level: str = "DEBUG", **environment: str) -> str:
    """What a process of its own writes to stderr."""
    full = (
        "import structlog, logging\nfrom barmand.service import journal\n"
        f"journal.configure({level!r})\nlog = structlog.get_logger()\n{program}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", full],
        capture_output=True,
        check=False,
        env={**os.environ, "BARMAND_LOG": kind, **environment},
    )
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (0, b""), text
    return text


def records(program: str, level: str = "DEBUG") -> list[dict[str, object]]:
    return [json.loads(line) for line in logged(program, "json", level).splitlines()]


# ------------------------------------------------------------------------------------- the journal
def fields_of(event: dict[str, object]) -> dict[str, object]:
    """What journald gets for one event."""
    told: Any = {"level": "info", "event": "it", **event}
    for process in journal._tail("journal"):
        told = process(None, "", told)
    _, fields = told
    return dict(fields)


def test_each_fact_is_a_field_and_the_message_reads_as_a_line() -> None:
    fields = fields_of({"event": "backup copied", "server": "main", "bytes": 12, "level": "info"})
    assert fields == {
        "message": "backup copied server=main bytes=12",
        "barmand_server": "main",
        "barmand_bytes": "12",
        "priority": 6,
        "syslog_identifier": "barmand",
        "message_id": MESSAGE_IDS["backup copied"],
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)],
)
def test_a_level_is_a_priority_of_syslog(level: str, priority: int) -> None:
    assert fields_of({"level": level})["priority"] == priority


def test_an_event_without_facts_is_its_phrase() -> None:
    assert fields_of({"event": "barmand stops"})["message"] == "barmand stops"


def test_a_nul_does_not_cut_a_field_off() -> None:
    fields = fields_of({"event": "a\0b", "name": "x\0y"})
    assert fields["message"] == "ab name=xy"
    assert fields["barmand_name"] == "xy"


def test_a_fault_is_told_with_its_traceback_and_no_values() -> None:
    try:
        raise ZeroDivisionError("a bug")  # noqa: TRY301 - there must be one in the air
    except ZeroDivisionError:
        fields = fields_of({"event": "work ended in a fault of barmand", "exc_info": True})
    message = str(fields["message"])
    assert message.startswith("work ended in a fault of barmand\nTraceback (most recent call last)")
    assert message.rstrip().endswith("ZeroDivisionError: a bug")


def test_a_fault_told_later_is_told_with_its_own_traceback() -> None:
    fields = fields_of({"exc_info": ZeroDivisionError("a bug of before")})
    assert "ZeroDivisionError: a bug of before" in str(fields["message"])
    assert "NoneType" not in str(fields["message"])


def test_the_explained_events_are_those_of_the_journals_catalogue() -> None:
    assert sorted(MESSAGE_IDS.values()) == sorted(set(MESSAGE_IDS.values()))
    explained = re.findall(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), re.MULTILINE)
    assert set(MESSAGE_IDS.values()) == set(explained)


def test_without_journald_logging_to_it_ends_nothing() -> None:
    assert logged("log.info('into the void', server='main')", "journal") == ""


def test_the_journal_is_chosen_when_stderr_is_its_stream(tmp_path: Path) -> None:
    program = "from barmand.service import journal; print(journal._stderr_is_journal())"
    with (tmp_path / "stream").open("w") as stream:
        facts = os.fstat(stream.fileno())
        for told, answer in (
            (f"{facts.st_dev}:{facts.st_ino}", "True"),
            (f"{facts.st_dev}:{facts.st_ino + 1}", "False"),
            ("", "False"),
            ("nonsense", "False"),
        ):
            done = subprocess.run(
                [sys.executable, "-c", program],
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                check=True,
                env={**os.environ, "JOURNAL_STREAM": told},
            )
            assert done.stdout.strip() == answer


# --------------------------------------------------------------------------------- lines on stderr
def test_json_is_a_record_a_line() -> None:
    (record,) = records("log.warning('segment archived', server='main', bytes=12)")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(record.pop("timestamp")))
    assert record == {
        "event": "segment archived",
        "level": "warning",
        "server": "main",
        "bytes": 12,
    }


@pytest.mark.parametrize("hostile", ["a\nb", "a\0b", "\x1b[2J", '{"level": "x"}', "\u2028", "ü\t"])
def test_a_hostile_value_stays_within_its_record(hostile: str) -> None:
    (record,) = records(f"log.info('x', name={hostile!r})")
    assert record["name"] == hostile


def test_what_is_bound_is_in_every_record() -> None:
    bound, free = records(
        "with structlog.contextvars.bound_contextvars(server='main'):\n"
        "    log.info('inside')\n"
        "log.info('outside')"
    )
    assert bound["server"] == "main"
    assert "server" not in free


def test_only_what_is_grave_enough_is_told() -> None:
    told = records("log.debug('a'); log.info('b'); log.warning('c'); log.error('d')", "WARNING")
    assert [record["event"] for record in told] == ["c", "d"]


@pytest.mark.parametrize("kind", ["json", "console", "journal"])
def test_a_traceback_never_shows_the_values_of_variables(kind: str) -> None:
    # The journal's own line is shown as text: what would be sent is what is looked at.
    show = "journal.journal.send = lambda **f: __import__('sys').stderr.write(f['message'])\n"
    text = logged((show if kind == "journal" else "") + FAULTY + "work()", kind)
    assert "TypeError" in text
    assert "in connect" in text
    assert "secret-" not in text
    assert "s3same" not in text


def test_without_a_choice_and_without_journald_people_read_the_console() -> None:
    text = logged("log.info('barmand starts', version='1')", "")
    assert re.search(r"barmand starts\s+version=1", text)
    assert "\x1b" not in text


def test_what_libraries_warn_of_goes_the_same_way() -> None:
    warned, failed = records(
        "lib = logging.getLogger('apscheduler')\n"
        "lib.info('not worth it')\n"
        "lib.warning('late by %d s', 3)\n"
        "try:\n"
        "    1 / 0\n"
        "except ZeroDivisionError:\n"
        "    lib.exception('a job failed')\n"
    )
    assert (warned["event"], warned["level"], warned["logger"]) == (
        "late by 3 s",
        "warning",
        "apscheduler",
    )
    assert (failed["event"], failed["level"]) == ("a job failed", "error")
    assert "ZeroDivisionError" in str(failed["exception"])


def test_the_level_may_change_while_it_runs() -> None:
    told = records(
        "log.debug('before')\njournal.configure('WARNING')\nlog.info('after')\nlog.error('last')"
    )
    assert [record["event"] for record in told] == ["before", "last"]


def test_this_process_logs_as_it_did_before() -> None:
    assert structlog.get_config()["logger_factory"] is not journal._stderr_logger
