"""The hooks around a restore: asked before anything is written, told how it ended."""

import json
from collections.abc import Callable
from typing import TypeVar

from barmand.model.hook import HookEvent
from barmand.model.progress import Phase
from barmand.model.recovery import Target
from barmand.operations.hooks import Hooks
from barmand.operations.ports import Report, Stop
from barmand.operations.restore_plan import Plan

T = TypeVar("T")


def with_hooks(
    hooks: Hooks, plan: Plan, lay_out: Callable[[], T], *, stop: Stop, report: Report
) -> T:
    """Refused or ToolFailed, with nothing written, where a hook does not agree."""
    if not hooks.has(HookEvent.RECOVERY):
        return lay_out()
    facts = _facts(plan)
    report(Phase.AGREEING, None, None)
    hooks.before(HookEvent.RECOVERY, plan.backup, stop=stop, facts=facts)
    later = hooks.later(HookEvent.RECOVERY, plan.backup, facts)
    try:
        done = lay_out()
    except BaseException as error:
        hooks.tell(later, error, stop=stop)
        raise
    report(Phase.HOOKS, None, None)
    hooks.tell(later, stop=stop)
    return done


def _facts(plan: Plan) -> dict[str, str]:
    """Barmand lays out on its own machine: there is never a remote command."""
    places = {space.name: str(place.path) for space, place in plan.places.items()}
    options = {"target_immediate": True} if plan.target is Target.IMMEDIATE else {}
    return {
        "BARMAN_DESTINATION_DIRECTORY": str(plan.destination.path),
        "BARMAN_TABLESPACES": json.dumps(places) if places else "",
        "BARMAN_REMOTE_COMMAND": "",
        "BARMAN_RECOVER_OPTIONS": json.dumps(options),
    }
