"""Close a WAL segment and wait for it; judge an archive before its first use."""

from collections.abc import Generator, Iterator

from barmand.catalog.memory import Catalog
from barmand.model.errors import CheckFailed, Refused, Stopped, WaitTimeout
from barmand.model.wal import Segment
from barmand.outside.clock import monotonic
from barmand.outside.wal_source import Switched
from barmand.service.following import TICK_SECONDS
from barmand.service.house import Kit
from barmand.service.runner import Runner
from barmand.wire.messages import AnyNote, Reply
from barmand.wire.stream_messages import (
    CheckWalArchive,
    CheckWalArchiveReply,
    SwitchWal,
    SwitchWalReply,
)


def switch(
    request: SwitchWal, kit: Kit, catalog: Catalog, runner: Runner
) -> Iterator[AnyNote | Reply | None]:
    """Raises WaitTimeout where a segment was closed but not archived in time."""
    switched = kit.wal_kit.switcher.switch_wal(is_forced=request.force)
    if switched is None:
        raise Refused(
            f"server {kit.name} is a standby, which writes no WAL",
            hint="Set `primary_conninfo`: then WAL is switched there.",
        )
    segment = Segment(switched.timeline, switched.number)
    name = segment.name(switched.segment_size)
    archived = None
    if request.archive:
        archived = yield from _archived(segment, request, kit, catalog, runner)
        _demand(archived, switched, name, request)
    yield SwitchWalReply(
        server=kit.name, segment=name, closed=switched.is_closed, archived=archived
    )


def _demand(archived: bool, switched: Switched, name: str, request: SwitchWal) -> None:
    if switched.is_closed and not archived:
        raise WaitTimeout(
            f"{name} was closed, but not archived within {request.archive_timeout:g} seconds",
            hint=f"`barmanctl check {request.server}` tells what keeps WAL from coming.",
        )


def _archived(
    segment: Segment, request: SwitchWal, kit: Kit, catalog: Catalog, runner: Runner
) -> Generator[None, None, bool]:
    """Does the archive hold it, at the latest after the time that was asked for?"""
    deadline = monotonic() + request.archive_timeout
    seen = catalog.bell.count
    while not any(segment in run for run in catalog.wal_runs.of_server(kit.name)):
        if runner.stopping.is_set():
            raise Stopped(runner.stopping.reason)
        left = deadline - monotonic()
        if left <= 0:
            return False
        yield None
        seen = catalog.bell.wait(seen, min(left, TICK_SECONDS))
    return True


def check_archive(request: CheckWalArchive, kit: Kit, catalog: Catalog) -> Reply:
    """A new server may archive here only where no WAL of another one lies in its way."""
    first = request.timeline or 0
    runs = [run for run in catalog.wal_runs.of_server(kit.name) if run.timeline >= first]
    histories = [name for name in kit.archive.wals.histories() if int(name[:8], 16) >= first]
    count = sum(run.last - run.first + 1 for run in runs)
    is_ok = not runs and not histories
    where = "" if request.timeline is None else f" of timeline {first} or later"
    return CheckWalArchiveReply(
        server=kit.name,
        ok=is_ok,
        timeline=request.timeline,
        segments=count,
        histories=histories,
        hint=f"the archive holds no WAL{where}"
        if is_ok
        else f"the archive holds WAL{where}: {count} segments and {len(histories)} histories",
        exit_code=0 if is_ok else CheckFailed.exit_code,
    )
