"""Run the hooks around one event: in their order, within their bounds, each run recorded."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from barmand.catalog.events import Events
from barmand.catalog.hook_runs import HookRun, HookRuns
from barmand.model.errors import Failure, Refused, Stopped, StorageFailed, ToolFailed
from barmand.model.event import Event
from barmand.model.hook import (
    AGREED,
    FINAL,
    OF_WAL,
    Ended,
    Hook,
    HookEvent,
    HookPhase,
    Occasion,
    Outcome,
    Patience,
    environment,
    in_order,
    judged,
)
from barmand.model.masking import without_secrets
from barmand.operations.ports import Clock, Seconds, Stop

log = structlog.get_logger()

LAST_WORDS_SECONDS = 10.0
"""What hooks may still take, all together, after an event that a stop has ended."""
WAL_KEPT = "WAL kept by a hook"
_SHOWN_LINES = 5


class HookProgram(Protocol):
    """What runs a hook's command. Raises Stopped."""

    def run(
        self, command: str, environment: Mapping[str, str], *, timeout_seconds: float, stop: Stop
    ) -> Ended: ...

    def doubt(self, command: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """One run of a hook, to look at: without secrets."""

    environment: Mapping[str, str]
    ended: Ended
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class HookRunner:
    """`commands` has those that are set; `surroundings` are the variables that never change."""

    server: str
    commands: Mapping[Hook, str]
    surroundings: Mapping[str, str]
    program: HookProgram
    runs: HookRuns
    events: Events
    patience: Patience
    wal_patience: Patience
    now: Clock
    monotonic: Seconds
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Of the settings: hidden in what hooks print, and in what is shown of them."""

    def has(self, event: HookEvent, phase: HookPhase) -> bool:
        return any(hook in self.commands for hook in in_order(event, phase))

    def before(self, occasion: Occasion, *, stop: Stop) -> None:
        """Refused when a retry hook forbids the event, ToolFailed when one never said that it may
        begin. Raises Stopped.
        """
        for hook in self._set(occasion.event, HookPhase.PRE):
            outcome, ended = self._carry_out(hook, occasion, None, stop)
            if hook.can_forbid and outcome not in AGREED:
                failure = _failure(self.server, hook, occasion, outcome, ended)
                self._tell(hook, occasion, failure)
                raise failure

    def after(self, occasion: Occasion, error: str | None, *, stop: Stop) -> bool:
        """What these end with changes nothing. False where a stop ended them.

        An event that was stopped is told all the same, within a few seconds.
        """
        if stop.is_set():
            stop = _Grace(stop, self.monotonic() + LAST_WORDS_SECONDS, self.monotonic)
        try:
            for hook in self._set(occasion.event, HookPhase.POST):
                outcome, _ = self._carry_out(hook, occasion, error, stop)
                if outcome is Outcome.FORBADE:
                    log.warning("hook forbids what is over", hook=hook.option)
        except Stopped as stopped:
            log.warning("hooks stopped", event_of=occasion.subject, why=stopped.message)
            return False
        return True

    def attempt(
        self,
        hook: Hook,
        command: str,
        occasion: Occasion,
        error: str | None,
        *,
        stop: Stop,
        number: int = 1,
        is_test: bool = False,
    ) -> Tried:
        """Run it once. Raises Stopped."""
        told = environment(hook, self.server, self.surroundings, occasion, error)
        begun, key = self.monotonic(), self._remember(hook, occasion, number, is_test=is_test)
        limit = self._patience(hook).timeout_seconds
        try:
            ended = self.program.run(command, told, timeout_seconds=limit, stop=stop)
        except Stopped as stopped:
            words = f"ended: {stop.reason}"
            self._end(key, Outcome.STOPPED, Ended(None, words, self.monotonic() - begun))
            raise Stopped(stop.reason) from stopped
        outcome = judged(hook, ended)
        ended = replace(ended, output=without_secrets(ended.output, self.secrets))
        self._end(key, outcome, ended)
        write = {Outcome.OK: log.debug, Outcome.GAVE_UP: log.info, Outcome.FORBADE: log.info}
        write.get(outcome, log.warning)(
            "hook run" if outcome in write else "hook failed",
            hook=hook.option,
            of=occasion.subject,
            outcome=outcome.value,
            ended=ended.words,
            attempt=number,
            seconds=round(ended.seconds, 2),
            output=ended.output,
        )
        shown = {key: without_secrets(text, self.secrets) for key, text in told.items()}
        return Tried(shown, ended, outcome)

    def tell_kept(self, count: int) -> None:
        """So many segments its last whole pass left because a hook forbids their removal."""
        facts = {"segments": count}
        told = Event(at=self.now(), kind=WAL_KEPT, server=self.server, facts=facts)
        if count or self.kept():
            self.events.add_once(told)

    def kept(self) -> int:
        last = self.events.find_last(WAL_KEPT, self.server, None)
        return int(str(last["segments"])) if last is not None else 0

    def _set(self, event: HookEvent, phase: HookPhase) -> list[Hook]:
        return [hook for hook in in_order(event, phase) if hook in self.commands]

    def _carry_out(
        self, hook: Hook, occasion: Occasion, error: str | None, stop: Stop
    ) -> tuple[Outcome, Ended]:
        """Once; a retry hook until it says something final, or its tries are used up."""
        command, pauses, number = self.commands[hook], self._patience(hook).pauses(), 1
        while True:
            tried = self.attempt(hook, command, occasion, error, stop=stop, number=number)
            if not hook.is_retry or tried.outcome in FINAL:
                return tried.outcome, tried.ended
            pause = next(pauses, None)
            if pause is None:
                log.error("hook given up", hook=hook.option, of=occasion.subject, attempts=number)
                return tried.outcome, tried.ended
            if stop.wait(pause):
                raise Stopped(stop.reason)
            number += 1

    def _patience(self, hook: Hook) -> Patience:
        return self.wal_patience if hook.event in OF_WAL else self.patience

    def _tell(self, hook: Hook, occasion: Occasion, failure: Failure) -> None:
        facts = {"hook": hook.option, "of": occasion.subject, "why": failure.message}
        if hook.event is HookEvent.WAL_DELETE and isinstance(failure, Refused):
            log.info("hook keeps WAL", **facts)  # of many files perhaps, each hour: no event
            return
        told = Event(
            at=self.now(),
            kind=f"hook kept {hook.event} from beginning",
            server=self.server,
            backup_id=occasion.backup_id,
            facts=facts,
        )
        self.events.add_once(told)
        log.warning("hook keeps an event from beginning", **facts)

    def _remember(
        self, hook: Hook, occasion: Occasion, number: int, *, is_test: bool
    ) -> int | None:
        """None where the state file takes nothing: a full disk must not keep hooks from running."""
        run = HookRun(
            server=self.server,
            hook=hook.option,
            subject=occasion.subject,
            backup_id=occasion.backup_id,
            attempt=number,
            is_test=is_test,
            started_at=self.now(),
        )
        try:
            return self.runs.begin(run)
        except StorageFailed as failure:
            log.warning("hook's run not recorded", error=failure.message)
            return None

    def _end(self, key: int | None, outcome: Outcome, ended: Ended) -> None:
        if key is None:
            return
        try:
            self.runs.end(
                key,
                outcome,
                seconds=ended.seconds,
                exit_code=ended.exit_code,
                words=ended.words,
                output=ended.output,
            )
        except StorageFailed as failure:
            log.warning("hook's run not recorded", error=failure.message)


def _failure(
    server: str, hook: Hook, occasion: Occasion, outcome: Outcome, ended: Ended
) -> Failure:
    said = " | ".join(ended.output.splitlines()[-_SHOWN_LINES:])
    heard = f"It said: {said}. " if said else ""
    what = f"{hook.event.replace('_', ' ')} of {occasion.subject}"
    hint = f"{heard}`barmanctl hook runs {server} {hook.option}` shows its runs."
    if outcome is Outcome.FORBADE:
        return Refused(f"{hook.option} forbids the {what} (exit code 63)", hint=hint)
    why = f"{ended.words}, and only 0 or 62 lets it begin"
    return ToolFailed(f"{hook.option} did not agree to the {what}: it {why}", hint=hint)


@dataclass(frozen=True, slots=True)
class _Grace:
    """A stop that sets itself after a few seconds, with the reason of the one before it."""

    before: Stop
    until: float
    monotonic: Seconds
    never: threading.Event = field(default_factory=threading.Event)

    @property
    def reason(self) -> str:
        return self.before.reason

    def is_set(self) -> bool:
        return self.monotonic() >= self.until

    def wait(self, timeout: float | None = None) -> bool:
        left = max(0.0, self.until - self.monotonic())
        self.never.wait(left if timeout is None else min(timeout, left))
        return self.is_set()
