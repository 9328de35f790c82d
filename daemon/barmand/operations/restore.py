"""Restore a backup: plan it, then lay a cluster out.

All is judged before anything is written. The cluster is laid out in a hidden folder inside the
destination and takes its place only when it is whole and synced, `global` last: PostgreSQL does not
start on half of a restore.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from barmand.catalog.holds import Holds
from barmand.catalog.proofs import Proofs
from barmand.model.backup import RESTORABLE, Backup, Tablespace
from barmand.model.errors import Refused, Stopped
from barmand.model.progress import Phase
from barmand.model.recovery import Target, archiving_off, settings_for
from barmand.model.tablespace_places import places_of
from barmand.operations.archive import names_of
from barmand.operations.hooks import Hooks
from barmand.operations.lay_wal import LayWal
from barmand.operations.ports import Clock, Report, Seconds, Stop
from barmand.operations.restore_hooks import with_hooks
from barmand.operations.restore_lacks import (
    NEEDS_UNKNOWN,
    Lacks,
    bad_pages,
    found_damaged,
    refuse_damaged,
)
from barmand.operations.restore_plan import Plan
from barmand.operations.restore_wal import RestoreWal
from barmand.storage.layout import Layout
from barmand.storage.packed import BASE, Archive, archive_in
from barmand.storage.promises import promised
from barmand.storage.restored import Destination, Fragment
from barmand.storage.wals import WalArchive

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Restored:
    """`warnings`: what only the work itself found out."""

    size: int
    segments: int
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Restore:
    """`forbidden`: folders of barmand's own, in which nothing may be laid out."""

    layout: Layout
    wals: WalArchive
    wal: RestoreWal
    holds: Holds
    hooks: Hooks
    proofs: Proofs
    forbidden: Sequence[Path]
    now: Clock
    monotonic: Seconds

    def plan(
        self, backup: Backup, destination: Path, target: Target, moved: Mapping[str, str]
    ) -> Plan:
        """Raises Refused, NotFound, StorageFailed; writes nothing.

        `moved` has the folder of each tablespace, by its name or its OID.
        """
        needed, cluster = backup.needed(), backup.cluster
        if backup.status not in RESTORABLE or needed is None or cluster is None:
            raise Refused(
                f"backup {backup.id} of {backup.server} is {backup.status}: not restorable"
            )
        if backup.encryption or backup.parent_id:
            raise Refused(
                f"backup {backup.id} is encrypted or incremental, which this version of barmand "
                "cannot restore",
                hint="Barman can: point it at the same barman_home.",
            )
        if backup.compression is not None:
            self._archives(backup, cluster.tablespaces)  # or they are not all there
        line = self.wal.line(backup, target)
        segments, hole = self.wal.segments(backup, target, line, cluster.segment_size)
        moved_to = places_of(cluster.tablespaces, moved)
        places = {space: Destination(Path(place)) for space, place in moved_to.items()}
        every = [Destination(destination), *places.values()]
        for place in every:
            place.refuse_unless_usable(self.forbidden)
        _refuse_nested(every)
        return Plan(
            backup=backup,
            destination=every[0],
            places=places,
            target=target,
            segments=segments,
            segment_size=cluster.segment_size,
            version=cluster.version,
            line=line,
            hole=hole,
        )

    def demand_sound(self, backup: Backup) -> None:
        """Raises Refused where a verification found it damaged."""
        refuse_damaged(backup, self.proofs.find(backup.server, backup.id))

    def warnings(self, plan: Plan) -> list[str]:
        """What the restored cluster will lack that its source had, and what it will have of it."""
        backup = plan.backup
        lacks = self._lacks(backup).words(plan.destination.path)
        proof = self.proofs.find(backup.server, backup.id)
        return [*found_damaged(proof), *lacks, *bad_pages(backup), *_early_end(plan)]

    def run(self, plan: Plan, *, stop: Stop, report: Report) -> Restored:
        """Carry out `plan`. What fails or is stopped takes away what it has written."""
        holder = f"restore to {plan.destination.path}"
        with self.holds.held(plan.backup, holder=holder, now=self.now()):
            lay_out = partial(self._carry_out, plan, stop, report)
            return with_hooks(self.hooks, plan, lay_out, stop=stop, report=report)

    def _carry_out(self, plan: Plan, stop: Stop, report: Report) -> Restored:
        begun = self.monotonic()
        log.info(
            "restore started", destination=str(plan.destination.path), target=plan.target.value
        )
        with ExitStack() as undo:
            fragment = _begun(plan.destination, undo)
            spaces = {space: _begun(place, undo) for space, place in plan.places.items()}
            try:
                size, warnings = self._lay_out(plan, fragment, spaces, stop, report)
            except Stopped as error:
                raise Stopped(stop.reason) from error
            undo.pop_all()
        segments = sum(run.last - run.first + 1 for run in plan.segments)
        restored = Restored(size, segments, self.monotonic() - begun, tuple(warnings))
        log.info("restore done", bytes=size, segments=segments, seconds=round(restored.seconds, 1))
        return restored

    def _lacks(self, backup: Backup) -> Lacks:
        return Lacks.of(backup, self.layout.data(backup.id))

    def _lay_out(
        self,
        plan: Plan,
        fragment: Fragment,
        spaces: Mapping[Tablespace, Fragment],
        stop: Stop,
        report: Report,
    ) -> tuple[int, list[str]]:
        total = plan.backup.copied.size if plan.backup.copied else None
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            report(Phase.COPYING, done, total)

        report(Phase.COPYING, 0, total)
        size = self._fill(plan.backup, fragment, spaces, stop, progress)
        fragment.make_empty_folders(plan.version)
        fragment.forget_tablespace_map()
        for space, part in spaces.items():
            fragment.link_tablespace(space.oid, part.destination.path)
        warnings = LayWal(self.wals, self.forbidden).run(plan, fragment, stop)
        warnings += self._tell_postgres(plan, fragment)
        report(Phase.SYNCING, done, total)
        parts = [*spaces.values(), fragment]  # the cluster last: it needs the others
        for part in parts:
            part.sync()
        for part in parts:
            part.take_place()
        return size, warnings

    def _fill(
        self,
        backup: Backup,
        fragment: Fragment,
        spaces: Mapping[Tablespace, Fragment],
        stop: Stop,
        progress: Callable[[int], None],
    ) -> int:
        data = self.layout.data(backup.id)
        if backup.compression is None:
            copied = [
                part.fill(self.layout.tablespace(backup.id, space.oid), stop, progress)
                for space, part in spaces.items()
            ]
            return sum(copied) + fragment.fill(data, stop, progress)
        base, *archives = self._archives(backup, tuple(spaces))
        with promised(data) as promises:  # the tablespaces first, as the manifest has them
            size = 0
            for archive, (space, part) in zip(archives, spaces.items(), strict=True):
                prefix = f"pg_tblspc/{space.oid}/"
                size += part.unpack(archive, promises, stop, progress, prefix=prefix)
            size += fragment.unpack(base, promises, stop, progress)
            promises.demand_all_taken()
        manifest = fragment.add_manifest(data)
        progress(manifest)
        return size + manifest

    def _archives(self, backup: Backup, spaces: Sequence[Tablespace]) -> list[Archive]:
        """Those of a packed backup, base first. Raises StorageFailed when one is missing."""
        data = self.layout.data(backup.id)
        return [archive_in(data, name) for name in (BASE, *(str(space.oid) for space in spaces))]

    def _tell_postgres(self, plan: Plan, fragment: Fragment) -> list[str]:
        """Returns warnings. Without the source's own settings, recovery needs some of them."""
        lacks_settings = fragment.calm() or self._lacks(plan.backup).has_settings
        needs = fragment.recovery_needs() if lacks_settings else {}
        lines = [f"{name} = {value}" for name, value in (needs or {}).items()]
        lines += [
            *archiving_off(plan.version),
            *settings_for(plan.target, str(plan.destination.wal), plan.line.current),
        ]
        fragment.tell_postgres(lines)
        return [NEEDS_UNKNOWN] if needs is None else []


def _early_end(plan: Plan) -> list[str]:
    if plan.hole is None:
        return []
    names = ", ".join(names_of([plan.hole], plan.segment_size, 3))
    return [f"recovery ends before WAL that is acknowledged as lost: {names}"]


def _begun(place: Destination, undo: ExitStack) -> Fragment:
    fragment = place.begin()
    undo.callback(fragment.clear)
    return fragment


def _refuse_nested(places: Sequence[Destination]) -> None:
    """Two places of one restore must not lie in one another; each is proved empty alone."""
    for place in places:
        for other in places:
            if place is not other and other.resolved.is_relative_to(place.resolved):
                raise Refused(
                    f"{other.path} lies in {place.path}",
                    hint="Give the tablespace a folder of its own with --tablespace NAME:LOCATION.",
                )
