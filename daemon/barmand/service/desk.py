"""Which operation answers which request.

Long because it is a table: each request once, with the desk that answers it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import structlog

from barmand.catalog.memory import Catalog
from barmand.model.backup import ACTIVE, Backup, Reason, Status
from barmand.model.errors import CheckFailed, Failure, NotFound, PostgresFailed, Refused, Stopped
from barmand.model.naming import find, valid_name
from barmand.model.order import Wish
from barmand.outside.clock import local_now
from barmand.service.awaiting import awaited, restored
from barmand.service.caller import Handed
from barmand.service.checking import Checking
from barmand.service.following import Following
from barmand.service.hook_desk import HookDesk
from barmand.service.house import House, Kit
from barmand.service.keep_desk import KeepDesk
from barmand.service.looking import Looking, keep_known
from barmand.service.processes import Processes
from barmand.service.proof_desk import MANIFEST, VERIFICATION, ProofDesk
from barmand.service.reloaded import reload_reply
from barmand.service.runner import Job, Key, Runner
from barmand.service.schedule_desk import ScheduleDesk
from barmand.service.views import Standing, backup_view
from barmand.service.wal_desk import WalDesk
from barmand.service.wish import wish_of
from barmand.wire.check_messages import CheckServer
from barmand.wire.door_messages import DoorRequest
from barmand.wire.hook_messages import HookRequest
from barmand.wire.keep_messages import KeepRequest
from barmand.wire.lines import error_view
from barmand.wire.messages import (
    AnyNote,
    AskStatus,
    BackupReply,
    BackupView,
    Cancel,
    CheckBackup,
    Delete,
    DeletedReply,
    ListBackups,
    ListServers,
    Ping,
    Problem,
    ProblemNote,
    Reload,
    Reply,
    Restore,
    ShowBackup,
    ShowServers,
    StartBackup,
    WarningNote,
)
from barmand.wire.methods import AnyRequest, BesideRequest, OwnRequest
from barmand.wire.process_messages import ProcessRequest
from barmand.wire.proof_messages import ProofRequest
from barmand.wire.schedule_messages import ScheduleRequest
from barmand.wire.stream_messages import StreamRequest
from barmand.wire.wal_messages import WalRequest

log = structlog.get_logger()

CANCEL_SECONDS = 20.0

Answer = Iterator[AnyNote | Reply | Handed | None]
"""Notes, None where nothing came for a while, and at last the reply."""


@dataclass(slots=True)
class Desk:
    """`house` is swapped as a whole by a reload."""

    house: House
    catalog: Catalog
    runner: Runner
    looking: Looking
    checking: Checking
    wal: WalDesk
    timed: ScheduleDesk
    reload_house: Callable[[], House]
    queueing: threading.Lock

    def answer(self, request: AnyRequest, who: str, file: int | None) -> Answer:
        """Raises Failure, before or between replies. `file` stays the caller's."""
        if isinstance(request, WalRequest):
            return self.wal.answer(request, self.house, who)
        if isinstance(request, DoorRequest):
            return self.wal.answer_at_the_door(request, self.house, file)
        if isinstance(request, StreamRequest):
            return self.wal.answer_stream(request, self.house, who)
        return self._answer_beside(request, who)

    def _answer_beside(self, request: OwnRequest | BesideRequest, who: str) -> Answer:
        """Those that have a desk of their own."""
        if isinstance(request, CheckServer):
            names = self.looking.expand(request.servers, self.house)
            return self.checking.answer(request, names, self.house)
        if isinstance(request, KeepRequest):
            return KeepDesk(self.catalog, self.runner).answer(request, self.house, who)
        if isinstance(request, ProcessRequest):
            return iter([self._processes(who).answer(request, self.house, who)])
        if isinstance(request, HookRequest):
            return HookDesk(self.catalog, self.runner).answer(request, self.house)
        if isinstance(request, ScheduleRequest):
            return self.timed.answer(request, self.house)
        if isinstance(request, ProofRequest):
            return ProofDesk(self.runner, self.looking).answer(request, self.house, who)
        return self._answer(request, who)

    def _answer(self, request: OwnRequest, who: str) -> Answer:
        match request:
            case StartBackup():
                yield from self._backup(request, who)
            case Cancel():
                yield self._cancel(request, who)
            case CheckBackup():
                yield self._check_backup(request)
            case Delete():
                yield from self._delete(request, who)
            case Restore():
                kit = self.house.known_kit(request.server)
                backup = self._find(request.server, request.backup)
                yield from restored(kit, backup, request, self.runner)
            case Reload():
                yield self._reload()
            case (
                Ping() | AskStatus() | ListBackups() | ShowBackup() | ListServers() | ShowServers()
            ):
                yield self.looking.answer(request, self.house)
            case _:
                assert_never(request)

    def queue(
        self, kit: Kit, *, name: str | None, who: str, shares_name: bool = False
    ) -> tuple[Backup, Job]:
        """Queue a backup of one server: where requests and schedules meet. Raises Refused."""
        with self.queueing:
            backup = self.catalog.backups.queue(
                kit.name,
                method=kit.method,
                name=name,
                requester=who,
                now=local_now(),
                shares_name=shares_name,
            )
            return backup, self.runner.enlist(key_of(backup))

    def begin(
        self, queued: Sequence[tuple[Kit, Backup, Job]], wish: Wish, request: str | None = None
    ) -> None:
        """Take queued backups when their turn comes; what has one `request` shares its turns."""
        for kit, backup, job in queued:
            self.runner.queue(
                job,
                _taking(kit, backup, wish, self.runner),
                host=kit.host,
                request=request or f"{queued[0][1].server} {queued[0][1].id}",
            )

    # -------------------------------------------------------------------------------- one request
    def _backup(self, request: StartBackup, who: str) -> Answer:
        wish = wish_of(request)
        if request.name is not None:
            valid_name(request.name)
        following = Following(self.catalog, self.runner, request.follow, request.wait_timeout)
        queued: list[tuple[Kit, Backup, Job]] = []
        for server in self.looking.expand(request.servers, self.house):
            if "all" in request.servers and self.house.is_inactive(server):
                yield WarningNote(server=server, message="skipped: it is inactive")
                continue
            try:
                kit = self.house.working_kit(server)
                wish.refuse_for(kit.method)
                for words in wish.ignored_by(kit.method):
                    yield WarningNote(server=server, message=words)
                queued.append((kit, *self.queue(kit, name=request.name, who=who)))
            except Failure as failure:
                view = error_view(failure)
                following.problems.append(Problem(server=server, error=view))
                yield ProblemNote(server=server, error=view)
        if queued:
            self.begin(queued, wish)
        yield from following.notes([backup for _, backup, _ in queued])
        yield following.result()

    def _cancel(self, request: Cancel, who: str) -> Reply:
        self.house.known_kit(request.server)
        backup, key = self._to_cancel(request)
        self._end(key, f"cancelled by {who}", who)
        backup = self._left_of(backup)
        standing, progress = Standing(keep_known(backup, self.house)), self.runner.progress(key)
        return BackupReply(backup=backup_view(backup, self.catalog, progress, standing=standing))

    def _processes(self, who: str) -> Processes:
        end = partial(self._end, who=who)
        return Processes(self.runner, self.wal.receivers, end)

    def _end(self, key: Key, reason: str, who: str) -> bool:
        """Stop a job and wait a while for its end: has it come? Raises Refused."""
        with self.queueing:
            withdrawn = self.runner.withdraw(key, reason)
            if withdrawn is None:
                raise Refused(f"{key.deed} {key.backup_id} of {key.server} is not being worked on")
            if withdrawn and key.deed == "backup":
                backup = self.catalog.backups.get(key.server, key.backup_id)
                restart = self.house.known_kit(key.server).restart
                restart.record.fail(backup, Reason.of(Stopped(reason)), actor=who)
        log.info("cancelled", server=key.server, backup_id=key.backup_id, deed=key.deed, by=who)
        # It is answered once the work has ended, as a rule: programs get their grace.
        self.runner.wait_for_end(key, CANCEL_SECONDS)
        return not self.runner.has(key)

    def _left_of(self, backup: Backup) -> Backup:
        try:
            return self.catalog.backups.get(backup.server, backup.id)
        except NotFound as gone:
            raise Refused(
                f"backup {backup.id} of {backup.server} was deleted before that could be stopped"
            ) from gone

    def _to_cancel(self, request: Cancel) -> tuple[Backup, Key]:
        """The backup named (or what else is done with it, if that runs), else the active one."""
        if request.backup is not None:
            backup = self._find(request.server, request.backup)
            for deed in ("restore", "delete", VERIFICATION, MANIFEST):
                key = Key(deed, backup.server, backup.id)
                if self.runner.has(key):
                    return backup, key
            return backup, key_of(backup)
        for backup in self.catalog.backups.of_server(request.server):
            if backup.status in ACTIVE:
                return backup, key_of(backup)
        raise NotFound(f"server {request.server} has no backup under way")

    def _check_backup(self, request: CheckBackup) -> Reply:
        kit = self.house.known_kit(request.server)
        backup = kit.archive.look_at(self._find(request.server, request.backup))
        view = self.looking.view(backup, self.house)
        return BackupReply(backup=view, exit_code=_verdict(view))

    def _delete(self, request: Delete, who: str) -> Answer:
        kit = self.house.known_kit(request.server)
        backup = self._find(request.server, request.backup, only=True)
        removed = yield from awaited(
            self.runner,
            Key("delete", backup.server, backup.id),
            lambda job: kit.delete.run(backup, actor=who, stop=job.stop),
        )
        left = self.catalog.backups.of_server(backup.server)
        if backup.status is Status.DONE and not any(each.status is Status.DONE for each in left):
            words = f"it was the last one that was DONE: {backup.server} has no backup to restore"
            yield WarningNote(server=backup.server, message=words)
        yield DeletedReply(server=backup.server, backup_id=backup.id, removed_wals=removed)

    def _reload(self) -> Reply:
        return reload_reply(self.reload_house())

    def _find(self, server: str, word: str, *, only: bool = False) -> Backup:
        self.house.known_kit(server)
        return find(self.catalog.backups.of_server(server), server, word, only=only)


def _verdict(view: BackupView) -> int:
    if view.error is not None:
        return view.error.exit_code
    if view.damages:
        return PostgresFailed.exit_code
    is_safe = view.status == Status.DONE and not view.missing_wal_count
    return 0 if is_safe else CheckFailed.exit_code


def key_of(backup: Backup) -> Key:
    return Key("backup", backup.server, backup.id)


def _taking(kit: Kit, backup: Backup, wish: Wish, runner: Runner) -> Callable[[Job], None]:
    def take(job: Job) -> None:
        kit.take.run(backup, wish.onto(kit.order), stop=job.stop, report=runner.reporter(job))

    return take
