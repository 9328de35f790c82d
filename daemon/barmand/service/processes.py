"""What is being worked on for a server, and its end on demand: Barman's list-processes.

The work is the daemon's own, so these are its jobs, its chores and its receiver, whether or not one
of them has a program running at the moment.
"""

from dataclasses import dataclass
from datetime import datetime

from barmand.model.errors import NotFound, Refused, UsageError
from barmand.service.cancelling import Cancelling
from barmand.service.house import House
from barmand.service.job import Key
from barmand.service.receivers import Receivers
from barmand.service.runner import Runner
from barmand.service.views import progress_view
from barmand.wire.messages import Reply
from barmand.wire.process_messages import (
    ListProcesses,
    ProcessesReply,
    ProcessRequest,
    ProcessView,
    TerminatedReply,
    TerminateProcess,
)

RECEIVE = "receive-wal"
BARMAN_WORDS = {"archive": "archive-wal", "compare": "compare-archive", "prune": "prune-wal"}
"""Of chores that are called otherwise here."""


@dataclass(frozen=True, slots=True)
class Processes:
    runner: Runner
    receivers: Receivers
    cancelling: Cancelling

    def answer(self, request: ProcessRequest, house: House, who: str) -> Reply:
        match request:
            case ListProcesses():
                house.known_kit(request.server)
                return ProcessesReply(server=request.server, processes=self._of(request.server))
            case TerminateProcess():
                house.known_kit(request.server)
                return self._terminate(request, who)

    def _of(self, server: str) -> list[ProcessView]:
        jobs = [
            ProcessView(
                id=_id(key),
                task=key.deed,
                backup_id=key.backup_id or None,
                since=since,
                phase=progress.phase.value,
                progress=progress_view(progress),
            )
            for key, progress, since in self.runner.jobs_of(server)
        ]
        return [*jobs, *self._chores(server), *self._receiver(server)]

    def _chores(self, server: str) -> list[ProcessView]:
        return [
            _view(BARMAN_WORDS.get(chore.kind, chore.kind), "at work", since=each.since)
            for chore, each in self.runner.chores().items()
            if chore.server == server
        ]

    def _receiver(self, server: str) -> list[ProcessView]:
        state = self.receivers.state(server)
        return [] if state is None else [_view(RECEIVE, state.state.value, since=state.since)]

    def _terminate(self, request: TerminateProcess, who: str) -> Reply:
        process = _chosen(self._of(request.server), request)
        server, reason = request.server, f"terminated by {who}"
        if process.task == RECEIVE:
            with self.receivers.paused(server, reason):
                pass
            hint = f"It begins again; `barmanctl receive-wal {server} --stop` ends it for good."
            return TerminatedReply(server=server, process=process, ended=True, hint=hint)
        if process.progress is None:
            raise Refused(
                f"{process.task} of {server} is a chore of the daemon, and ends by itself",
                hint="What hangs in it takes nothing from other servers. `active = false` and "
                "`barmanctl reload` keep a server's chores from beginning again.",
            )
        key = Key(process.task, server, process.backup_id or "")
        ended = self.cancelling.end(key, reason, who)
        return TerminatedReply(server=server, process=process, ended=ended, hint=None)


def _chosen(processes: list[ProcessView], request: TerminateProcess) -> ProcessView:
    found = [each for each in processes if request.task in (each.id, each.task)]
    if not found:
        raise NotFound(
            f"server {request.server} has no process {request.task!r}",
            hint=f"`barmanctl list-processes {request.server}` names them.",
        )
    if len(found) > 1:
        raise UsageError(
            f"server {request.server} has several of {request.task!r}",
            hint=f"Say which: {', '.join(each.id for each in found)}.",
        )
    return found[0]


def _id(key: Key) -> str:
    return f"{key.deed}/{key.backup_id}" if key.backup_id else key.deed


def _view(task: str, phase: str, *, since: datetime) -> ProcessView:
    return ProcessView(id=task, task=task, backup_id=None, since=since, phase=phase, progress=None)
