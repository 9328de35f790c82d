"""A caller waits for one piece of work and hears how far it is."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from barmand.model.backup import Backup
from barmand.model.errors import Failure, Refused, Stopped, UsageError
from barmand.model.recovery import Target
from barmand.service.following import TICK_SECONDS
from barmand.service.house import Kit
from barmand.service.job import Job, Key
from barmand.service.runner import Runner
from barmand.service.views import progress_view
from barmand.wire.messages import AnyNote, ProgressNote, Reply, Restore, RestoredReply, WarningNote

log = structlog.get_logger()

T = TypeVar("T")


def awaited(
    runner: Runner, key: Key, work: Callable[[Job], T], *, tells: bool = True
) -> Generator[AnyNote | None, None, T]:
    """Have `work` done at once; notes on its progress, then its result or its failure.

    Not `tells`: no notes.
    """
    awaited_for = Awaited(key, runner.enlist(key), work)
    runner.apart(awaited_for.job, awaited_for.perform)
    return (yield from awaited_for.followed(runner, tells=tells))


@dataclass(slots=True)
class Awaited(Generic[T]):
    """One piece of work, and what comes of it."""

    key: Key
    job: Job
    work: Callable[[Job], T]
    outcome: Future[T] = field(default_factory=Future)

    def perform(self, job: Job) -> None:
        try:
            self.outcome.set_result(self.work(job))
        except Refused as refusal:  # an answer to its requester; nothing went wrong
            self.outcome.set_exception(refusal)
        except Failure as failure:
            log.error(f"{self.key.deed} failed", code=failure.kind, error=failure.message)  # noqa: TRY400, G004 - the deed is a constant of ours
            self.outcome.set_exception(failure)
        except BaseException as error:
            self.outcome.set_exception(error)
            raise

    def followed(self, runner: Runner, *, tells: bool = True) -> Generator[AnyNote | None, None, T]:
        """Notes on its progress, then its result or its failure."""
        for note in _progress(runner, self.job, self.outcome):
            yield note if tells else None
        if not self.outcome.done():
            raise Stopped(self.job.stop.reason)
        return self.outcome.result()


def _progress(
    runner: Runner, job: Job, outcome: Future[T]
) -> Generator[AnyNote | None, None, None]:
    told = None
    while runner.has(job.key) and not outcome.done():
        progress = runner.progress(job.key)
        if progress is not None and progress != told:
            told = progress
            yield ProgressNote(
                server=job.key.server,
                backup_id=job.key.backup_id,
                progress=progress_view(progress),
            )
        yield None
        runner.wait_for_end(job.key, TICK_SECONDS)


def restored(
    kit: Kit, backup: Backup, request: Restore, runner: Runner
) -> Generator[AnyNote | Reply | None, None, None]:
    """Answer a restore request: judged before anything is written, then followed to its end."""
    target = Target.IMMEDIATE if request.target_immediate else Target.END_OF_WAL
    if not Path(request.destination).is_absolute():
        raise UsageError(f"the destination must be an absolute path: {request.destination!r}")
    if not request.accept_damage:
        kit.restore.demand_sound(backup)
    plan = kit.restore.plan(backup, Path(request.destination), target, request.tablespaces)
    for words in kit.restore.warnings(plan):
        yield WarningNote(server=kit.name, message=words)
    done = yield from awaited(
        runner,
        Key("restore", backup.server, backup.id),
        lambda job: kit.restore.run(plan, stop=job.stop, report=runner.reporter(job)),
    )
    for words in done.warnings:
        yield WarningNote(server=kit.name, message=words)
    yield RestoredReply(
        server=backup.server,
        backup_id=backup.id,
        destination=request.destination,
        target=target.value,
        size_bytes=done.size,
        wal_segments=done.segments,
        seconds=round(done.seconds, 3),
    )
