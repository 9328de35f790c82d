"""`backup_schedule`: one schedule a line, each with the options of its own backups."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from barmand.model.calendar import CronSchedule, ScheduleLine
from barmand.model.errors import UsageError
from barmand.model.naming import valid_name
from barmand.model.order import Checksums, Reuse, Wish
from barmand.settings.values import FLAG, Kind, choice, refuse_unreadable, seconds, whole

_MOST_KIBIBYTES = 1_000_000_000
_TIMES = ("zone", "jitter")


@dataclass(frozen=True, slots=True)
class _Choice:
    """A field of the wish, how its value is read, and the words that mean it."""

    field: str
    kind: Kind
    words: tuple[str, ...]


def _word(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


# As `barmanctl backup` calls it, and as the settings do.
_CHOICES = (
    _Choice("immediate_checkpoint", FLAG, ("immediate_checkpoint",)),
    _Choice("reuse", choice(Reuse), ("reuse_backup",)),
    _Choice("bandwidth_limit", whole(0, _MOST_KIBIBYTES), ("bwlimit", "bandwidth_limit")),
    _Choice("jobs", whole(1, 1000), ("jobs", "parallel_jobs")),
    _Choice(
        "jobs_start_batch_size",
        whole(1, 1000),
        ("jobs_start_batch_size", "parallel_jobs_start_batch_size"),
    ),
    _Choice(
        "jobs_start_batch_period",
        seconds(1),
        ("jobs_start_batch_period", "parallel_jobs_start_batch_period"),
    ),
    _Choice("retry_times", whole(0, 1000), ("retry_times", "basebackup_retry_times")),
    _Choice("retry_sleep", seconds(), ("retry_sleep", "basebackup_retry_sleep")),
    _Choice("makes_manifest", FLAG, ("manifest", "autogenerate_manifest")),
    _Choice("manifest_checksums", choice(Checksums), ("manifest_checksums",)),
    _Choice("keepalive_seconds", seconds(), ("keepalive_interval",)),
    _Choice("check_seconds", seconds(), ("check_timeout",)),
    _Choice("incremental", Kind("a backup", _word), ("incremental",)),
)
_BY_WORD = {word: each for each in _CHOICES for word in each.words}
_WORDS = [*_TIMES, "name", *_BY_WORD]


def read(text: str) -> tuple[ScheduleLine, ...]:
    """Raises ValueError with all that is wrong, naming the lines where there are several."""
    written = [line.strip() for line in text.splitlines() if line.strip()]
    lines: list[ScheduleLine] = []
    wrong: list[str] = []
    seen: dict[str, int] = {}
    for number, words in enumerate(written, 1):
        try:
            line = _line(words)
        except ValueError as error:
            wrong.append(f"line {number}: {error}" if len(written) > 1 else str(error))
            continue
        if line.key in seen:
            wrong.append(f"line {number} has the times of line {seen[line.key]}: {line.key}")
        seen.setdefault(line.key, number)
        lines.append(line)
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(lines)


def judge(
    values: Mapping[str, Any],
    problem: Callable[[str, str], None],
    warn: Callable[[str, str], None],
) -> None:
    """What the lines ask of a server's method, once both could be read."""
    if {"backup_method", "backup_schedule"} <= values.keys():
        lines, method = values["backup_schedule"], values["backup_method"].value
        for words in problems_of(lines, method):
            problem("backup_schedule", words)
        for words in warnings_of(lines, method):
            warn("backup_schedule", words)


def problems_of(lines: Sequence[ScheduleLine], method: str) -> list[str]:
    """What the server's method cannot do of what the lines ask for, as `backup` would say it."""
    found = []
    for line in lines:
        try:
            line.wish.refuse_for(method)
        except UsageError as refusal:
            found.append(f"{line.text!r}: {refusal.message}")
    return found


def warnings_of(lines: Sequence[ScheduleLine], method: str) -> list[str]:
    return [f"{line.text!r}: {words}" for line in lines for words in line.wish.ignored_by(method)]


def _line(text: str) -> ScheduleLine:
    refuse_unreadable(text)
    times: list[str] = []
    options: dict[str, str] = {}
    for word in shlex.split(text):
        key, is_option, value = word.partition("=")
        key = key.removeprefix("--").replace("-", "_")
        if not is_option or key in _TIMES:
            times.append(word)
        elif key in options:
            raise ValueError(f"{key} stands there twice")
        else:
            options[key] = value
    schedule = CronSchedule.parse(" ".join(times))
    name = options.pop("name", None)
    return ScheduleLine(
        text=" ".join(text.split()),
        times=schedule,
        name=None if name is None else _name(name),
        wish=Wish(**_wishes(options)),
    )


def _name(text: str) -> str:
    try:
        return valid_name(text)
    except UsageError as error:
        raise ValueError(error.message) from error


def _wishes(options: Mapping[str, str]) -> dict[str, Any]:
    wishes: dict[str, Any] = {}
    for key, text in options.items():
        if key not in _BY_WORD:
            close = get_close_matches(key, _WORDS, n=1)
            more = f", did you mean {close[0]}?" if close else f": allowed are {', '.join(_WORDS)}"
            raise ValueError(f"{key} is no option of a backup{more}")
        wanted = _BY_WORD[key]
        if wanted.field in wishes:
            raise ValueError(f"{key} is another word for an option that is there already")
        try:
            wishes[wanted.field] = wanted.kind.read(text)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from error
    return wishes


ScheduleLines = Annotated[
    tuple[ScheduleLine, ...],
    Kind(
        "five cron fields, or @daily and the like; then options; one schedule a line",
        read,
        has_lines=True,
    ),
]
