"""How well a server's WAL comes in: what a check finds without asking anybody."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from barmand.catalog.wal_gaps import WalGaps
from barmand.catalog.wal_runs import WalRuns
from barmand.model.finding import Finding, Measure, failed, passed, warned
from barmand.model.gap import GapState
from barmand.operations.ports import Clock
from barmand.storage.arrivals import arrivals
from barmand.storage.aside import set_aside_in
from barmand.storage.layout import Layout

FRESH = timedelta(days=1)
"""As long a file that was set aside fails the check; then it is a warning until somebody sees to
it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalHealth:
    """Barman's `max_incoming_wals_queue` and `last_wal_maximum_age`; None where there is none.

    `takes_pushed` and `streams` tell which of the two folders is anybody's.
    """

    server: str
    layout: Layout
    wal_gaps: WalGaps
    wal_runs: WalRuns
    most_waiting: int | None
    oldest: timedelta | None
    now: Clock
    takes_pushed: bool = True
    streams: bool = True

    def waiting(self) -> int:
        """Files that have arrived and are not archived yet. Raises StorageFailed."""
        places = (self.layout.incoming, self.layout.streaming)
        return sum(len(arrivals(place)) for place in places)

    def set_aside(self) -> int:
        """Files in errors/. Raises StorageFailed."""
        return len(set_aside_in(self.layout.errors))

    # --------------------------------------------------------------------------- the catalogue
    def gaps(self) -> Iterator[Finding]:
        gaps = self.wal_gaps.of_server(self.server)
        count = sum(gap.count for gap in gaps if gap.state is GapState.OPEN)
        measure = Measure("missing_wals", count, "", None, 0)
        if count:
            hint = (
                f"{count} segment(s) missing: `barmanctl wal-gaps {self.server}` names them; "
                "no recovery comes past them, so take a backup"
            )
            yield failed("WAL gaps", hint, measure=measure)
        else:
            yield passed("WAL gaps", f"{len(gaps)} acknowledged" if gaps else "none")

    def archive(self) -> Iterator[Finding]:
        """Barman's names: `WAL archive`, and `wal maximum age` where one is set."""
        last = self.wal_runs.last_archived(self.server)
        if last is None:
            hint = (
                f"nothing is archived yet: `barmanctl switch-wal {self.server}` closes a segment, "
                "which should come within moments"
            )
            yield warned("WAL archive", hint)
        else:
            age = self.now() - last.at
            words = f"the last is {last.name}, {span_words(age)} ago"
            measure = Measure("last_wal_age", max(0, int(age.total_seconds())), "s")
            yield passed("WAL archive", words, measure=measure)
        if self.oldest is not None:
            yield self._age(self.oldest)

    def _age(self, oldest: timedelta) -> Finding:
        name = "wal maximum age"
        last = self.wal_runs.last_archived(self.server)
        if last is None:
            return failed(name, "none yet")
        age = self.now() - last.at
        words = f"{last.name}, {span_words(age)} ago, of at most {span_words(oldest)}"
        return passed(name, words) if age <= oldest else failed(name, words)

    # -------------------------------------------------------------------------------- the disk
    def aside(self) -> Iterator[Finding]:
        name, errors = "archiver errors", self.layout.errors
        found = set_aside_in(errors)
        if not found:
            yield passed(name, "none")
            return
        newest = found[-1]
        hint = (
            f"{len(found)} file(s) in {errors}, the newest {newest.name}; `WAL file set aside` in "
            "the log tells why: then move it away or remove it"
        )
        is_fresh = self.now() - newest.since < FRESH
        yield failed(name, hint) if is_fresh else warned(name, hint)

    def queues(self) -> Iterator[Finding]:
        """Barman's names again."""
        for title, folder, is_used, option in (
            ("incoming", self.layout.incoming, self.takes_pushed, "archiver"),
            ("streaming", self.layout.streaming, self.streams, "streaming_archiver"),
        ):
            count = len(arrivals(folder))
            if not is_used:
                yield _leftovers(f"empty {title} directory", folder, count, option)
            elif self.most_waiting is not None:
                yield _queue(f"{title} WALs directory", count, self.most_waiting)


def _leftovers(name: str, folder: Path, count: int, option: str) -> Finding:
    if not count:
        return passed(name)
    return warned(name, f"{count} file(s) in {folder}, though {option} is off")


def _queue(name: str, count: int, most: int) -> Finding:
    words = f"{count} files, of at most {most}"
    measure = Measure(name.split(maxsplit=1)[0], count, "", None, most)
    return passed(name, words, measure=measure) if count <= most else failed(name, words)


def span_words(span: timedelta) -> str:
    return str(timedelta(seconds=int(span.total_seconds())))
