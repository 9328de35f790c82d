"""Which operation answers which request about hooks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from barmand.catalog.memory import Catalog
from barmand.model.errors import NotFound, Refused, Stopped, ToolFailed
from barmand.model.hook import GOOD, HOOKS, Hook, meaning
from barmand.model.masking import without_secrets
from barmand.operations.hook_samples import sample
from barmand.service.awaiting import awaited
from barmand.service.hook_views import hook_run_view
from barmand.service.house import House, Kit
from barmand.service.job import Job, Key
from barmand.service.runner import Runner
from barmand.wire.hook_messages import (
    HookRequest,
    HookRuns,
    HookRunsReply,
    HookTest,
    HookTestedReply,
)
from barmand.wire.messages import AnyNote, Reply


@dataclass(frozen=True, slots=True)
class HookDesk:
    catalog: Catalog
    runner: Runner

    def answer(self, request: HookRequest, house: House) -> Iterator[AnyNote | Reply | None]:
        match request:
            case HookRuns():
                yield self._runs(request, house)
            case HookTest():
                yield from self._test(house.kit(request.server), request)
            case _:
                assert_never(request)

    def _runs(self, request: HookRuns, house: House) -> Reply:
        house.kit(request.server)
        hook = None if request.hook is None else _known(request.hook).option
        runs = self.catalog.hook_runs.latest(request.server, hook, request.limit)
        return HookRunsReply(server=request.server, runs=[hook_run_view(run) for run in runs])

    def _test(self, kit: Kit, request: HookTest) -> Iterator[AnyNote | Reply | None]:
        hook, runner = _known(request.hook), kit.hooks.runner
        command = runner.commands.get(hook)
        if command is None:
            others = ", ".join(each.option for each in runner.commands)
            raise Refused(
                f"{hook.option} is not set for {kit.name}",
                hint=f"Set are: {others}." if others else f"No hook is set for {kit.name}.",
            )
        occasion, error = sample(kit.hooks, hook)

        def work(job: Job) -> HookTestedReply:
            try:
                tried = runner.attempt(hook, command, occasion, error, stop=job.stop, is_test=True)
            except Stopped as stopped:  # no failure: nothing else was to be done
                raise Refused(f"the test of {hook.option} ended: {stopped.message}") from stopped
            is_good = tried.outcome in GOOD
            return HookTestedReply(
                server=kit.name,
                hook=hook.option,
                command=without_secrets(command, kit.secrets),
                environment=dict(tried.environment),
                seconds=round(tried.ended.seconds, 3),
                exit_code_of_hook=tried.ended.exit_code,
                outcome=tried.outcome.value,
                words=tried.ended.words,
                meaning=meaning(hook, tried.outcome, runner.patience.retry_times + 1),
                output=tried.ended.output,
                exit_code=0 if is_good else ToolFailed.exit_code,
            )

        key = Key(f"hook-test {hook.option}", kit.name, "")
        try:
            yield (yield from awaited(self.runner, key, work, tells=False))
        except GeneratorExit:
            self.runner.withdraw(key, "nobody waits for the test any more")
            raise


def _known(word: str) -> Hook:
    """By its option's name, which may also lack its end."""
    for name in (word, f"{word}_script"):
        if name in HOOKS:
            return HOOKS[name]
    raise NotFound(f"there is no hook {word!r}", hint=f"There are {', '.join(HOOKS)}.")
