"""What the check says of hooks: without running any."""

from collections.abc import Iterator
from dataclasses import dataclass

from barmand.catalog.hook_runs import HookRun
from barmand.model.finding import Finding, failed, warned
from barmand.model.hook import AGREED, HOOKS, Hook, HookEvent, Outcome
from barmand.operations.hook_runner import HookRunner

_HOLDING = {
    "pre_archive_retry_script": "WAL is held back in incoming or streaming",
    "pre_wal_delete_retry_script": "WAL that nobody needs is kept",
}
_NOT_MEANT = {Outcome.STOPPED, Outcome.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class HookHealth:
    runner: HookRunner

    def findings(self) -> Iterator[Finding]:
        for hook, command in self.runner.commands.items():
            doubt = self.runner.program.doubt(command)
            if doubt is not None:
                yield _not_there(hook, doubt)
        for option, what in _HOLDING.items():
            run = self._holding(HOOKS[option])
            if run is not None:
                hint = (
                    f"{what}: of {run.subject} it said no ({run.words}); "
                    f"`barmanctl hook runs {run.server} {option}`"
                )
                holds_wal = HOOKS[option].event is HookEvent.ARCHIVE
                yield failed(option, hint) if holds_wal else warned(option, hint)
            elif HOOKS[option].event is HookEvent.WAL_DELETE:
                yield from self._kept(option)

    def _kept(self, option: str) -> Iterator[Finding]:
        """Unneeded WAL that is to stay: it may be meant so, and it fills the disk."""
        count = self.runner.kept() if HOOKS[option] in self.runner.commands else 0
        if count:
            what = "WAL segment that nobody needs stays"
            if count > 1:
                what = "WAL segments that nobody needs stay"
            yield warned(option, f"{count} {what} because {option} forbids their removal")

    def _holding(self, hook: Hook) -> HookRun | None:
        """Its last run, if that did not agree; that single files are to stay may be meant so."""
        if hook not in self.runner.commands:
            return None
        run = self.runner.runs.last_of(self.runner.server, hook.option)
        if run is None or run.outcome in AGREED or run.outcome in _NOT_MEANT:
            return None
        is_policy = run.outcome is Outcome.FORBADE and hook.event is HookEvent.WAL_DELETE
        return None if is_policy else run


def _not_there(hook: Hook, doubt: str) -> Finding:
    """Without a retry hook's word the event never begins; another one changes nothing."""
    if hook.can_forbid:
        return failed(hook.option, doubt, keeps_from_backup=hook.event is HookEvent.BACKUP)
    return warned(hook.option, doubt)
