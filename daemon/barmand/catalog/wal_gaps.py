"""Which WAL is missing, and what has become of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.catalog.events import write_event
from barmand.model.errors import NotFound, Refused
from barmand.model.event import Event
from barmand.model.gap import BEHIND_ARRIVED, MISSING_STATES, Branch, Gap, GapState, rest_of
from barmand.model.wal import Run, Segment

_gaps = rows.wal_gaps
_branches = rows.wal_branches


@dataclass(frozen=True, slots=True)
class Found:
    """A gap as it is found: where, in segments of which size, when and how."""

    server: str
    segment_size: int
    now: datetime
    why: str


@dataclass(frozen=True, slots=True)
class WalGaps:
    database: Database

    def of_server(self, server: str, states: Sequence[GapState] = MISSING_STATES) -> list[Gap]:
        """In order of timeline and segment."""
        with self.database.reading() as connection:
            return [_gap(row) for row in _in_states(connection, server, states)]

    def count(self, server: str, state: GapState) -> int:
        with self.database.reading() as connection:
            total = select(func.count()).where(_gaps.c.server == server, _gaps.c.state == state)
            return int(connection.execute(total).scalar_one())

    def tell_missing(self, found: Found, missing: Run) -> None:
        """WAL that is known to be lost, before what comes behind it has arrived."""
        with self.database.writing() as connection:
            open_gap(connection, found, missing)

    def acknowledge(
        self, server: str, gap_id: int, *, reason: str, actor: str, now: datetime
    ) -> Gap:
        """Raises NotFound, or Refused for a gap that is none any more."""
        with self.database.writing() as connection:
            row = connection.execute(
                select(_gaps).where(_gaps.c.server == server, _gaps.c.id == gap_id)
            ).first()
            if row is None:
                raise NotFound(
                    f"server {server} has no WAL gap {gap_id}",
                    hint=f"`barmanctl wal-gaps {server} --all` lists them.",
                )
            if row.state not in MISSING_STATES:
                raise Refused(f"WAL gap {gap_id} of {server} is {row.state} already")
            changes = {"actor": actor, "reason": reason, "state": GapState.ACKNOWLEDGED.value}
            _change(connection, row, now, **changes)
            _tell(
                connection,
                row,
                Event(at=now, kind="WAL gap acknowledged", actor=actor, facts={"reason": reason}),
            )
            return _gap(connection.execute(select(_gaps).where(_gaps.c.id == gap_id)).one())

    def branch(self, server: str, branch: Branch) -> bool:
        """Remember where a timeline left its parent; False when it was known."""
        with self.database.writing() as connection:
            known = select(_branches).where(
                _branches.c.server == server, _branches.c.timeline == branch.timeline
            )
            if connection.execute(known).first() is not None:
                return False
            connection.execute(
                insert(_branches).values(
                    server=server,
                    timeline=branch.timeline,
                    parent=branch.parent,
                    first=branch.first,
                )
            )
            return True

    def branches(self, server: str) -> list[Branch]:
        with self.database.reading() as connection:
            found = connection.execute(select(_branches).where(_branches.c.server == server))
            return [Branch(row.timeline, row.parent, row.first) for row in found]

    def forget_branch(self, server: str, branch: Branch, now: datetime) -> None:
        """No history tells of it any more: what is missing only by its word is missing no more."""
        with self.database.writing() as connection:
            connection.execute(
                delete(_branches).where(
                    _branches.c.server == server, _branches.c.timeline == branch.timeline
                )
            )
            for row in _in_states(connection, server, MISSING_STATES):
                if _is_told_by(row, branch):
                    _change(connection, row, now, state=GapState.OBSOLETE.value)
                    why = {"why": f"no history tells of timeline {branch.timeline} as before"}
                    _tell(connection, row, Event(at=now, kind="WAL gap obsolete", facts=why))


def open_gap(connection: Connection, found: Found, missing: Run) -> None:
    """Within the transaction that found it; what is known to be missing is not told twice."""
    pieces = [missing]
    for row in _in_states(connection, found.server, MISSING_STATES):
        known = Run(row.timeline, row.first, row.last)
        pieces = [rest for piece in pieces for rest in rest_of(piece, known)]
    for piece in pieces:
        number = connection.execute(
            insert(_gaps)
            .values(
                server=found.server,
                timeline=piece.timeline,
                first=piece.first,
                last=piece.last,
                segment_size=found.segment_size,
                state=GapState.OPEN.value,
                why=found.why,
                found_at=found.now,
                changed_at=found.now,
            )
            .returning(_gaps.c.id)
        ).scalar_one()
        row = connection.execute(select(_gaps).where(_gaps.c.id == number)).one()
        _tell(connection, row, Event(at=found.now, kind="WAL gap found", facts={"why": found.why}))


def close_around(connection: Connection, server: str, arrived: Run, now: datetime) -> None:
    """These segments are missing no more: a gap becomes smaller, two, or is healed."""
    for row in _in_states(connection, server, MISSING_STATES):
        missing = Run(row.timeline, row.first, row.last)
        rest = rest_of(missing, arrived)
        if rest != [missing]:
            _shrink(connection, row, rest, now)


def retire(connection: Connection, server: str, held: Sequence[Run], now: datetime) -> None:
    """After WAL was removed: a gap with nothing older before it is nobody's concern any more."""
    for row in _in_states(connection, server, MISSING_STATES):
        is_reached = any(run.timeline <= row.timeline and run.first < row.first for run in held)
        if not is_reached:
            _change(connection, row, now, state=GapState.OBSOLETE.value)


