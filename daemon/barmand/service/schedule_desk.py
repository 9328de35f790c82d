"""Which schedule and which chore does what, when; and the due chores rung by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from barmand.catalog.chore_runs import ChoreRun
from barmand.catalog.memory import Catalog
from barmand.catalog.schedule_runs import ScheduleRun
from barmand.model.backup import Backup
from barmand.model.calendar import ScheduleLine
from barmand.model.errors import NotFound, ToolFailed
from barmand.outside.clock import local_now, monotonic
from barmand.service.chores import DAEMON, Chores, ChoreState
from barmand.service.following import TICK_SECONDS
from barmand.service.house import House, Kit, unknown
from barmand.service.schedule import Schedule
from barmand.wire.messages import Reply
from barmand.wire.schedule_messages import (
    AskSchedule,
    ChoreRunView,
    ChoreView,
    CronReply,
    RunCron,
    ScheduledRun,
    ScheduleLineView,
    ScheduleReply,
    ScheduleRequest,
    ServerSchedule,
)

Asked = tuple[str, str, int]
"""A chore, its server, and the number of the run that was asked for."""


@dataclass(frozen=True, slots=True)
class ScheduleDesk:
    catalog: Catalog
    schedule: Schedule
    chores: Chores

    def answer(self, request: ScheduleRequest, house: House) -> Iterator[Reply | None]:
        match request:
            case AskSchedule():
                yield self._told(request, house)
            case RunCron():
                yield from self._run(request, house)
            case _:
                assert_never(request)

    # ------------------------------------------------------------------------------------- told
    def _told(self, request: AskSchedule, house: House) -> Reply:
        for server in request.servers:
            if server not in house.names:
                raise unknown(server)
        names = list(dict.fromkeys(request.servers)) or house.names
        return ScheduleReply(
            servers=[self._server(name, house.kits.get(name)) for name in names],
            chores=[_chore(state) for state in self.chores.states(DAEMON)],
        )

    def _server(self, name: str, kit: Kit | None) -> ServerSchedule:
        if kit is None:
            return ServerSchedule(
                server=name, state="broken", grace_seconds=None, schedules=[], chores=[]
            )
        return ServerSchedule(
            server=name,
            state="active" if kit.is_active else "inactive",
            grace_seconds=kit.schedule_grace.total_seconds(),
            schedules=[self._line(name, line) for line in kit.schedule],
            chores=[_chore(state) for state in self.chores.states(name)],
        )

    def _line(self, server: str, line: ScheduleLine) -> ScheduleLineView:
        last = self.catalog.schedule_runs.last_run(server, line.key)
        return ScheduleLineView(
            schedule=line.text,
            next_run=self.schedule.next_of_line(server, line.key),
            last=None if last is None else self._run_view(last),
        )

    def _run_view(self, run: ScheduleRun) -> ScheduledRun:
        backup = self._backup(run)
        return ScheduledRun(
            due=run.due,
            at=run.at,
            outcome=run.outcome.value,
            why=run.why,
            backup_id=run.backup_id,
            status=None if backup is None else backup.status.value,
            error=None if backup is None or backup.reason is None else backup.reason.message,
            seconds=None if backup is None else _seconds(backup),
        )

    def _backup(self, run: ScheduleRun) -> Backup | None:
        """None also when it was deleted since."""
        try:
            return self.catalog.backups.get(run.server, run.backup_id or "")
        except NotFound:
            return None

    # ------------------------------------------------------------------------------------- rung
    def _run(self, request: RunCron, house: House) -> Iterator[Reply | None]:
        end = monotonic() + request.timeout
        asked = [each for name in [DAEMON, *house.names] for each in self._ring_due(name)]
        waiting = list(asked)
        while waiting and monotonic() < end and not self.chores.runner.stopping.is_set():
            yield None
            if self.chores.wait_for(*waiting[0], TICK_SECONDS):
                waiting.pop(0)
        waiting = [each for each in waiting if not self.chores.wait_for(*each, 0)]
        ended = [view for each in asked if each not in waiting for view in self._last(each)]
        yield CronReply(
            ended=ended,
            running=[f"{chore} {server}".strip() for chore, server, _ in waiting],
            exit_code=ToolFailed.exit_code if any(v.result == "failed" for v in ended) else 0,
        )

    def _ring_due(self, server: str) -> list[Asked]:
        """What looks for arrivals is always due; the rest comes in its time, which may be now."""
        now = local_now()
        return [
            (state.chore, server, self.chores.ask(state.chore, server))
            for state in self.chores.states(server)
            if state.is_polled or state.next_due <= now
        ]

    def _last(self, asked: Asked) -> list[ChoreRunView]:
        states = {state.chore: state for state in self.chores.states(asked[1])}
        state = states.get(asked[0])
        return [] if state is None or state.last is None else [_run_of(state.last)]


def _seconds(backup: Backup) -> float | None:
    end = backup.copied_at or backup.ended_at
    if backup.started_at is None or end is None:
        return None
    return round((end - backup.started_at).total_seconds(), 3)


def _chore(state: ChoreState) -> ChoreView:
    return ChoreView(
        chore=state.chore,
        every_seconds=state.every.total_seconds(),
        running_since=state.began,
        last=None if state.last is None else _run_of(state.last),
        next_run=state.next_due,
    )


def _run_of(run: ChoreRun) -> ChoreRunView:
    return ChoreRunView(
        server=run.server or None,
        chore=run.chore,
        began=run.began,
        seconds=round(run.seconds, 3),
        result=run.result,
        why=run.why,
    )
