"""A WAL file that is asked for: found wherever it lies, proved whole, handed out."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from barmand.catalog.servers import Servers
from barmand.catalog.wal_gaps import WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.door import Belongs, Expected, Verdict, judge, judge_history, judge_label
from barmand.model.errors import StorageFailed, UsageError
from barmand.model.gap import GapState
from barmand.model.wal import Run, Segment, WalKind, kind_of
from barmand.operations.noticed import Noticed
from barmand.storage.disk import at_the_disk
from barmand.storage.layout import Layout
from barmand.storage.whole import Opened, open_wal

_ANYBODY = Expected()
"""WAL of before an upgrade is another version's and another system's, and some backup needs it."""


class Place(Enum):
    ARCHIVE = "archive"
    INCOMING = "incoming"
    STREAMING = "streaming"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Found:
    """`file` is the caller's to close; None where the caller's copy is still what we have."""

    place: Place
    stamp: str
    size: int | None
    file: int | None


@dataclass(frozen=True, slots=True)
class Fetch:
    server: str
    layout: Layout
    servers: Servers
    wal_runs: WalRuns
    wal_gaps: WalGaps
    noticed: Noticed

    def run(self, name: str, *, partial: bool = False, held: str | None = None) -> Found | None:
        """None only when it is nowhere. StorageFailed when it is not whole where it lies.

        That difference is recovery's: PostgreSQL ends it, and promotes, where a file is not there.
        """
        if kind_of(name) is WalKind.UNKNOWN:
            raise UsageError(f"{name!r} is no WAL file's name")
        flaws: list[str] = []
        with ExitStack() as files:
            for place, opened in reversed(self._open_all(name, files, partial=partial)):
                if opened.stamp == held and place is not Place.PARTIAL:
                    return Found(place, opened.stamp, None, None)
                flaw = _flaw(name, place, opened)
                if flaw is None:
                    return Found(place, opened.stamp, opened.size, opened.give())
                if place is not Place.PARTIAL:
                    flaws.append(flaw)
        if flaws:
            self.noticed.tell_name(name)
            raise StorageFailed(
                flaws[0], hint="It is not handed out; recovery must not go past it."
            )
        self._demand_absence(name)
        return None

    def peek(self, name: str, count: int) -> list[str]:
        """Archived segments from `name` on, up to the first gap, at most `count`."""
        size = self.wal_runs.segment_size(self.server)
        if size is None or kind_of(name) is not WalKind.SEGMENT:
            return []
        try:
            first = Segment.parse(name, size)
        except ValueError:
            return []
        for run in self.wal_runs.of_server(self.server):
            if first in run:
                last = min(run.last, first.number + count - 1)
                numbers = range(first.number, last + 1)
                return [Segment(first.timeline, number).name(size) for number in numbers]
        return []

    def _demand_absence(self, name: str) -> None:
        """What is not found must not be there: StorageFailed for a disk that is not ours (a mount
        gone), for a file that was archived, and for one in a gap that nobody has acknowledged.
        """
        layout = self.layout
        if self.servers.system_id(self.server) is not None and not layout.identity.is_file():
            raise StorageFailed(
                f"{layout.identity} is missing", hint="Is the backup directory mounted?"
            )
        for folder in (layout.streaming, layout.incoming, layout.wals):
            if not folder.is_dir():
                raise StorageFailed(f"{folder} is missing", hint="Is its file system mounted?")
        runs = self.wal_runs.of_server(self.server)
        size = self.wal_runs.segment_size(self.server)
        with at_the_disk("list", layout.wals):
            is_empty = not any(layout.wals.iterdir())
        if runs and is_empty:
            raise StorageFailed(f"{layout.wals} is empty, and WAL was archived there")
        if size is not None and kind_of(name) is WalKind.SEGMENT:
            self._demand_never_here(name, size, runs)

    def _demand_never_here(self, name: str, size: int, runs: Iterable[Run]) -> None:
        if _is_in(name, size, runs):
            self.noticed.tell_name(name)
            raise StorageFailed(f"{name} was archived, and is not in {self.layout.wals} any more")
        for gap in self.wal_gaps.of_server(self.server, (GapState.OPEN,)):
            if _is_in(name, size, [gap.run]):
                raise StorageFailed(
                    f"{name} is missing, and WAL behind it is not: it lies in gap {gap.id}",
                    hint="Recovery would end before it, without what was committed later. Bring it"
                    f" back, or `barmanctl acknowledge-gap {self.server} {gap.id} --reason WHY`"
                    " lets recovery end there.",
                )

    def _open_all(
        self, name: str, files: ExitStack, *, partial: bool
    ) -> list[tuple[Place, Opened]]:
        """In the order in which a file goes its way: what moves on while we look is seen again."""
        found: list[tuple[Place, Opened]] = []
        for place, path in self._places(name, partial=partial):
            opened = open_wal(path)
            if opened is not None:
                files.callback(opened.close)
                found.append((place, opened))
        return found

    def _places(self, name: str, *, partial: bool) -> list[tuple[Place, Path]]:
        layout = self.layout
        begun: list[tuple[Place, Path]] = []
        if partial and kind_of(name) is WalKind.SEGMENT:
            label = f"{name}.partial"
            folders = (layout.streaming, layout.incoming, layout.wal(label).parent)
            begun = [(Place.PARTIAL, folder / label) for folder in folders]
        return [
            *begun,
            (Place.STREAMING, layout.streaming / name),
            (Place.INCOMING, layout.incoming / name),
            (Place.ARCHIVE, layout.wal(name)),
        ]


def _is_in(name: str, segment_size: int, runs: Iterable[Run]) -> bool:
    try:
        segment = Segment.parse(name, segment_size)
    except ValueError:
        return False
    return any(segment in run for run in runs)


def _flaw(name: str, place: Place, opened: Opened) -> str | None:
    """Why it cannot be handed out as the file `name`, with its path; then it may lie whole in
    another place.
    """
    try:
        if place is Place.ARCHIVE and opened.is_altered():
            return f"{opened.path} is not whole: it is not what was archived"
        opened.unpack()
    except StorageFailed as failure:
        return failure.message
    header = opened.header()
    if place is Place.PARTIAL and header is not None and opened.size < header.segment_size:
        opened.fill(header.segment_size)
    verdict = _verdict(name, opened)
    if isinstance(verdict, Belongs):
        return None
    return f"{opened.path} is not whole: {verdict.why}"


def _verdict(name: str, opened: Opened) -> Verdict:
    match kind_of(name):
        case WalKind.HISTORY:
            return judge_history(name, opened.text())
        case WalKind.LABEL:
            return judge_label(name, opened.text(), _ANYBODY)
        case _:
            return judge(name, opened.header(), opened.size, _ANYBODY)
