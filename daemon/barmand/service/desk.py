"""Which operation answers which request."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from barmand.catalog.memory import Catalog
from barmand.model.backup import Backup, Status
from barmand.model.errors import CheckFailed, Failure, PostgresFailed
from barmand.model.naming import find, valid_name
from barmand.model.order import Wish
from barmand.outside.clock import local_now
from barmand.service.awaiting import awaited, restored
from barmand.service.caller import Handed
from barmand.service.cancelling import Cancelling
from barmand.service.checking import Checking
from barmand.service.following import Following
from barmand.service.hook_desk import HookDesk
from barmand.service.house import House, Kit
from barmand.service.job import Job, Key, key_of
from barmand.service.keep_desk import KeepDesk
from barmand.service.looking import Looking
from barmand.service.processes import Processes
from barmand.service.proof_desk import ProofDesk
from barmand.service.reloaded import reload_reply
from barmand.service.runner import Runner
from barmand.service.schedule_desk import ScheduleDesk
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
            processes = Processes(self.runner, self.wal.receivers, self._cancelling)
            return iter([processes.answer(request, self.house, who)])
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
                yield self._cancelling.cancel(request, who)
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

    @property
    def _cancelling(self) -> Cancelling:
        return Cancelling(self.catalog, self.runner, self.queueing, self.looking, self.house)

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


def _taking(kit: Kit, backup: Backup, wish: Wish, runner: Runner) -> Callable[[Job], None]:
    def take(job: Job) -> None:
        kit.take.run(backup, wish.onto(kit.order), stop=job.stop, report=runner.reporter(job))

    return take