def branch_of(connection: Connection, server: str, timeline: int) -> Branch | None:
    row = connection.execute(
        select(_branches).where(_branches.c.server == server, _branches.c.timeline == timeline)
    ).first()
    return None if row is None else Branch(row.timeline, row.parent, row.first)


def _is_told_by(row: Row[Any], branch: Branch) -> bool:
    if row.timeline == branch.parent:
        return bool(row.why == branch.why_missing)
    begins = row.timeline == branch.timeline and row.first == branch.first
    return begins and bool(row.why == BEHIND_ARRIVED)


def _shrink(connection: Connection, row: Row[Any], rest: Sequence[Run], now: datetime) -> None:
    if not rest:
        _change(connection, row, now, state=GapState.HEALED.value)
        _tell(connection, row, Event(at=now, kind="WAL gap healed"))
        return
    _change(connection, row, now, first=rest[0].first, last=rest[0].last)
    for other in rest[1:]:
        values = {**row._mapping, "first": other.first, "last": other.last, "changed_at": now}  # noqa: SLF001 - a row's columns by name
        del values["id"]
        connection.execute(insert(_gaps).values(values))


def _in_states(
    connection: Connection, server: str, states: Sequence[GapState]
) -> Sequence[Row[Any]]:
    return connection.execute(
        select(_gaps)
        .where(_gaps.c.server == server, _gaps.c.state.in_([state.value for state in states]))
        .order_by(_gaps.c.timeline, _gaps.c.first, _gaps.c.id)
    ).all()


def _change(connection: Connection, row: Row[Any], now: datetime, **values: object) -> None:
    connection.execute(update(_gaps).where(_gaps.c.id == row.id).values(changed_at=now, **values))


def _tell(connection: Connection, row: Row[Any], event: Event) -> None:
    """Write the event, with what it is about."""
    run = Run(row.timeline, row.first, row.last)
    about = {
        "gap": row.id,
        "first": Segment(run.timeline, run.first).name(row.segment_size),
        "last": Segment(run.timeline, run.last).name(row.segment_size),
        "segments": run.last - run.first + 1,
    }
    told = replace(event, server=row.server, facts={**about, **event.facts})
    write_event(connection, told)


def _gap(row: Row[Any]) -> Gap:
    return Gap(
        id=row.id,
        server=row.server,
        run=Run(row.timeline, row.first, row.last),
        segment_size=row.segment_size,
        state=GapState(row.state),
        why=row.why,
        found_at=row.found_at,
        changed_at=row.changed_at,
        actor=row.actor,
        reason=row.reason,
    )
