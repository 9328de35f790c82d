"""Which operation answers which request about what stays and what goes."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import assert_never

import structlog

from barmand.catalog.memory import Catalog
from barmand.model import retention
from barmand.model.backup import Backup
from barmand.model.errors import UsageError
from barmand.model.event import Event
from barmand.model.judge import in_order
from barmand.model.keeping import Kept
from barmand.model.naming import find
from barmand.model.reason import demand_reason
from barmand.model.verdict import Verdict
from barmand.operations.forecast import Freed
from barmand.outside.clock import reading
from barmand.service.awaiting import awaited
from barmand.service.house import House, Kit
from barmand.service.job import Key
from barmand.service.runner import Runner
from barmand.service.views import utc
from barmand.wire.keep_messages import (
    AskRetention,
    ClockReply,
    ForecastView,
    Keep,
    KeepReply,
    KeepRequest,
    RetentionReply,
    TrustClock,
    VerdictView,
)
from barmand.wire.messages import AnyNote, Reply

log = structlog.get_logger()

Answer = Iterator[AnyNote | Reply | None]

_NO_WAL_BEHIND = (
    "it was kept standalone: WAL behind its end may be gone already, and a recovery from it then "
    "ends there"
)


@dataclass(frozen=True, slots=True)
class KeepDesk:
    catalog: Catalog
    runner: Runner

    def answer(self, request: KeepRequest, house: House, who: str) -> Answer:
        """Raises Failure, before or between replies."""
        match request:
            case Keep():
                yield self._keep(request, house.kit(request.server), who)
            case AskRetention():
                yield from self._retention(request, house.kit(request.server))
            case TrustClock():
                yield self._trust_clock(house, who)
            case _:
                assert_never(request)

    def _keep(self, request: Keep, kit: Kit, who: str) -> Reply:
        backups = self.catalog.backups.of_server(request.server)
        backup = find(backups, request.server, request.backup)
        _refuse_words(request)
        before = kit.keep.of(backup)
        match request.action:
            case "set":
                after: Kept | None = kit.keep.keep(backup, _wanted(request, who))
            case "release":
                kit.keep.release(backup, actor=who)
                after = None
            case "status":
                after = before
            case _:
                assert_never(request.action)
        return _keep_reply(backup, before, after)

    def _retention(self, request: AskRetention, kit: Kit) -> Answer:
        judging = kit.expire.judging
        verdicts = judging.verdicts()
        why = "the server is inactive" if not kit.is_active else None
        why = why or judging.hindrance(remembers=False)
        freed = None
        if request.dry_run:
            if why is None and in_order(verdicts):
                why = judging.ahead_of_postgres()
            # Several may ask at the same time.
            key = Key("forecast", kit.name, secrets.token_hex(4))
            freed = yield from awaited(
                self.runner,
                key,
                lambda job: kit.forecast.run(verdicts, stop=job.stop),
                tells=False,
            )
        rules = judging.rules
        age = rules.failed_age
        yield RetentionReply(
            server=kit.name,
            policy=None if rules.policy is None else str(rules.policy),
            minimum_redundancy=rules.minimum_redundancy,
            failed_backup_maximum_age_seconds=None if age is None else age.total_seconds(),
            hindrance=why,
            backups=[_verdict_view(each) for each in reversed(verdicts)],
            forecast=None if freed is None else _forecast_view(freed),
        )

    def _trust_clock(self, house: House, who: str) -> Reply:
        """Every active server's retention is asked to look again."""
        now = reading()
        self.catalog.clock_watches.believe(now)
        self.catalog.events.add(Event(at=now.at, kind="clock trusted", actor=who))
        log.info("clock trusted", by=who)
        for kit in house.kits.values():
            if kit.is_active:
                kit.keep.when_changed()
        return ClockReply(at=now.at.astimezone(UTC))


def _refuse_words(request: Keep) -> None:
    is_said = request.target or request.reason or request.until
    if request.action != "set" and is_said:
        raise UsageError("a target, a reason and an end date go with keeping only")
    if request.reason is not None:
        demand_reason(request.reason)


def _wanted(request: Keep, who: str) -> Kept:
    if request.target is None:
        raise UsageError("--target is missing: full or standalone")
    return Kept(
        target=retention.Keep(request.target),
        reason=request.reason,
        until=request.until,
        actor=who,
    )


def _keep_reply(backup: Backup, before: Kept | None, after: Kept | None) -> Reply:
    was_alone = before is not None and before.target is retention.Keep.STANDALONE
    is_alone = after is not None and after.target is retention.Keep.STANDALONE
    return KeepReply(
        server=backup.server,
        backup_id=backup.id,
        target=None if after is None else after.target.value,
        reason=None if after is None else after.reason,
        until=utc(None if after is None else after.until),
        kept_by=None if after is None else after.actor,
        changed=before != after,
        warning=_NO_WAL_BEHIND if was_alone and not is_alone else None,
    )


def _verdict_view(verdict: Verdict) -> VerdictView:
    return VerdictView(
        backup_id=verdict.backup.id,
        name=verdict.backup.name,
        status=verdict.backup.status.value,
        retention=verdict.word.value,
        why=verdict.why,
        until=utc(verdict.until),
        goes=verdict.goes,
    )


def _forecast_view(freed: Freed) -> ForecastView:
    return ForecastView(
        backup_ids=list(freed.backup_ids),
        size_bytes=freed.backup_bytes,
        wals=freed.wal_segments,
        wal_bytes=freed.wal_bytes,
    )
