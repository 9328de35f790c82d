"""Lay out the WAL of a restore, and judge where its replay will make tablespaces.

PostgreSQL makes a tablespace where the WAL says. On the machine of the source that is within the
files of a cluster that may run, and what is dropped in the restored one would be gone there.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never

from barmand.model.errors import Refused
from barmand.model.recovery import Target
from barmand.model.replay import Replay
from barmand.model.wal import Segment
from barmand.operations.ports import Stop, heed
from barmand.operations.restore_plan import Plan
from barmand.storage.disk import at_the_disk
from barmand.storage.restored import Fragment
from barmand.storage.tablespace_records import TablespaceMade, tablespaces_made
from barmand.storage.wals import WalArchive


class Seen(Enum):
    """What lies where a tablespace will be."""

    ABSENT = "is not there"
    EMPTY = "is empty"
    TAKEN = "is not empty here"
    HIDDEN = "barmand's user cannot look into"


@dataclass(frozen=True, slots=True)
class LayWal:
    """`forbidden`: folders of barmand's own."""

    wals: WalArchive
    forbidden: Sequence[Path]

    def run(self, plan: Plan, fragment: Fragment, stop: Stop) -> list[str]:
        """Returns warnings. Raises Refused, Stopped, StorageFailed."""
        fragment.make_wal_folder()
        for name in self.wals.histories():
            heed(stop)
            self._add(name, fragment)
        replay = _replay(plan)
        warnings: dict[TablespaceMade, str] = {}
        runs = sorted(plan.segments, key=lambda run: run.timeline)
        for segment in (segment for run in runs for segment in run.segments()):
            heed(stop)
            name = segment.name(plan.segment_size)
            laid = self._add(name, fragment)
            for made in tablespaces_made(laid, _before(laid, segment, plan)):
                if replay.covers(segment.timeline, made.lsn) and not _is_ours(made, plan):
                    warnings.setdefault(made, self._judge(made, name, plan))
        return list(warnings.values())

    def _add(self, name: str, fragment: Fragment) -> Path:
        path = self.wals.path(name)
        if path is None:
            raise Refused(f"WAL file {name} went away during the restore")
        return fragment.add_wal(path)

    def _judge(self, made: TablespaceMade, segment: str, plan: Plan) -> str:
        """The warning that it deserves. Raises Refused."""
        deed = f"recovery makes tablespace {made.oid} at {made.shown} (WAL segment {segment})"
        ground = self._ground(made.path)
        if ground is not None:
            raise Refused(
                f"{deed}, which is barmand's own ground ({ground})", hint=_ways_out(made, plan)
            )
        match _seen(made.path):
            case Seen.ABSENT:
                return (
                    f"{deed}, which is not there: make that folder, empty, for PostgreSQL's user "
                    "before you start it, or recovery stops"
                )
            case Seen.EMPTY:
                return f"{deed}, an empty folder here: it will be the restored cluster's"
            case (Seen.TAKEN | Seen.HIDDEN) as seen:
                raise Refused(
                    f"{deed}, which {seen.value}: it may be a running cluster's",
                    hint=_ways_out(made, plan),
                )
            case _ as never:
                assert_never(never)

    def _ground(self, location: Path) -> Path | None:
        with at_the_disk("look at", location):
            place = location.resolve()
            return next(
                (own for own in self.forbidden if place.is_relative_to(own.resolve())), None
            )


def _replay(plan: Plan) -> Replay:
    copied = plan.backup.copied
    if copied is None:
        return Replay(0, None, plan.line)
    end = copied.end_lsn if plan.target is Target.IMMEDIATE else None
    return Replay(copied.begin_lsn, end, plan.line)


def _before(laid: Path, segment: Segment, plan: Plan) -> Path | None:
    """The segment that it follows: on its timeline, or on one that this began from."""
    held = (run for run in plan.segments if run.timeline <= segment.timeline)
    before = [
        Segment(run.timeline, segment.number - 1)
        for run in held
        if Segment(run.timeline, segment.number - 1) in run
    ]
    if not before:
        return None
    return laid.with_name(max(before).name(plan.segment_size))


def _is_ours(made: TablespaceMade, plan: Plan) -> bool:
    """One of the backup that goes back to its old place: that is where its files are laid out."""
    return any(
        space.oid == made.oid and place.resolved == made.path.resolve()
        for space, place in plan.places.items()
    )


def _seen(location: Path) -> Seen:
    with at_the_disk("look into", location):
        try:
            with os.scandir(location) as entries:
                return Seen.EMPTY if next(entries, None) is None else Seen.TAKEN
        except FileNotFoundError:
            return Seen.ABSENT
        except NotADirectoryError:
            return Seen.TAKEN
        except PermissionError:
            return Seen.HIDDEN


def _ways_out(made: TablespaceMade, plan: Plan) -> str:
    copied = plan.backup.copied
    early = copied is not None and made.lsn >= copied.end_lsn
    return (
        "If no cluster uses that folder any more, move it away; if one does, restore on another "
        "machine" + (", or with --target-immediate: it came after the backup." if early else ".")
    )
