"""Ask about many things side by side, none of which may hold the others up.

What is asked may never answer: a file system whose server is gone, a PostgreSQL that is stopped, an
ssh that hangs. A thread at such a thing cannot be ended, only left behind; so there is one line a
thing, and who comes later waits in it, no longer than for an answer.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from barmand.model.errors import Failure
from barmand.model.finding import Finding, failed
from barmand.operations.ports import Stop, heed

log = structlog.get_logger()

_LOOK_SECONDS = 0.2
SILENT = "see what hangs there; if it is only slow, raise `check_timeout` (--check-timeout)"


@dataclass(frozen=True, slots=True)
class Item:
    """`ask` may raise Failure, or never come back: then the finding has this `name`."""

    name: str
    ask: Callable[[Stop], Iterable[Finding]]
    keeps_from_backup: bool = False
    """Does silence?"""


@dataclass(frozen=True, slots=True)
class Group:
    """Items that wait for one thing, and are asked one after another."""

    thing: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Of one server, for the daemon's whole life: who is at which thing."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _lines: dict[str, threading.Lock] = field(default_factory=dict)

    def of(self, thing: str) -> threading.Lock:
        with self._lock:
            return self._lines.setdefault(thing, threading.Lock())


def ask_all(groups: Sequence[Group], lines: Lines, seconds: float, stop: Stop) -> list[Finding]:
    """What each group found, in their order. None takes longer than `seconds`; 0 is without end.

    Raises Stopped, and leaves behind what still waits.
    """
    inquiries = [_Inquiry(group, lines.of(group.thing), seconds) for group in groups]
    try:
        for inquiry in inquiries:
            inquiry.begin()
        return [finding for inquiry in inquiries for finding in inquiry.end(stop)]
    finally:
        for inquiry in inquiries:
            inquiry.leave()


def unanswered(name: str, failure: Failure, *, keeps_from_backup: bool = False) -> Finding:
    """A question that fails is a finding too."""
    words = f"{failure.message} ({failure.hint})" if failure.hint else failure.message
    return failed(name, words, keeps_from_backup=keeps_from_backup)


class _GivenUp(threading.Event):
    """Tells a program that is run for an answer to end."""

    reason = "nobody waits for its answer any more"


class _Inquiry:
    """One group, asked in a thread of its own."""

    def __init__(self, group: Group, line: threading.Lock, seconds: float) -> None:
        self._group = group
        self._line = line
        self._seconds = seconds
        self._begun = time.monotonic()
        self._answers: list[list[Finding]] = []
        self._is_over = threading.Event()
        self._given_up = _GivenUp()

    def begin(self) -> None:
        threading.Thread(target=self._run, name=f"asks {self._group.thing}", daemon=True).start()

    def end(self, stop: Stop) -> list[Finding]:
        while not self._is_over.wait(_LOOK_SECONDS) and not self._is_late():
            heed(stop)
        answers = list(self._answers)
        found = [finding for answer in answers for finding in answer]
        return found + self._silences(self._group.items[len(answers) :])

    def leave(self) -> None:
        self._given_up.set()

    def _run(self) -> None:
        # Who is before us may never come back; then there must not be one more at each check.
        while not self._line.acquire(timeout=_LOOK_SECONDS):
            if self._given_up.is_set():
                return
        try:
            for item in self._group.items:
                answer = self._answer(item)
                if self._given_up.is_set() or self._is_late():
                    return
                self._answers.append(answer)
        finally:
            self._line.release()
            self._is_over.set()

    def _answer(self, item: Item) -> list[Finding]:
        try:
            return list(item.ask(self._given_up))
        except Failure as failure:
            return [unanswered(item.name, failure, keeps_from_backup=item.keeps_from_backup)]
        except Exception:
            # One item that we cannot judge must not cost the other ones.
            log.exception("check ended in a fault of barmand", item=item.name)
            words = "a fault of barmand: its journal has the traceback"
            return [failed(item.name, words, keeps_from_backup=item.keeps_from_backup)]

    def _is_late(self) -> bool:
        return bool(self._seconds) and time.monotonic() - self._begun >= self._seconds

    def _silences(self, items: Sequence[Item]) -> list[Finding]:
        found: list[Finding] = []
        for item in items:
            words = f"not looked at, for {items[0].name} gave no answer"
            if item is items[0]:
                words = f"timed out after {self._seconds:g} s: {SILENT}"
            found.append(failed(item.name, words, keeps_from_backup=item.keeps_from_backup))
        return found
