"""structlog to journald: its native protocol under systemd, else lines on stderr.

`BARMAND_LOG` (journal, console or json) chooses; without it, journald when stderr is its stream.
"""

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from enum import Enum

import structlog
from cysystemd import journal

from barmand.model.masking import hidden

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

MESSAGE_IDS = {
    "backup started": "a92c19a756ce4ccfa17806ee502d8857",
    "backup copied": "fef418e6d9c0435685855d1557647e7e",
    "backup done": "cca24c54ce96470397e79d79446ae792",
    "backup failed": "7e1c254f791c4e639ee99730ada10a56",
    "backup waits for WAL": "ad08a2b0041c4e0780d8488f24f57f74",
    "backup found damaged": "91108fb076384cb781ad1f117c30bb4a",
    "WAL streaming interrupted": "70df939d621e4d499f1ea4f560e08bfe",
    "hook keeps an event from beginning": "0dde5d8b48174c71a28e5fa51ac1aab2",
    "settings not changed": "ac44e29813b34311899c318ad0cd63bd",
    "check FAILED": "83b60970aa984bd7aea9e05112ca415e",
}
"""What systemd/barmand.catalog explains to a reader of `journalctl -x`, by the event's phrase."""


def configure(level: str) -> None:
    """Once, before the first thread; again to change the level."""
    kind = os.environ.get("BARMAND_LOG") or ("journal" if _stderr_is_journal() else "console")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _without_secrets,
    ]
    structlog.configure(
        processors=[*shared, *_tail(kind)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=_journal_logger if kind == "journal" else _stderr_logger,
        cache_logger_on_first_use=False,
    )
    _quiet_libraries()


def _without_secrets(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """The last door: what looks like a secret is in no line, whoever wrote it there."""
    for key, value in event.items():
        if isinstance(value, str | list | tuple | dict) and not isinstance(value, Enum):
            event[key] = hidden(value, frozenset())
    return event


def _tail(kind: str) -> list[structlog.typing.Processor]:
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=kind == "json")
    match kind:
        case "journal":
            return [structlog.processors.format_exc_info, _journal_fields]
        case "json":
            return [
                stamp,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ]
        case _:
            return [stamp, _console()]


def _console() -> structlog.dev.ConsoleRenderer:
    """Tracebacks without the values of variables: those may be secrets."""
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _stderr_is_journal() -> bool:
    """Is it? systemd names the device and inode of the stream that it gave us."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    facts = os.fstat(2)
    return (device, inode) == (str(facts.st_dev), str(facts.st_ino))


def _stderr_logger(*_: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)


class _JournalLogger:
    def msg(self, **fields: str) -> None:
        journal.send(**fields)

    debug = info = warning = error = critical = msg


def _journal_logger(*_: object) -> _JournalLogger:
    return _JournalLogger()


def _journal_fields(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> tuple[tuple[()], dict[str, object]]:
    """The message reads as a line; each fact is a field of its own besides, BARMAND_<NAME>."""
    level, phrase = str(event.pop("level")), str(event.pop("event"))
    traceback = event.pop("exception", None)
    words = " ".join(f"{key}={value}" for key, value in event.items())
    fields: dict[str, object] = {
        f"barmand_{key}": str(value).replace("\0", "") for key, value in event.items()
    }
    message = f"{phrase} {words}".strip()
    if traceback is not None:
        message += f"\n{traceback}"
    fields |= {
        "message": message.replace("\0", ""),
        "priority": _PRIORITIES[level],
        "syslog_identifier": "barmand",
    }
    if phrase in MESSAGE_IDS:
        fields["message_id"] = MESSAGE_IDS[phrase]
    return (), fields


class _ToStructlog(logging.Handler):
    """What libraries log goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        tell: Callable[..., object] = (
            logger.error if record.levelno >= logging.ERROR else logger.warning
        )
        tell(record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _quiet_libraries() -> None:
    root = logging.getLogger()
    root.handlers = [_ToStructlog(logging.WARNING)]
    root.setLevel(logging.WARNING)
