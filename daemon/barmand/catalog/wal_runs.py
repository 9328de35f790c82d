"""Which unbroken runs of WAL we hold: a few rows, whatever the size of the archive."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Delete, Row, delete, func, insert, select

from barmand.catalog import rows
from barmand.catalog.database import Database
from barmand.catalog.wal_gaps import Found, branch_of, close_around, open_gap, retire
from barmand.catalog.wal_hours import note_arrivals
from barmand.model.gap import BEHIND_ARRIVED
from barmand.model.wal import Run, Segment, runs_of

_runs = rows.wal_runs


@dataclass(frozen=True, slots=True)
class LastArchived:
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WalRuns:
    database: Database

    def of_server(self, server: str) -> Sequence[Run]:
        with self.database.reading() as connection:
            return _runs_of(connection, server)

    def near(self, server: str, needed: Run) -> Sequence[Run]:
        """What is held of these segments."""
        with self.database.reading() as connection:
            rows_near = _near(connection, server, needed)
        return [Run(row.timeline, row.first, row.last) for row in rows_near]

    def count(self, server: str) -> int:
        """How many segments we hold."""
        with self.database.reading() as connection:
            total = select(func.coalesce(func.sum(_runs.c.last - _runs.c.first + 1), 0))
            return int(connection.execute(total.where(_runs.c.server == server)).scalar_one())

    def bytes(self, server: str) -> int:
        """How many bytes they take on our disk."""
        with self.database.reading() as connection:
            total = select(func.coalesce(func.sum(_runs.c.bytes), 0))
            return int(connection.execute(total.where(_runs.c.server == server)).scalar_one())

    def last_archived(self, server: str) -> LastArchived | None:
        """The end of the run that was extended last."""
        with self.database.reading() as connection:
            row = connection.execute(
                select(_runs)
                .where(_runs.c.server == server)
                .order_by(_runs.c.changed_at.desc(), _runs.c.timeline.desc(), _runs.c.last.desc())
                .limit(1)
            ).first()
        if row is None:
            return None
        return LastArchived(Segment(row.timeline, row.last).name(row.segment_size), row.changed_at)

    def segment_size(self, server: str) -> int | None:
        """Bytes in a segment of this server, as last archived; None before the first."""
        with self.database.reading() as connection:
            return connection.execute(
                select(_runs.c.segment_size)
                .where(_runs.c.server == server)
                .order_by(_runs.c.changed_at.desc())
                .limit(1)
            ).scalar_one_or_none()

    def segment_sizes(self, server: str) -> set[int]:
        """Of all that we hold: one, unless the cluster was made anew with another."""
        with self.database.reading() as connection:
            found = select(_runs.c.segment_size).where(_runs.c.server == server).distinct()
            return set(connection.scalars(found))

    def extend(
        self, server: str, held: Iterable[tuple[Segment, int]], *, segment_size: int, now: datetime
    ) -> None:
        """Take in segments with their bytes on disk; one that is held already changes nothing.

        What is missing between them and what was held before is a gap at once; what arrives in a
        gap heals it. The price is that of the unbroken runs among them, whatever is held.
        """
        sizes = dict(held)
        with self.database.writing() as connection:
            known = _runs_of(connection, server, {segment.timeline for segment in sizes})
            new = [segment for segment in sorted(sizes) if not any(segment in run for run in known)]
            for run, total in runs_of((segment, sizes[segment]) for segment in new):
                _join(connection, server, _Held(run, total, segment_size, now))
                close_around(connection, server, run, now)
            if new:
                note_arrivals(connection, server, now, len(new), sum(map(sizes.__getitem__, new)))

    def adopt(
        self, server: str, held: Iterable[tuple[Run, int]], *, segment_size: int, now: datetime
    ) -> None:
        """Runs and their bytes, for a server of which no row tells yet."""
        with self.database.writing() as connection:
            for run, size in held:
                connection.execute(
                    insert(_runs).values(
                        server=server,
                        timeline=run.timeline,
                        first=run.first,
                        last=run.last,
                        segment_size=segment_size,
                        bytes=size,
                        changed_at=now,
                    )
                )

    def cut(self, server: str, gone: Iterable[Run], now: datetime) -> None:
        """Take out segments that were removed from the archive, for nobody needs them."""
        with self.database.writing() as connection:
            for run in gone:
                _take_out(connection, server, run)
            retire(connection, server, _runs_of(connection, server), now)

    def lose(
        self, server: str, lost: Sequence[Run], *, segment_size: int, why: str, now: datetime
    ) -> None:
        """Take out segments that are not whole in the archive any more: they are gaps."""
        with self.database.writing() as connection:
            for run in lost:
                _take_out(connection, server, run)
                open_gap(connection, Found(server, segment_size, now, why), run)


@dataclass(frozen=True, slots=True)
class _Held:
    run: Run
    bytes: int
    segment_size: int
    now: datetime


def _runs_of(
    connection: Connection, server: str, timelines: Iterable[int] | None = None
) -> list[Run]:
    wanted = select(_runs).where(_runs.c.server == server)
    if timelines is not None:
        wanted = wanted.where(_runs.c.timeline.in_(list(timelines)))
    found = connection.execute(wanted.order_by(_runs.c.timeline, _runs.c.first))
    return [Run(row.timeline, row.first, row.last) for row in found]


def _near(connection: Connection, server: str, run: Run) -> Sequence[Row[Any]]:
    """What overlaps with a run or lies next to it."""
    return connection.execute(
        select(_runs)
        .where(
            _runs.c.server == server,
            _runs.c.timeline == run.timeline,
            _runs.c.first <= run.last + 1,
            _runs.c.last >= run.first - 1,
        )
        .order_by(_runs.c.first)
    ).all()


def _join(connection: Connection, server: str, held: _Held) -> None:
    """A run of which nothing is held becomes one with its neighbours."""
    near = _near(connection, server, held.run)
    if not near:
        _judge_beginning(connection, server, held)
    for row in near:
        connection.execute(_same(row))
    connection.execute(
        insert(_runs).values(
            server=server,
            timeline=held.run.timeline,
            first=min([held.run.first, *(row.first for row in near)]),
            last=max([held.run.last, *(row.last for row in near)]),
            segment_size=held.segment_size,
            bytes=held.bytes + sum(row.bytes for row in near),
            changed_at=held.now,
        )
    )


def _judge_beginning(connection: Connection, server: str, held: _Held) -> None:
    """A run begins. Behind the newest segment of its timeline, what lies between is missing.

    An older one that comes again after its neighbours were removed tells of no gap.
    """
    timeline, number = held.run.timeline, held.run.first
    newest = _newest(connection, server, timeline)
    first = newest + 1 if newest is not None else _beginning(connection, server, timeline)
    if first is not None and first < number:
        found = Found(server, held.segment_size, held.now, BEHIND_ARRIVED)
        open_gap(connection, found, Run(timeline, first, number - 1))


def _beginning(connection: Connection, server: str, timeline: int) -> int | None:
    """The first segment of a timeline that leaves one whose WAL we hold; None where untold."""
    branch = branch_of(connection, server, timeline)
    if branch is None or _newest(connection, server, branch.parent) is None:
        return None
    return branch.first


def _newest(connection: Connection, server: str, timeline: int) -> int | None:
    last = select(func.max(_runs.c.last)).where(
        _runs.c.server == server, _runs.c.timeline == timeline
    )
    newest: int | None = connection.execute(last).scalar_one()
    return newest


def _take_out(connection: Connection, server: str, gone: Run) -> None:
    touched = connection.execute(
        select(_runs).where(
            _runs.c.server == server,
            _runs.c.timeline == gone.timeline,
            _runs.c.first <= gone.last,
            _runs.c.last >= gone.first,
        )
    ).all()
    for row in touched:
        connection.execute(_same(row))
        count = row.last - row.first + 1
        for first, last in ((row.first, gone.first - 1), (gone.last + 1, row.last)):
            if first <= last:
                rest = {
                    "first": first,
                    "last": last,
                    # Sizes of single segments are not kept; a cut run keeps its average.
                    "bytes": row.bytes * (last - first + 1) // count,
                }
                connection.execute(insert(_runs).values({**row._mapping, **rest}))  # noqa: SLF001 - a row's columns by name


def _same(row: Row[Any]) -> Delete:
    return delete(_runs).where(
        _runs.c.server == row.server, _runs.c.timeline == row.timeline, _runs.c.first == row.first
    )
