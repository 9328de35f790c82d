"""Hooks: their names, what their exit codes mean, when they are tried again, what they are told.

The contract is Barman's. A standard hook changes nothing, whatever it ends with. A retry hook is
run until it says 0; 62 says "never mind", 63 in a hook before the event forbids the event. Where
Barman tries for ever there is a bound, and only 0 and 62 let the event begin.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from barmand.model.backup import Backup, Status

NEVER_MIND = 62
FORBIDDEN = 63
NOT_RUNNABLE = 126
NOT_FOUND = 127
LONGEST_PAUSE_SECONDS = 60.0
MOST_VALUE = 30_000
"""Characters of one variable: the kernel takes 128 KiB, and a character may be four bytes."""
MOST_TAIL = 8_000
"""Characters that are kept of what a hook printed."""
BARMAN_VERSION = "3.17.0"
"""Whose words the variables are; scripts compare it."""


class HookEvent(StrEnum):
    """What hooks stand around; `BACKUP_DONE` is barmand's own, and has none before it."""

    BACKUP = "backup"
    BACKUP_DONE = "backup_done"
    DELETE = "delete"
    ARCHIVE = "archive"
    WAL_DELETE = "wal_delete"
    RECOVERY = "recovery"


OF_WAL = frozenset({HookEvent.ARCHIVE, HookEvent.WAL_DELETE})
"""They run once for each file of WAL."""


class HookPhase(StrEnum):
    PRE = "pre"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Hook:
    event: HookEvent
    phase: HookPhase
    is_retry: bool = False

    @property
    def word(self) -> str:
        """Barman's BARMAN_HOOK: the option's name without its phase."""
        return f"{self.event}_{'retry_' if self.is_retry else ''}script"

    @property
    def option(self) -> str:
        return f"{self.phase}_{self.word}"

    @property
    def can_forbid(self) -> bool:
        return self.is_retry and self.phase is HookPhase.PRE


HOOKS: Mapping[str, Hook] = {
    hook.option: hook
    for event in HookEvent
    for phase in HookPhase
    for is_retry in (False, True)
    if (hook := Hook(event, phase, is_retry)) and (event, phase) != ("backup_done", "pre")
}
"""All there are, by the option that names their command."""


def in_order(event: HookEvent, phase: HookPhase) -> Iterator[Hook]:
    """Before the event the standard one first, after it last: the retry hook is the nearer one."""
    for is_retry in (False, True) if phase is HookPhase.PRE else (True, False):
        hook = Hook(event, phase, is_retry)
        if hook.option in HOOKS:
            yield hook


# ----------------------------------------------------------------------------------------- one run


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run of a hook's command ended. `exit_code` is None where there was none to give.

    `words` tell it to a person; `output` is the end of what it printed.
    """

    exit_code: int | None
    words: str
    seconds: float = 0.0
    output: str = ""
    timed_out: bool = False


class Outcome(StrEnum):
    """What a run came to. While it goes on it is RUNNING; INTERRUPTED when barmand died with it."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    BROKEN = "broken"
    GAVE_UP = "gave up"
    FORBADE = "forbade"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


FINAL = frozenset({Outcome.OK, Outcome.GAVE_UP, Outcome.FORBADE, Outcome.BROKEN})
"""A retry hook that came to one of these is not tried again."""
AGREED = frozenset({Outcome.OK, Outcome.GAVE_UP})
"""Only these let the event begin."""
GOOD = frozenset({Outcome.RUNNING, Outcome.OK, Outcome.GAVE_UP})


def judged(hook: Hook, ended: Ended) -> Outcome:
    """62 and 63 are words of retry hooks; a standard hook that says them has failed."""
    if ended.timed_out:
        return Outcome.TIMED_OUT
    match ended.exit_code:
        case 0:
            return Outcome.OK
        case 126 | 127:
            return Outcome.BROKEN
        case 62 if hook.is_retry:
            return Outcome.GAVE_UP
        case 63 if hook.is_retry:
            return Outcome.FORBADE
        case _:
            return Outcome.FAILED


_MEANINGS = {
    Outcome.OK: "it succeeded",
    Outcome.GAVE_UP: "62: it gave up, and does not mind",
    Outcome.FORBADE: "63: it forbids what it stands before",
    Outcome.BROKEN: "its command was not found (127) or cannot be run (126): it is not tried again",
    Outcome.TIMED_OUT: "it ran longer than its time and was ended with all that it had started",
    Outcome.FAILED: "it failed",
}


