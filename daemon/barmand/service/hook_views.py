"""Runs of hooks in the shapes of the wire, and in words."""

from collections.abc import Sequence
from datetime import UTC

from barmand.catalog.hook_runs import HookRun
from barmand.wire.hook_messages import HookRunView


def hook_run_view(run: HookRun) -> HookRunView:
    return HookRunView(
        server=run.server,
        hook=run.hook,
        subject=run.subject,
        backup_id=run.backup_id,
        attempt=run.attempt,
        test=run.is_test,
        started_at=run.started_at.astimezone(UTC),
        seconds=None if run.seconds is None else round(run.seconds, 3),
        exit_code=run.exit_code,
        outcome=run.outcome.value,
        words=run.words,
        output=run.output,
    )


def troubles(runs: Sequence[HookRun]) -> list[str]:
    """A line for each hook whose runs, newest first, did not go well; the oldest hook first."""
    last: dict[str, HookRun] = {}
    for run in runs:
        last.setdefault(run.hook, run)
    return [trouble(run) for run in reversed(last.values())]


def trouble(run: HookRun) -> str:
    tries = f" at its attempt {run.attempt}" if run.attempt > 1 else ""
    said = run.output.splitlines()
    heard = f": {said[-1]}" if said else ""
    return f"{run.hook} of {run.subject}: {run.outcome}{tries} ({run.words}){heard}"


def running(run: HookRun) -> str:
    test = ", a test" if run.is_test else ""
    since = run.started_at.astimezone(UTC)
    return f"{run.hook} of {run.subject}{test}, since {since:%Y-%m-%d %H:%M:%S} UTC"
