"""Follow backups on their way: what `barmanctl backup` shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from barmand.catalog.memory import Catalog
from barmand.model.backup import ACTIVE, Backup, Status
from barmand.model.errors import NotFound, PostgresFailed, Stopped, WaitTimeout
from barmand.model.progress import Phase, Progress
from barmand.operations.closing import NOT_CLOSED
from barmand.outside.clock import monotonic
from barmand.service.hook_views import troubles
from barmand.service.job import Key
from barmand.service.runner import Runner
from barmand.service.views import backup_view, progress_view
from barmand.wire.lines import error_view
from barmand.wire.messages import (
    AnyNote,
    BackupNote,
    BackupsReply,
    BackupView,
    Problem,
    ProblemNote,
    ProgressNote,
    WarningNote,
)

TICK_SECONDS = 0.5

Follow = Literal["queued", "copied", "done"]


@dataclass(slots=True)
class Watched:
    """One backup as its watcher last saw it."""

    key: Key
    status: Status | None = None
    progress: Progress | None = None
    deadline: float | None = None
    is_over: bool = False
    view: BackupView | None = None
    is_copied: bool = False


@dataclass(slots=True)
class Following:
    """A conversation's state: what was asked for, what came of it."""

    catalog: Catalog
    runner: Runner
    follow: Follow
    wait_timeout: float | None
    problems: list[Problem] = field(default_factory=list)

    def notes(self, backups: Sequence[Backup]) -> Iterator[AnyNote | None]:
        """Each change as it comes; None where nothing came for a while. Then `result`."""
        self.watched = [Watched(Key("backup", each.server, each.id)) for each in backups]
        while True:
            seen = self.catalog.bell.count
            for watched in self.watched:
                if not watched.is_over:
                    yield from self._look(watched)
            if all(watched.is_over for watched in self.watched):
                return
            if self.runner.stopping.is_set():
                raise Stopped(
                    self.runner.stopping.reason,
                    hint="`barmanctl list-backups` tells what became of the backups.",
                )
            yield None
            self.catalog.bell.wait(seen, TICK_SECONDS)

    def result(self) -> BackupsReply:
        views = [watched.view for watched in self.watched if watched.view is not None]
        codes = [problem.error.exit_code for problem in self.problems]
        codes += [view.error.exit_code for view in views if view.error is not None]
        return BackupsReply(backups=views, problems=self.problems, exit_code=next(iter(codes), 0))

    watched: list[Watched] = field(default_factory=list)

    def _look(self, watched: Watched) -> Iterator[AnyNote]:
        key = watched.key
        try:
            backup = self.catalog.backups.get(key.server, key.backup_id)
        except NotFound as error:
            watched.is_over = True
            yield self._problem(key.server, error)
            return
        # Looked at second: hooks are told to run before the status that they run in.
        progress = self._progress(backup)
        runs_hooks = progress is not None and progress.phase is Phase.HOOKS
        if backup.status is not watched.status:
            watched.status = backup.status
            if backup.status is not Status.STARTED:  # its phases are told by notes of their own
                watched.progress = progress
            watched.view = backup_view(backup, self.catalog, progress)
            yield BackupNote(backup=watched.view)
            if backup.copied is not None and not watched.is_copied:
                watched.is_copied = True
                yield from self._damages(backup)
                yield from self._not_closed(backup)
        if self._is_over(backup.status) and not (runs_hooks and self.follow != "queued"):
            watched.is_over = True
            watched.view = backup_view(backup, self.catalog, progress)
            yield from self._hooks(backup)
        if backup.status is Status.WAITING_FOR_WALS and not watched.is_over:
            yield from self._late(watched, backup)
        if progress is not None and progress != watched.progress:
            watched.progress = progress
            yield ProgressNote(
                server=key.server, backup_id=key.backup_id, progress=progress_view(progress)
            )

    def _progress(self, backup: Backup) -> Progress | None:
        progress = self.runner.progress(Key("backup", backup.server, backup.id))
        runs_hooks = progress is not None and progress.phase is Phase.HOOKS
        if backup.status is Status.WAITING_FOR_WALS and not runs_hooks:
            return Progress(Phase.WAITING_FOR_WAL)
        return progress

    def _damages(self, backup: Backup) -> Iterator[AnyNote]:
        """A copy of a damaged cluster is kept, and never passes for clean."""
        damages = backup.copied.damages if backup.copied else ()
        if damages:
            count = sum(len(each.blocks) for each in damages)
            first = damages[0]
            where = f"first block {first.blocks[0]} of {first.path}" if first.blocks else first.path
            yield self._problem(
                backup.server,
                PostgresFailed(
                    f"backup {backup.id} of {backup.server}: {count} bad page(s) in the cluster "
                    f"itself, {where}",
                    hint="`barmanctl show-backup` lists them all. The backup is kept as it is; "
                    "an older one may have these pages whole.",
                ),
            )

    def _hooks(self, backup: Backup) -> Iterator[AnyNote]:
        """What did not go well, though it changes nothing."""
        for words in troubles(self.catalog.hook_runs.bad_of(backup.server, backup.id)):
            yield WarningNote(server=backup.server, message=words)

    def _not_closed(self, backup: Backup) -> Iterator[AnyNote]:
        """Its wait may be long, and the requester can end it."""
        facts = self.catalog.events.find_last(NOT_CLOSED, backup.server, backup.id)
        if facts is not None:
            words = f"{facts['error']}. {facts['hint']}"
            yield WarningNote(server=backup.server, message=words)

    def _is_over(self, status: Status) -> bool:
        if self.follow == "queued":
            return True
        return status not in ACTIVE and (
            self.follow == "copied" or status is not Status.WAITING_FOR_WALS
        )

    def _late(self, watched: Watched, backup: Backup) -> Iterator[AnyNote]:
        """The wait for WAL may be bounded; the backup itself goes on waiting."""
        if self.wait_timeout is None:
            return
        watched.deadline = watched.deadline or monotonic() + self.wait_timeout
        if monotonic() < watched.deadline:
            return
        watched.is_over = True
        watched.view = backup_view(backup, self.catalog, None)
        names = ", ".join((watched.view.missing_wals or [])[:3])
        yield self._problem(
            backup.server,
            WaitTimeout(
                f"backup {backup.id} of {backup.server} still waits for WAL: {names}",
                hint="It becomes DONE by itself once they arrive.",
            ),
        )

    def _problem(self, server: str, error: Exception) -> ProblemNote:
        view = error_view(error)
        self.problems.append(Problem(server=server, error=view))
        return ProblemNote(server=server, error=view)