def meaning(hook: Hook, outcome: Outcome, most_tries: int) -> str:
    """What such an end means for the event, in words."""
    words = _MEANINGS.get(outcome, outcome.value)
    if outcome is Outcome.FORBADE and hook.phase is HookPhase.POST:
        return f"63: it forbids, but the {hook.event} is over: a warning, no more"
    if outcome in AGREED:
        return words
    if not hook.is_retry:
        return f"{words}; a standard hook changes nothing: a warning, no more"
    if outcome not in FINAL and most_tries > 1:
        words += f"; it is tried again, {most_tries} times in all"
    if hook.can_forbid and outcome is not Outcome.FORBADE:
        words += f"; and without 0 or 62 there is no {hook.event}"
    return words


# ------------------------------------------------------------------------------------- trying again


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one run may take, and how often a retry hook is tried again after the first time."""

    timeout_seconds: float
    retry_times: int
    first_pause_seconds: float

    def pauses(self) -> Iterator[float]:
        """Before each further try; each is twice the one before, up to a minute."""
        pause = self.first_pause_seconds
        for _ in range(self.retry_times):
            yield min(pause, max(LONGEST_PAUSE_SECONDS, self.first_pause_seconds))
            pause *= 2


# ------------------------------------------------------------------------------------------- output


def capped(tail: bytes, count: int, most: int = MOST_TAIL) -> str:
    """The end of an output of `count` bytes, which `tail` holds; marked where it is cut."""
    text = tail.decode(errors="replace").strip()
    if len(tail) == count and len(text) <= most:
        return text
    return f"[cut: the end of {count} bytes]\n{text[-most:]}"


# -------------------------------------------------------------------------------------- environment


@dataclass(frozen=True, slots=True)
class Occasion:
    """One event, and what its hooks are told of it before and after."""

    event: HookEvent
    subject: str
    """The backup's id or the file's name."""
    facts: Mapping[str, str]
    backup_id: str | None = None


def environment(
    hook: Hook,
    server: str,
    surroundings: Mapping[str, str],
    occasion: Occasion,
    error: str | None = None,
) -> dict[str, str]:
    """All that a hook is told, in Barman's words. A value is always one that can be passed on."""
    told = {
        "BARMAN_VERSION": BARMAN_VERSION,
        "BARMAN_SERVER": server,
        **surroundings,
        "BARMAN_HOOK": hook.word,
        "BARMAN_PHASE": hook.phase.value,
        "BARMAN_RETRY": "1" if hook.is_retry else "0",
        **occasion.facts,
        "BARMAN_ERROR": error or "",
    }
    return {key: _passable(value) for key, value in told.items()}


def _passable(value: str) -> str:
    return "".join("?" if _is_strange(each) else each for each in value[:MOST_VALUE])


def _is_strange(character: str) -> bool:
    """A zero, or half of a character; but such halves as stand for the bytes of a file's name."""
    is_half = "\ud800" <= character <= "\udfff"
    return character == "\0" or (is_half and not "\udc80" <= character <= "\udcff")


def status_word(backup: Backup, phase: HookPhase, event: HookEvent) -> str:
    """Barman's word. EMPTY before a backup; one that is being deleted is still what it was."""
    if event is HookEvent.BACKUP and phase is HookPhase.PRE:
        return "EMPTY"
    if backup.status is not Status.DELETING:
        return backup.status.value
    if backup.reason is not None:
        return Status.FAILED.value
    return Status.WAITING_FOR_WALS.value if backup.ended_at is None else Status.DONE.value


def segment_facts(
    name: str, path: str, size: int, timestamp: float, compression: str | None
) -> dict[str, str]:
    return {
        "BARMAN_SEGMENT": name,
        "BARMAN_FILE": path,
        "BARMAN_SIZE": str(size),
        "BARMAN_TIMESTAMP": str(timestamp),
        "BARMAN_COMPRESSION": compression or "",
    }


def neighbours(backup_id: str, others: Sequence[str]) -> tuple[str, str]:
    """The ids before and after it; empty where there is none."""
    before = [each for each in others if each < backup_id]
    after = [each for each in others if each > backup_id]
    return max(before, default=""), min(after, default="")
