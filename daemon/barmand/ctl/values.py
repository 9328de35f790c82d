"""What one word of the command line may be: each takes the word and returns its value."""

import argparse
import os

from barmand.model.errors import UsageError

COUNT_LIMIT = 1_000_000_000
JOBS_LIMIT = 1000
LIST_LIMIT = 10_000
SECONDS_LIMIT = 31_536_000
"""One year. These limits are the wire's own: barmand refuses what is beyond them."""


def count(text: str, limit: int = COUNT_LIMIT) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or greater")
    if len(text) > len(str(COUNT_LIMIT)) or int(text) > limit:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {limit}")
    return int(text)


def jobs(text: str) -> int:
    return positive_count(text, JOBS_LIMIT)


def listed(text: str) -> int:
    return positive_count(text, LIST_LIMIT)


def positive_count(text: str, limit: int = COUNT_LIMIT) -> int:
    number = count(text, limit)
    if number == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or greater")
    return number


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0 or "_" in text or not text.isascii():  # "not >=" refuses NaN as well
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or greater")
    if number > SECONDS_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {SECONDS_LIMIT} seconds (a year)")
    return number


def positive_seconds(text: str) -> float:
    number = seconds(text)
    if number == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not greater than 0")
    return number


def word(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an empty word names nothing")
    return text


def reason(text: str) -> str:
    from barmand.model.reason import demand_reason  # noqa: PLC0415 - few commands have one

    try:
        demand_reason(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    return text


def one_server(name: str, command: str) -> str:
    """Raises UsageError for Barman's `all`, which no server can be named."""
    if name != "all":
        return name
    raise UsageError(
        f"{command} takes one server, not all",
        hint="For each of them: barmanctl list-servers --minimal | while read -r server; do"
        f' barmanctl {command} "$server"; done',
    )


def tablespace(text: str) -> tuple[str, str]:
    """`NAME:LOCATION`; the location is absolute, so the name, or OID, ends at the first `:/`."""
    name, begin, rest = text.partition(":/")
    if not (name and begin):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:LOCATION with an absolute LOCATION")
    return name, f"/{rest}"


def folder(text: str) -> str:
    """Absolute, seen from the caller's own folder: the daemon's is another one."""
    from pathlib import Path  # noqa: PLC0415 - too slow to load for every command

    path = Path(word(text))
    if path.is_absolute():
        return str(path)
    try:
        return str(Path(os.fsencode(Path.cwd()).decode()) / path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"no current folder: {error.strerror}") from error
    except UnicodeError as error:
        raise argparse.ArgumentTypeError("the current folder's path is not UTF-8") from error


def end_date(text: str) -> str:
    """A day, through its end, or a moment; on the caller's own clock unless it names a zone."""
    from datetime import datetime, timedelta  # noqa: PLC0415 - too slow to load for every command

    try:
        end = datetime.fromisoformat(text)
        if len(text) <= len("2027-01-31"):
            end += timedelta(days=1)
        return end.astimezone().isoformat()
    except OverflowError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is too far away for a date") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date like 2027-01-31 nor a moment like 2027-01-31T18:00"
        ) from error
